/// Prose cut into lines, for pages that programs write.
public enum Paragraph {
    /// `text` in lines of at most `width` characters, every one after `first` or `rest`.
    ///
    /// A word that is longer has a line of its own. What stands between backticks is one word.
    public static func wrapped(
        _ text: String,
        width: Int,
        first: String = "",
        rest: String = ""
    ) -> String {
        var lines: [String] = []
        var line = first
        var isFresh = true
        for word in Self.words(of: text) {
            if !isFresh, line.count + 1 + word.count > width {
                lines.append(line)
                line = rest
                isFresh = true
            }
            line += isFresh ? word : " " + word
            isFresh = false
        }
        lines.append(line)
        return lines.joined(separator: "\n")
    }

    private static func words(of text: String) -> [String] {
        var words: [String] = []
        var word = ""
        var isCode = false
        for character in text {
            if character == "`" { isCode.toggle() }
            if character == " ", !isCode {
                if !word.isEmpty { words.append(word) }
                word = ""
            } else {
                word.append(character)
            }
        }
        return word.isEmpty ? words : words + [word]
    }
}
