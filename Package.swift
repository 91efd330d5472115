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
    dependencies: [],
    targets: [
        // Layer 0: C declarations, never a decision.
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
        .target(name: "Netem", dependencies: ["Primitives"], swiftSettings: strict),
        .target(name: "Recovery", dependencies: ["Primitives"], swiftSettings: strict),
        .target(name: "Sealing", dependencies: ["CSodium", "Primitives"], swiftSettings: strict),

        // Layer 3: the engine.
        .target(
            name: "Session",
            dependencies: ["Compression", "KCP", "Primitives", "Recovery", "Sealing"],
            swiftSettings: strict
        ),

        // Partners of other implementations in Tests/Interop, in no product.
        .executableTarget(
            name: "kcp-peer",
            dependencies: ["KCP", "Primitives"],
            swiftSettings: strict
        ),

        tests("Compression"),
        tests("KCP"),
        tests("Netem"),
        .testTarget(name: "PrimitivesTests", dependencies: ["Primitives"], swiftSettings: strict),
        tests("Sealing", ["CSodium"]),
        tests("Session", ["Recovery", "Sealing"]),
    ]
)
