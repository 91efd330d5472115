import Primitives

/// Words of a command line as a message may show them.
public enum PlainWord {
    /// As it is where a shell takes it as it is, else in single quotes; never a control character.
    public static func quoted(_ word: String) -> String {
        let plain = PlainText.escaped(word)
        let isBare = plain.utf8.allSatisfy { byte in
            (48...57).contains(byte) || (65...90).contains(byte) || (97...122).contains(byte)
                || "-._/:@%+=,".utf8.contains(byte)
        }
        guard isBare, !plain.isEmpty else {
            return "'" + plain.replacing("'", with: "'\\''") + "'"
        }
        return plain
    }
}
