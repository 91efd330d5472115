import Foundation
import Testing

/// The tree as it lies on disk.
enum Tree {
    static let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
        .deletingLastPathComponent().deletingLastPathComponent()

    /// Text files that people write, build products and generated data left out.
    static let files: [SourceFile] = {
        let suffixes = [
            "swift", "c", "h", "sh", "py", "go", "md", "toml", "service", "txt", "conf",
        ]
        let skipped = [".git", ".swiftpm", ".build", "demo-output", "node_modules"]
        guard let walk = FileManager.default.enumerator(atPath: Self.root.path) else { return [] }
        var files: [SourceFile] = []
        for case let path as String in walk {
            let name = (path as NSString).lastPathComponent
            if skipped.contains(where: { name.hasPrefix($0) && name != ".gitignore" }) {
                walk.skipDescendants()
                continue
            }
            let isNamed = ["Makefile", "run"].contains(name)
            guard isNamed || suffixes.contains((path as NSString).pathExtension) else { continue }
            if let text = Self.text(path) { files.append(SourceFile(path: path, text: text)) }
        }
        return files.sorted { $0.path < $1.path }
    }()

    static let swift = Self.files.filter(\.isSwift)
    static let programs = Self.files.filter { file in
        ["swift", "c", "h", "sh", "py", "go"].contains((file.path as NSString).pathExtension)
    }

    static func text(_ path: String) -> String? {
        let url = Self.root.appendingPathComponent(path)
        var isFolder: ObjCBool = false
        guard FileManager.default.fileExists(atPath: url.path, isDirectory: &isFolder) else {
            return nil
        }
        if isFolder.boolValue { return "" }
        return try? String(contentsOf: url, encoding: .utf8)
    }
}

/// The rules, held against every file.
@Suite struct TreeTests {
    @Test func thereIsATree() {
        #expect(Tree.swift.contains { $0.path == "Package.swift" })
        #expect(Tree.swift.contains { $0.path.hasPrefix("Sources/Primitives/") })
        #expect(Tree.programs.contains { $0.path.hasSuffix(".sh") })
    }

    @Test func whatPeersInfluenceIsBounded() {
        let text = """
            let a = now &- then
            let b = UInt8(a)
            let c = UInt8(clamping: a)
            // let d = now &+ then
            let e = a &+ 1  // bound: a count
            let f = a &+ 1  // bound:
            let g = now.nanoseconds + age
            let h = age - now.nanoseconds
            let i = age + .nanoseconds(5) + UInt8(7)
            """
        let found = { (module: String) in
            Rules.uncheckedArithmetic(SourceFile(path: "Sources/\(module)/A.swift", text: text))
        }
        #expect(found("Recovery").count == 5)
        #expect(found("Session").count == 3)
        #expect(found("Runtime").isEmpty)
        let faults = Tree.swift.flatMap(Rules.uncheckedArithmetic)
        #expect(faults.isEmpty, "\(faults.joined(separator: "\n"))")
    }

    @Test func linesFitTheScreen() {
        let faults = Tree.programs.flatMap(Rules.lineLength)
        #expect(faults.isEmpty, "\(faults.joined(separator: "\n"))")
    }

    @Test func filesHoldOneIdea() {
        let faults = Tree.programs.flatMap(Rules.fileLength)
        #expect(faults.isEmpty, "\(faults.joined(separator: "\n"))")
    }

    @Test func functionsFitThePage() {
        let faults = Tree.swift.flatMap(Rules.functionLength)
        #expect(faults.isEmpty, "\(faults.joined(separator: "\n"))")
    }

    @Test func nothingIsLeftForLater() {
        let faults = Tree.files.flatMap(Rules.unfinishedWords)
        #expect(faults.isEmpty, "\(faults.joined(separator: "\n"))")
    }

    @Test func nothingTrapsWithoutAReason() {
        let faults = Tree.swift.flatMap(Rules.bareTraps)
        #expect(faults.isEmpty, "\(faults.joined(separator: "\n"))")
    }

