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
        .target(name: "CLinuxShims", cSettings: [.define("_GNU_SOURCE")]),

        // Layer 1: words everyone shares.
        .target(name: "Primitives", swiftSettings: strict),

        // Layer 3: the engine.
        .target(name: "Session", dependencies: ["Primitives"], swiftSettings: strict),

        // Layer 4: the kernel.
        .target(
            name: "LinuxIO",
            dependencies: ["CLinuxShims", "Primitives"],
            swiftSettings: strict
        ),

        tests("LinuxIO"),
        .testTarget(name: "PrimitivesTests", dependencies: ["Primitives"], swiftSettings: strict),
    ]
)
