import Testing

/// Each rule, held against something that breaks it and something that only looks as if it did.
@Suite struct RuleTests {
    func file(_ text: String, path: String = "Sources/Primitives/Example.swift") -> SourceFile {
        SourceFile(path: path, text: text)
    }

    @Test func longLines() {
        let text = String(repeating: "a", count: 100) + "\n" + String(repeating: "b", count: 101)
        #expect(Rules.lineLength(self.file(text)).count == 1)
    }

    @Test func longFiles() {
        #expect(Rules.fileLength(self.file(String(repeating: "\n", count: 500))).isEmpty)
        #expect(Rules.fileLength(self.file(String(repeating: "\n", count: 501))).count == 1)
    }

    @Test(arguments: [
        "func f<T>(_ a: () -> T = { 1 }) throws -> [T]\nwhere T: Equatable", "init()", "deinit",
        "var x: Int", "subscript(i: Int) -> Int", "static func == (a: Self, b: Self) -> Bool",
    ])
    func longFunctions(head: String) {
        let headLines = head.split(separator: "\n").count
        let body = { (count: Int) in
            let filler = String(repeating: "    use(\"}\") // }\n", count: count - headLines - 1)
            return "struct S {\n\(head) {\n\(filler)}\n}\n"
        }
        #expect(Rules.functionLength(self.file(body(60))).isEmpty)
        #expect(Rules.functionLength(self.file(body(61))).count == 1)
    }

    @Test func declarationsWithoutBodiesAreNotFunctions() {
        let padding = String(repeating: "\n", count: 80)
        let text = """
            protocol P {
                func f(a: Int) -> Int
                var x: Int
                var y = 3
            }
            struct S {\(padding)}
            """
        #expect(Rules.functionLength(self.file(text)).isEmpty)
    }

    @Test func unfinishedWords() {
        #expect(Rules.unfinishedWords(self.file("// TO" + "DO: later")).count == 1)
        #expect(Rules.unfinishedWords(self.file("// HA" + "CK")).count == 1)
        #expect(Rules.unfinishedWords(self.file("// HACKNEY, toDoList")).isEmpty)
    }

    @Test(arguments: [
        "let a = b!", "try! f()", "a as! B", "f()!.g", "a[0]!", "var a: Int!", "fatal" + "Error()",
    ])
    func bareTraps(line: String) {
        #expect(Rules.bareTraps(self.file(line)).count == 1)
    }

    @Test(arguments: [
        "a != b", "!a", "if a, !b {", "print(\"hello!\")", "// done!", "#if !os(Linux)",
        "\"\\(f(\"x!\"))!\"", "#\"a\"!\"#", "/* a! /* b! */ c! */", "\"\"\"\nWhat \"now\"!\n\"\"\"",
    ])
    func whatOnlyLooksLikeATrap(line: String) {
        #expect(Rules.bareTraps(self.file(line)) == [])
    }

    @Test func privateKeys() {
        let key = "FAIRLEAD-SECRET" + "-KEY:" + String(repeating: "A", count: 43) + "="
        #expect(Rules.privateKeys(self.file(key)).count == 1)
        #expect(Rules.privateKeys(self.file("FAIRLEAD-SECRET-KEY: and base64")).isEmpty)
    }

    @Test(arguments: [
        ("Sources/KCP/A.swift", "import Recovery"), ("Sources/Primitives/A.swift", "import Glibc"),
        ("Sources/Session/A.swift", "public import Foundation"),
        ("Sources/Session/A.swift", "@testable import Netem"),
        ("Sources/LinuxIO/A.swift", "import struct Session.Engine"),
        ("Sources/Nowhere/A.swift", ""),
    ])
    func arrowsThatPointUp(path: String, text: String) {
        #expect(Layers.arrows(self.file(text, path: path)).count == 1)
    }

    @Test(arguments: [
        ("Sources/KCP/A.swift", "public import Primitives"),
        ("Sources/KCP/A.swift", "// import Recovery"),
        ("Sources/Session/A.swift", "import KCP\ninternal import Recovery\nimport Sealing"),
        ("Tests/KCPTests/A.swift", "import Foundation"),
    ])
    func arrowsThatPointDown(path: String, text: String) {
        #expect(Layers.arrows(self.file(text, path: path)) == [])
    }

    @Test func publicDeclarationsWithoutADocstring() {
        let text = """
            public import Primitives
            public struct A: B {
                public var b: Int
                /// In bytes.
                @inlinable
                public private(set) var c = 0
                var d: Int
                public static func == (a: Self, b: Self) -> Bool { true }
            }
            /// One of two.
            public enum E {
                case one
                /// The other.
                case two(Int)

                var f: Int {
                    switch self {
                    case .one: 1
                    case .two: 2
                    }
                }
            }
            enum Hidden {
                case three
            }
            /// What can be done.
            public protocol P {
                func g()
            }
            // public var h: Int
            """
        let faults = Docstrings.missing(self.file(text)).map { $0.split(separator: ":")[1] }
        #expect(faults == ["2", "3", "12", "28"])
        #expect(Docstrings.missing(self.file(text, path: "Tests/ATests/A.swift")).isEmpty)
    }

    @Test func brokenLinks() {
        let contents = ["docs/a.md": "# One Two\n", "docs": ""]
        let links = { (text: String) in
            Links.broken(self.file(text, path: "docs/b.md")) { contents[$0] }
        }
        #expect(links("[x](a.md) [x](a.md#one-two) [x](../docs) [x](https://example.net)") == [])
        #expect(links("# Here\n[x](#here)") == [])
        #expect(links("```\n[x](nothing)\n```") == [])
        #expect(links("[x](nothing.md)").count == 1)
        #expect(links("[x](a.md#three)").count == 1)
    }
}
