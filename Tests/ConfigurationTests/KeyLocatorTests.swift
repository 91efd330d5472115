import Testing

@testable import Configuration

@Suite struct KeyLocatorTests {
    private func line(_ text: String, _ steps: KeyLocator.Step...) -> Int? {
        KeyLocator(text)[steps]
    }

    @Test func findsPlainAndDottedAndQuotedKeys() {
        let text = """
            a = 1 # b = 2
            # c = 3
            d.e . f = 4
            "g.h" = 5
            'i"' = "\\"x = 1\\n"
            "j\\u0041" = [ ]
            """
        #expect(self.line(text, .key("a")) == 1)
        #expect(self.line(text, .key("b")) == nil)
        #expect(self.line(text, .key("c")) == nil)
        #expect(self.line(text, .key("d")) == 3)
        #expect(self.line(text, .key("d"), .key("e"), .key("f")) == 3)
        #expect(self.line(text, .key("g.h")) == 4)
        #expect(self.line(text, .key("i\"")) == 5)
        #expect(self.line(text, .key("jA")) == 6)
    }

    @Test func findsElementsOfArraysOfTables() {
        let text = """
            [[peer]]
            name = "a"

            [[ peer ]] # second
            name = "b"
            [peer.limits]
            rate = 1
            [[peer.path]]
            x = 1
            [[peer.path]]
            x = 2
            [[peer]]
            name = "c"
            """
        #expect(self.line(text, .key("peer"), .index(0), .key("name")) == 2)
        #expect(self.line(text, .key("peer"), .index(1)) == 4)
        #expect(self.line(text, .key("peer"), .index(1), .key("limits"), .key("rate")) == 7)
        #expect(
            self.line(text, .key("peer"), .index(1), .key("path"), .index(1), .key("x")) == 11
        )
        #expect(self.line(text, .key("peer"), .index(2), .key("name")) == 13)
        #expect(self.line(text, .key("peer"), .index(3)) == nil)
    }

    @Test func findsWhatIsInsideListsAndInlineTables() {
        let text = """
            list = [
              1, # one ] }
              "two ]",

              { a = 1, b.c = [ 2,
                3 ] },
            ]
            x = { y = { z = 'q' } }
            """
        #expect(self.line(text, .key("list"), .index(1)) == 3)
        #expect(self.line(text, .key("list"), .index(2)) == 5)
        #expect(self.line(text, .key("list"), .index(2), .key("b"), .key("c"), .index(1)) == 6)
        #expect(self.line(text, .key("x"), .key("y"), .key("z")) == 8)
    }

    @Test func stepsOverLongStrings() {
        let text = """
            a = \"\"\"
            b = 1
            \\\"\"\" still \"\"\"\"\"
            c = '''
            [[d]]
            '\\'''
            e = 2
            """
        #expect(self.line(text, .key("b")) == nil)
        #expect(self.line(text, .key("c")) == 4)
        #expect(self.line(text, .key("d")) == nil)
        #expect(self.line(text, .key("e")) == 7)
    }

    @Test func countsLinesThatEndInCarriageReturns() {
        let text = "a = 1\r\n\r\n[t]\r\nb = [\r\n1,\r\n2]\r\nc = 2020-01-01 10:00:00\r\nd = 1"
        #expect(self.line(text, .key("t"), .key("b"), .index(1)) == 6)
        #expect(self.line(text, .key("t"), .key("c")) == 7)
        #expect(self.line(text, .key("t"), .key("d")) == 8)
    }

    /// Nonsense may be located wrongly, but it must not trap or hang.
    @Test(arguments: 0..<300)
    func endsOnAnyText(seed: Int) {
        var state = UInt64(seed) &* 0x9E37_79B9_7F4A_7C15 | 1
        let alphabet = Array("ab.=[]{},\"'#\\\n\r u".utf8)
        var bytes: [UInt8] = []
        for _ in 0..<200 {
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            bytes.append(alphabet[Int(state >> 33) % alphabet.count])
        }
        let text = String(decoding: bytes, as: UTF8.self)
        #expect(KeyLocator(text)[[.key("nowhere")]] == nil)
        _ = Samples.clientErrors(text)
    }

    /// Headers on which the parser would end the process, and where they are complained about.
    @Test(arguments: ["[=]", "[ #", "[[,]]", "[\r\na]", "[ä]", "[{}]", "[.a]"])
    func refusesHeadersTheParserDiesOf(header: String) {
        let error = "c:3: syntax: got a table header without a name, expected TOML 1.0"
        #expect(Samples.clientErrors("a = 1\nb = '#['\n\(header)\nc = 1") == [error])
        // A mistake further up is what to tell.
        let first = Samples.clientErrors("a = \nb = 2\n\(header)").first
        #expect(first?.hasPrefix("c:1: syntax: got invalid TOML") == true)
    }

    @Test func refusesTablesTooDeepToWalk() {
        let keys = Array(repeating: "a", count: 100_000).joined(separator: ".")
        for text in ["\(keys) = 1", "[\(keys)]", "[[\(keys)]]"] {
            #expect(
                Samples.clientErrors("\n" + text) == [
                    "c:2: syntax: got tables too deep in each other, expected TOML 1.0"
                ]
            )
        }
    }

    @Test func survivesDeepNesting() {
        let text = "a = " + String(repeating: "[", count: 100_000)
        #expect(KeyLocator(text)[[.key("a")]] == 1)
        #expect(Samples.clientErrors(text).count == 1)
    }
}
