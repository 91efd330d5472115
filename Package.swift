// swift-tools-version: 6.2
import PackageDescription

/// Settings shared by every Swift target.
let strict: [SwiftSetting] = [
    .swiftLanguageMode(.v6),
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("InternalImportsByDefault"),
    .enableUpcomingFeature("MemberImportVisibility"),
    .treatAllWarnings(as: .error),
]

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
    products: [],
    dependencies: [
        .package(url: "https://github.com/LebJe/TOMLKit", exact: "0.6.0"),
        .package(url: "https://github.com/apple/swift-argument-parser", exact: "1.8.2"),
    ],
    targets: [
        // Layer 0: C declarations, never a decision.
        .target(name: "CLinuxShims", cSettings: [.define("_GNU_SOURCE")]),
        .systemLibrary(
            name: "CSodium",
            pkgConfig: "libsodium",
            providers: [.apt(["libsodium-dev"])]
        ),
        .systemLibrary(name: "CZlib", pkgConfig: "zlib", providers: [.apt(["zlib1g-dev"])]),

        // Layer 1: words everyone shares.
        .target(name: "Primitives", swiftSettings: strict),

        // Layer 2: one protocol idea each; siblings never import each other.
        .target(name: "Compression", dependencies: ["CZlib", "Primitives"], swiftSettings: strict),
        .target(name: "KCP", dependencies: ["Primitives"], swiftSettings: strict),
        .target(name: "Recovery", dependencies: ["Primitives"], swiftSettings: strict),
        .target(name: "Sealing", dependencies: ["CSodium", "Primitives"], swiftSettings: strict),

        // Layer 3: the engine.
        .target(
            name: "Session",
            dependencies: ["Compression", "KCP", "Primitives", "Recovery", "Sealing"],
            swiftSettings: strict
        ),

        // Layer 4: the kernel.
        .target(
            name: "LinuxIO",
            dependencies: ["CLinuxShims", "Primitives"],
            swiftSettings: strict
        ),

        // Layer 5: words from and for humans.
        .target(name: "Admin", dependencies: ["LinuxIO", "Primitives"], swiftSettings: strict),
        .target(
            name: "Configuration",
            dependencies: [
                "Primitives", "Sealing", .product(name: "TOMLKit", package: "TOMLKit"),
            ],
            swiftSettings: strict
        ),

        // Layers 6 and 7: what is started from a shell.
        .target(
            name: "Commands",
            dependencies: [
                "Admin", "Configuration", "LinuxIO", "Primitives", "Sealing",
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
            ],
            swiftSettings: strict
        ),
        .executableTarget(name: "fairlead", dependencies: ["Commands"], swiftSettings: strict),
        .executableTarget(
            name: "fairlead-client",
            dependencies: ["Commands"],
            swiftSettings: strict
        ),
        .executableTarget(
            name: "fairlead-server",
            dependencies: ["Commands"],
            swiftSettings: strict
        ),

        tests("Admin", ["LinuxIO"]),
        tests("Commands", ["Configuration", "Sealing"]),

        tests("Compression"),
        tests("Configuration", ["Sealing"]),
        tests("KCP"),
        .testTarget(name: "PrimitivesTests", dependencies: ["Primitives"], swiftSettings: strict),
        tests("Recovery"),
        tests("Sealing", ["CSodium"]),
        tests("Session", ["Recovery", "Sealing"]),
    ]
)