    @Test func typesHoldWhatOneCanKeepInMind() {
        let text = """
            struct A {
                let a = 1, b: Int
                private(set) var c: [Int] = []
                static let no = 3
                var computed: Int { 3 }
                var long: Int {
                    let local = 1
                    return local
                }
                struct Inner {
                    var x = 0
                }
                unowned(unsafe) let d: B
            }
            """
        let found = StoredProperties.counts(in: SourceFile(path: "A.swift", text: text))
        #expect(found.map(\.count) == [1, 3] && found.map(\.type) == ["Inner", "A"])
        let counts = Tree.swift.filter { $0.path.hasPrefix("Sources/") }
            .flatMap(StoredProperties.counts)
        let faults = counts.filter {
            $0.count > StoredProperties.exceptions[$0.type] ?? StoredProperties.limit
        }
        #expect(faults.isEmpty, "\(faults)")
        #expect(StoredProperties.exceptions.count <= 3)
    }

    @Test func importsFollowTheArrows() {
        let faults = Tree.swift.flatMap(Layers.arrows)
        #expect(faults.isEmpty, "\(faults.joined(separator: "\n"))")
    }

    @Test func whatIsPublicIsExplained() {
        let faults = Tree.swift.flatMap(Docstrings.missing)
        #expect(faults.isEmpty, "\(faults.joined(separator: "\n"))")
    }

    /// What counts has a table of metrics, and the pages ask for it.
    @Test func whatCountsHasMetrics() {
        // Shown otherwise, or never counted by a program of ours.
        let others: Set<String> = [
            "DropCounters",  // by reason: `DropReason.allCases`
            "RefusalTally",  // a list on the status page
            "LossCounters",  // what a peer reports; redundancy follows from it
            "LinkCounters", "Tally",  // of emulated links and of trials
        ]
        let sources = Tree.swift.filter { $0.path.hasPrefix("Sources/") }
        let names = sources.flatMap { file in
            Rules.matches(of: "public struct \\w*(Counters|Tally)\\b", in: file.text).map {
                $0.text.split(separator: " ").last.map(String.init) ?? ""
            }
        }
        #expect(names.contains("EngineCounters") && others.isSubset(of: names))
        let code = sources.map(\.text).joined()
        let lost = names.filter { !others.contains($0) && !code.contains("\($0).metrics.families") }
        #expect(lost.isEmpty, "no page shows \(lost)")
    }

    @Test func noPrivateKeyIsPublished() {
        let faults = Tree.files.flatMap(Rules.privateKeys)
        #expect(faults.isEmpty, "\(faults.joined(separator: "\n"))")
    }

    @Test func linksLeadSomewhere() {
        let faults = Tree.files.filter { $0.path.hasSuffix(".md") }.flatMap {
            Links.broken($0, contents: Tree.text)
        }
        #expect(faults.isEmpty, "\(faults.joined(separator: "\n"))")
    }

    @Test func theFormatterAgrees() throws {
        let (status, output) = try Self.lint([
            Tree.root.appendingPathComponent("Sources").path,
            Tree.root.appendingPathComponent("Tests").path,
            Tree.root.appendingPathComponent("Package.swift").path,
        ])
        #expect(status == 0, "\(output)")
    }

    @Test func theFormatterCanDisagree() throws {
        let file = FileManager.default.temporaryDirectory
            .appendingPathComponent("tidy-\(ProcessInfo.processInfo.processIdentifier).swift")
        try "func  f( ) {return}\n".write(to: file, atomically: true, encoding: .utf8)
        defer { try? FileManager.default.removeItem(at: file) }
        #expect(try Self.lint([file.path]).status != 0)
    }

    static func lint(_ paths: [String]) throws -> (status: Int32, output: String) {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
        let configuration = Tree.root.appendingPathComponent(".swift-format").path
        process.arguments =
            [
                "swift", "format", "lint", "--strict", "--recursive", "--configuration",
                configuration,
            ]
            + paths
        let pipe = Pipe()
        process.standardError = pipe
        try process.run()
        let data = pipe.fileHandleForReading.readDataToEndOfFile()
        process.waitUntilExit()
        return (process.terminationStatus, String(decoding: data, as: UTF8.self))
    }
}
