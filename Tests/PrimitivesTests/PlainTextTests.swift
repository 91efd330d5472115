import Primitives
import Testing

@Suite struct PlainTextTests {
    /// What drives a terminal, ends a line or turns the direction of writing.
    static let hostile: [UInt32] = [
        0, 7, 0x0A, 0x0D, 0x1B, 0x7F, 0x85, 0x9B, 0x9D, 0xAD, 0x61C, 0x200B, 0x200E, 0x200F, 0x2028,
        0x2029, 0x202A, 0x202E, 0x2066, 0x2069, 0xFEFF, 0xE0041,
    ]

    @Test(arguments: Self.hostile)
    func nothingHostilePasses(value: UInt32) throws {
        let scalar = try #require(Unicode.Scalar(value))
        #expect(!PlainText.isPlain("a\(scalar)b"))
        for asciiOnly in [false, true] {
            let text = PlainText.escaped("a\(scalar)b", asciiOnly: asciiOnly)
            #expect(text.utf8.allSatisfy { (32..<127).contains($0) })
            #expect(text.hasPrefix("a\\") && text.hasSuffix("b"))
        }
    }

    @Test func whatIsWrittenCanBeReadBack() {
        #expect(PlainText.escaped("é \"\\ 😀") == "é \\\"\\\\ 😀")
        #expect(PlainText.escaped("é😀", asciiOnly: true) == "\\u00e9\\ud83d\\ude00")
        #expect(PlainText.escaped("\u{E0041}\u{9B}") == "\\udb40\\udc41\\u009b")
        #expect(PlainText.isPlain("Grüße 😀 web-1"))
    }
}
