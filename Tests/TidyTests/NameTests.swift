import Testing

/// What is declared is used, and what pages mention exists.
@Suite struct NameTests {
    private static let sources = Tree.swift.filter { $0.path.hasPrefix("Sources/") }
    private static let others = Tree.swift.filter { !$0.path.hasPrefix("Sources/") }

    @Test func everyDeclarationIsUsed() {
        let faults = Names.unused(in: Self.sources, besides: Self.others)
        #expect(faults.isEmpty, "\(faults.joined(separator: "\n"))")
    }

    @Test func anUnusedOneIsFound() {
        let text = """
            struct Used { var lonely = 1 }
            // lonely is mentioned, not used.
            let used = Used()
            func call() { print(used, "\\(spoken)") }
            let spoken = call()
            """
        let file = SourceFile(path: "Sources/A/A.swift", text: text)
        #expect(Names.unused(in: [file], besides: []) == ["Sources/A/A.swift:1: var lonely"])
    }

    @Test func everySymbolOfThePagesExists() {
        // Of other projects and of Swift itself.
        let foreign: Set<Substring> = [
            "Address", "FwMark", "PersistentKeepalive", "PostUp", "PostDown",  // wg-quick
            "NodePort",  // Kubernetes
            "MixHash", "IKhfs",  // Noise
            "RawSpan", "Lifetimes",  // Swift
        ]
        let pages = Tree.files.filter { $0.path.hasPrefix("docs/") && $0.path.hasSuffix(".md") }
        var known = foreign
        for file in Tree.files where !file.path.hasSuffix(".md") {
            known.formUnion(Names.words(of: file.text))
            known.formUnion(Names.words(of: file.path))
        }
        #expect(pages.contains { $0.path == "docs/ARCHITECTURE.md" })
        let faults = pages.flatMap { Names.missing(in: $0, known: known) }
        #expect(faults.isEmpty, "\(faults.joined(separator: "\n"))")
    }

    @Test func aLostSymbolIsFound() {
        let page = SourceFile(
            path: "docs/A.md",
            text: "`Engine.wake(at:)` calls\n`Engine.forgotten`, not `make test` or `KEY`."
        )
        let faults = Names.missing(in: page, known: ["Engine", "wake"])
        #expect(faults == ["docs/A.md:2: forgotten"])
    }
}
