import Primitives
import Testing

@Suite struct ParagraphTests {
    @Test func cutsAtTheWidth() {
        #expect(Paragraph.wrapped("aa bb cc", width: 5) == "aa bb\ncc")
        #expect(Paragraph.wrapped("aa bb cc", width: 4) == "aa\nbb\ncc")
        #expect(Paragraph.wrapped("", width: 5) == "")
    }

    @Test func indentsWhatFollows() {
        let text = Paragraph.wrapped("aa bb cc", width: 7, first: "* ", rest: "  ")
        #expect(text == "* aa bb\n  cc")
    }

    @Test func keepsCodeAndLongWordsWhole() {
        #expect(Paragraph.wrapped("a `b c d` e", width: 5) == "a\n`b c d`\ne")
        #expect(Paragraph.wrapped("abcdefgh i", width: 3) == "abcdefgh\ni")
    }
}
