// swift-tools-version: 6.2
import PackageDescription

// In a package of your own: .package(url: "https://…/fairlead", from: "0.1.0").
let fairlead: Package.Dependency =
    Context.environment["FAIRLEAD_URL"].map { .package(url: $0, from: "0.1.0") }
    ?? .package(name: "fairlead", path: "../..")

let package = Package(
    name: "engine",
    dependencies: [fairlead],
    targets: ["EventLoop", "InMemory"].map { name in
        .executableTarget(
            name: name,
            dependencies: [.product(name: "FairleadEngine", package: "fairlead")]
        )
    }
)
