// swift-tools-version: 6.2
import PackageDescription

/// Whether this is a checkout in the build of another package, which uses the engine.
///
/// SwiftPM refuses `unsafeFlags` there, so that the engine is built without them: with every check
/// of exclusive access, and with the C compiler's own defaults.
let isDependency = Context.packageDirectory.contains("/checkouts/")

/// A third of the data path's instructions otherwise; tests run in debug, with the checks on.
let unchecked: SwiftSetting =
    .unsafeFlags(["-enforce-exclusivity=unchecked"], .when(configuration: .release))

/// Settings shared by every Swift target.
let strict: [SwiftSetting] =
    [
        .swiftLanguageMode(.v6),
        .enableUpcomingFeature("ExistentialAny"),
        .enableUpcomingFeature("InternalImportsByDefault"),
        .enableUpcomingFeature("MemberImportVisibility"),
        .treatAllWarnings(as: .error),
    ] + (isDependency ? [] : [unchecked])

/// The C targets: a guard before every return address, lengths checked where the compiler knows
/// them, indirect jumps to marked places only.
#if arch(x86_64)
let jumps = "-fcf-protection=full"
#else
let jumps = "-mbranch-protection=standard"
#endif
let hardened: [CSetting] =
    [.define("_FORTIFY_SOURCE", to: "3", .when(configuration: .release))]
    + (isDependency ? [] : [.unsafeFlags(["-fstack-protector-strong", jumps])])

/// Of every program: the tables of the linker read-only and filled before the first instruction of
/// ours, no executable stack, no writable code.
let linked: [LinkerSetting] = [
    .unsafeFlags([
        "-Xlinker", "-z", "-Xlinker", "relro", "-Xlinker", "-z", "-Xlinker", "now",
        "-Xlinker", "-z", "-Xlinker", "noexecstack", "-Xlinker", "-z", "-Xlinker", "text",
    ])
]

func module(_ name: String, _ dependencies: [Target.Dependency] = []) -> Target {
    .target(name: name, dependencies: dependencies, swiftSettings: strict)
}

/// A module that marks each expression the compiler cannot prove safe with `unsafe`; decision 7
/// says why the others do not.
func marked(_ name: String, _ dependencies: [Target.Dependency] = []) -> Target {
    .target(
        name: name,
        dependencies: dependencies,
        swiftSettings: strict + [.strictMemorySafety()]
    )
}

func program(_ name: String, _ dependencies: [Target.Dependency]) -> Target {
    .executableTarget(
        name: name,
        dependencies: dependencies,
        swiftSettings: strict,
        linkerSettings: linked
    )
}

/// A target whose tests live beside its name: `X` and `XTests`.
func tests(_ module: String, _ dependencies: [Target.Dependency] = []) -> Target {
    .testTarget(
        name: module + "Tests",
        dependencies: [.byName(name: module), "Primitives"] + dependencies,
        swiftSettings: strict
    )
}

