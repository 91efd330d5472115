/// What TOML allows without quotes.
enum BareWord {
    /// Whether `word` is a boolean or has the shape of a number or a date; where underscores may
    /// stand and how large a number may be is left to the parser.
    static func isKnown(_ word: ArraySlice<UInt8>) -> Bool {
        if word.elementsEqual("true".utf8) || word.elementsEqual("false".utf8) { return true }
        var rest = word
        if rest.first == UInt8(ascii: "+") || rest.first == UInt8(ascii: "-") { rest.removeFirst() }
        if rest.elementsEqual("inf".utf8) || rest.elementsEqual("nan".utf8) { return true }
        for prefix in ["0x", "0o", "0b"] where rest.starts(with: prefix.utf8) {
            let digits = rest.dropFirst(2)
            return !digits.isEmpty && digits.allSatisfy(Self.isHexDigit)
        }
        return Self.isDecimal(rest) || Self.isDate(word)
    }

    /// `2027-01-31`, perhaps with a time and its offset.
    private static func isDate(_ word: ArraySlice<UInt8>) -> Bool {
        word.count >= 10 && word.dropFirst(4).first == UInt8(ascii: "-")
            && word.allSatisfy { (48...57).contains($0) || "-:.+TtZz ".utf8.contains($0) }
    }

    /// Digits, perhaps a fraction, perhaps an exponent.
    private static func isDecimal(_ word: ArraySlice<UInt8>) -> Bool {
        var rest = word
        guard Self.takeDigits(&rest) else { return false }
        if rest.first == UInt8(ascii: ".") {
            rest.removeFirst()
            guard Self.takeDigits(&rest) else { return false }
        }
        if rest.first == UInt8(ascii: "e") || rest.first == UInt8(ascii: "E") {
            rest.removeFirst()
            if rest.first == UInt8(ascii: "+") || rest.first == UInt8(ascii: "-") {
                rest.removeFirst()
            }
            guard Self.takeDigits(&rest) else { return false }
        }
        return rest.isEmpty
    }

    private static func takeDigits(_ word: inout ArraySlice<UInt8>) -> Bool {
        let digits = word.prefix { (48...57).contains($0) || $0 == UInt8(ascii: "_") }
        word.removeFirst(digits.count)
        return !digits.isEmpty
    }

    private static func isHexDigit(_ byte: UInt8) -> Bool {
        (48...57).contains(byte) || (65...70).contains(byte) || (97...102).contains(byte)
            || byte == UInt8(ascii: "_")
    }
}
