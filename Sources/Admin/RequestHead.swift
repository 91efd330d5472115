/// The head of an HTTP request (RFC 9112), as far as four read-only pages need it.
struct RequestHead: Equatable {
    /// Longer heads are refused with 431.
    static let maximumByteCount = 8192

    enum Parsed: Equatable {
        /// The head's end has not arrived yet.
        case incomplete
        case head(RequestHead)
        /// The status to refuse it with.
        case refused(Int)
    }

    var method: String
    /// Without the query.
    var path: String
    /// What follows the question mark, as it came.
    var query = ""
    /// What the client calls this address; every browser says so.
    var host: String?
    /// Whether `text/plain` is what the client wants most.
    var prefersText = false

    /// Looks at everything received so far.
    static func parse(_ bytes: [UInt8]) -> Parsed {
        guard let end = Self.end(of: bytes) else {
            return bytes.count < Self.maximumByteCount ? .incomplete : .refused(431)
        }
        guard end <= Self.maximumByteCount else { return .refused(431) }
        var lines = bytes[..<end].split(separator: 10, omittingEmptySubsequences: false).map {
            $0.last == 13 ? $0.dropLast() : $0
        }
        // Behind the last line feed, and the empty line that ends the head.
        lines.removeLast(2)
        guard lines.allSatisfy({ $0.allSatisfy(Self.isText) }), let first = lines.first else {
            return .refused(400)
        }
        return Self.parse(first, fields: lines.dropFirst())
    }

    /// Just behind the empty line; a bare line feed ends a line too (RFC 9112 §2.2).
    private static func end(of bytes: [UInt8]) -> Int? {
        var isLineEmpty = false
        for (index, byte) in bytes.enumerated() {
            switch byte {
            case 10 where isLineEmpty: return index + 1
            case 10: isLineEmpty = true
            case 13: break
            default: isLineEmpty = false
            }
        }
        return nil
    }

    private static func parse(
        _ requestLine: ArraySlice<UInt8>,
        fields: ArraySlice<ArraySlice<UInt8>>
    ) -> Parsed {
        let words = requestLine.split(separator: 32, omittingEmptySubsequences: false)
        guard words.count == 3, !words[0].isEmpty, words[0].allSatisfy(Self.isToken),
            words[2].starts(with: "HTTP/".utf8)
        else { return .refused(400) }
        guard words[2].elementsEqual("HTTP/1.1".utf8) || words[2].elementsEqual("HTTP/1.0".utf8)
        else { return .refused(505) }
        guard words[1].first == UInt8(ascii: "/") else { return .refused(400) }
        let path = words[1].prefix { $0 != UInt8(ascii: "?") }
        var head = RequestHead(
            method: String(decoding: words[0], as: UTF8.self),
            path: String(decoding: path, as: UTF8.self),
            query: String(decoding: words[1].dropFirst(path.count + 1), as: UTF8.self)
        )
        return head.read(fields) ? .head(head) : .refused(400)
    }

    /// Whether the fields are what they should be.
    private mutating func read(_ fields: ArraySlice<ArraySlice<UInt8>>) -> Bool {
        for field in fields {
            guard let colon = field.firstIndex(of: UInt8(ascii: ":")), colon > field.startIndex,
                field[..<colon].allSatisfy(Self.isToken)
            else { return false }
            let name = String(decoding: field[..<colon], as: UTF8.self).lowercased()
            let value = String(decoding: field[(colon + 1)...].drop { $0 == 32 }, as: UTF8.self)
            switch name {
            // Twice is ambiguous (RFC 9112 §3.2).
            case "host" where self.host != nil: return false
            case "host": self.host = value
            case "accept": self.prefersText = value.hasPrefix("text/plain")
            // A body would be the next request to somebody who does not look (smuggling).
            case "transfer-encoding": return false
            case "content-length" where value != "0": return false
            default: break
            }
        }
        return true
    }

    /// Everything but control characters, of which a tab may stand in a field.
    private static func isText(_ byte: UInt8) -> Bool {
        byte >= 32 && byte != 127 || byte == 9
    }

    /// RFC 9110 §5.6.2.
    private static func isToken(_ byte: UInt8) -> Bool {
        (48...57).contains(byte) || (65...90).contains(byte) || (97...122).contains(byte)
            || "!#$%&'*+-.^_`|~".utf8.contains(byte)
    }
}