let package = Package(
    name: "fairlead",
    products: [
        // What another package may use: the protocol, without a clock, a socket or a thread. The
        // programs are products of their own without being named here.
        .library(name: "FairleadEngine", targets: ["Primitives", "Recovery", "Sealing", "Session"])
    ],
    dependencies: [
        .package(url: "https://github.com/LebJe/TOMLKit", exact: "0.6.0"),
        .package(url: "https://github.com/apple/swift-argument-parser", exact: "1.8.2"),
        .package(url: "https://github.com/apple/swift-crypto", exact: "4.5.2"),
    ],
    targets: [
        // Layer 0: C declarations, never a decision.
        .target(name: "CGalois", cSettings: hardened),
        .target(name: "CLinuxShims", cSettings: [.define("_GNU_SOURCE")] + hardened),
        .target(name: "CLab", cSettings: [.define("_GNU_SOURCE")] + hardened),
        .target(name: "CMallocCount", cSettings: hardened),
        .target(name: "CPoison", cSettings: hardened),
        .systemLibrary(
            name: "CCares",
            pkgConfig: "libcares",
            providers: [.apt(["libc-ares-dev"])]
        ),
        .systemLibrary(
            name: "CSodium",
            pkgConfig: "libsodium",
            providers: [.apt(["libsodium-dev"])]
        ),
        .systemLibrary(name: "CZlib", pkgConfig: "zlib", providers: [.apt(["zlib1g-dev"])]),

        // Layer 1: words everyone shares.
        module("Primitives"),

        // Layer 2: one protocol idea each; siblings never import each other.
        marked("Balancing", ["Primitives"]),
        module("Compression", ["CZlib", "Primitives"]),
        module("Erasure", ["CGalois", "Primitives"]),
        module("KCP", ["Primitives"]),
        module("Netem", ["Primitives"]),
        module("Origin", ["Primitives"]),
        module("Recovery", ["Primitives"]),
        module("Sealing", ["CSodium", "Primitives"]),

        // Layer 3: the engine.
        module(
            "Session",
            ["Compression", "Erasure", "KCP", "Primitives", "Recovery", "Sealing"]
        ),

        // Layer 3t: the engine in a simulated internet.
        module("Simulation", ["Netem", "Primitives", "Recovery", "Sealing", "Session"]),
        module(
            "Trials",
            ["Erasure", "Netem", "Primitives", "Recovery", "Sealing", "Session"]
        ),

        // Layer 4: the kernel, the name service, and cryptography that draws its own random bytes.
        module("LinuxIO", ["CLinuxShims", "Primitives"]),
        module("Names", ["CCares", "LinuxIO", "Primitives"]),
        marked("PostQuantum", ["Sealing", .product(name: "Crypto", package: "swift-crypto")]),

        // Layer 5: words from and for humans, and the loop that runs the engine.
        marked("Admin", ["LinuxIO", "Primitives"]),
        marked(
            "Configuration",
            [
                "Balancing", "Erasure", "Origin", "Primitives", "Recovery", "Sealing",
                .product(name: "TOMLKit", package: "TOMLKit"),
            ]
        ),
        marked("ReturnPath", ["LinuxIO", "Primitives"]),
        module(
            "Runtime",
            [
                "Balancing", "Configuration", "Erasure", "LinuxIO", "Names", "Origin",
                "PostQuantum", "Primitives", "Recovery", "ReturnPath", "Sealing", "Session",
            ]
        ),

        // Layers 6 and 7: what is started from a shell.
        module(
            "Lab",
            [
                "CLab", "Configuration", "KCP", "LinuxIO", "Netem", "Origin", "Primitives",
                "Sealing", .product(name: "TOMLKit", package: "TOMLKit"),
            ]
        ),
        module(
            "Daemons",
            [
                "Admin", "Configuration", "LinuxIO", "Primitives", "Runtime", "Sealing", "Session",
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
            ]
        ),
        module(
            "Commands",
            [
                "Admin", "Balancing", "Configuration", "Daemons", "Lab", "LinuxIO", "Names",
                "PostQuantum", "Primitives", "Recovery", "ReturnPath", "Runtime", "Sealing",
                "Session",
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
            ]
        ),
        program("fairlead", ["Commands", "Daemons"]),
        program("fairlead-client", ["Daemons"]),
        program("fairlead-server", ["Daemons"]),

        // The tools and peers of the tests: one program, never shipped.
        .executableTarget(
            name: "testkit",
            dependencies: [
                "CMallocCount", "CPoison", "Erasure", "KCP", "LinuxIO", "Netem", "PostQuantum",
                "Primitives", "ReturnPath", "Sealing", "Session", "Simulation", "Trials",
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
            ],
            path: "Tests/Support/testkit",
            swiftSettings: strict
        ),

        tests("Admin", ["LinuxIO"]),
        tests("Balancing"),
        tests(
            "Commands",
            ["Admin", "Configuration", "Daemons", "LinuxIO", "Runtime", "Sealing", "Session"]
        ),
        tests("Compression", ["CPoison"]),
        tests("Configuration", ["Balancing", "Erasure", "Origin", "Recovery", "Sealing"]),
        tests("Erasure", ["CPoison"]),
        tests("KCP", ["CPoison"]),
        tests("Lab", ["Netem"]),
        tests("LinuxIO"),
        tests("Names", ["LinuxIO"]),
        tests("Netem"),
        tests("Origin"),
        tests("PostQuantum", ["Sealing", .product(name: "Crypto", package: "swift-crypto")]),
        .testTarget(name: "PrimitivesTests", dependencies: ["Primitives"], swiftSettings: strict),
        tests("Recovery"),
        tests("ReturnPath", ["LinuxIO"]),
        tests(
            "Runtime",
            ["Balancing", "Configuration", "LinuxIO", "Names", "Origin", "Sealing", "Session"]
        ),
        tests("Sealing", ["CSodium"]),
        tests(
            "Session",
            ["CPoison", "Compression", "Erasure", "KCP", "PostQuantum", "Recovery", "Sealing"]
        ),
        tests("Simulation", ["CPoison"]),
        tests("Trials", ["Erasure", "Netem", "Recovery", "Session"]),

        // The tree itself: lengths, layers, links. Reads files, so it depends on nothing.
        .testTarget(name: "TidyTests", swiftSettings: strict),
    ]
)

// The fuzzer needs libFuzzer's runtime and flags of its own, so it is there only when asked for:
// see contrib/fuzz.sh.
if Context.environment["FAIRLEAD_FUZZ"] != nil {
    let comparisons = ["cmp", "const_cmp"].flatMap { kind in
        [1, 2, 4, 8].map { "__sanitizer_cov_trace_\(kind)\($0)" }
    }
    let counted = (comparisons + ["CGalois_multiply_add"]).flatMap {
        ["-Xlinker", "--wrap=\($0)"]
    }
    package.targets += [
        .target(name: "CFuzzer", path: "Tests/Fuzz/CFuzzer"),
        .executableTarget(
            name: "fairlead-fuzz",
            dependencies: [
                "Admin", "Balancing", "CFuzzer", "Compression", "Configuration", "Erasure", "KCP",
                "Origin", "Primitives", "Recovery", "Sealing", "Session", "Simulation",
            ],
            path: "Tests/Fuzz/Program",
            swiftSettings: strict,
            // Calls that are counted on the way: see CFuzzer.c.
            linkerSettings: [.unsafeFlags(counted)]
        ),
    ]
}

// Faults for the sanitizers to find, and locks that ThreadSanitizer understands: see
// contrib/sanitize.sh.
if let sanitizer = Context.environment["FAIRLEAD_SANITIZE"] {
    package.targets.append(
        .executableTarget(
            name: "fairlead-faults",
            dependencies: ["LinuxIO"],
            path: "Tests/Sanitize/Program",
            swiftSettings: strict
        )
    )
    if sanitizer == "thread" {
        let slow = ["9_lockSlowyys6UInt32VF", "11_unlockSlowyyF"].flatMap {
            ["-Xlinker", "--wrap=$s15Synchronization12_MutexHandleV\($0)"]
        }
        package.targets.append(
            .target(
                name: "CSanitizer",
                path: "Tests/Sanitize/CSanitizer",
                linkerSettings: [.unsafeFlags(slow)]
            )
        )
        // Whatever has threads has this.
        package.targets.first { $0.name == "LinuxIO" }?.dependencies.append("CSanitizer")
    }
}
