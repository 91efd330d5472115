/// What an operator asks of a running process over its control socket: `POST /drain` or
/// `POST /undrain` with the query `service=…&backend=…`.
public struct AdminOrder: Hashable, Sendable {
    /// What became of the order: status 200 or 409.
    public enum Outcome: Hashable, Sendable {
        /// Both with a sentence for the operator.
        case done(String)
        /// Nothing has changed.
        case refused(String)
    }

    /// Called on the server's thread; may take a few seconds.
    public typealias Handler = @Sendable (AdminOrder) -> Outcome

    /// The service's name, as written in the configuration.
    public var service: String
    /// As written in the configuration.
    public var backend: String
    /// Whether it is to get nobody new.
    public var isDraining: Bool

    /// An order to drain a backend, or to take that back.
    public init(service: String, backend: String, isDraining: Bool) {
        self.service = service
        self.backend = backend
        self.isDraining = isDraining
    }

    /// What ``ControlClient`` posts.
    public var target: String {
        "/\(self.isDraining ? "drain" : "undrain")?service=\(PercentCode.encode(self.service))"
            + "&backend=\(PercentCode.encode(self.backend))"
    }

    /// Whether a path drains; `nil` for a path that orders nothing.
    static func kind(ofPath path: String) -> Bool? {
        switch path {
        case "/drain": true
        case "/undrain": false
        default: nil
        }
    }

    /// `nil` where a field is missing, twice there, or no text.
    init?(query: String, isDraining: Bool) {
        var fields: [String: String] = [:]
        for part in query.split(separator: "&", omittingEmptySubsequences: false) {
            let sides = part.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            guard sides.count == 2, let value = PercentCode.decode(sides[1]),
                fields.updateValue(value, forKey: String(sides[0])) == nil
            else { return nil }
        }
        guard let service = fields["service"], let backend = fields["backend"], fields.count == 2
        else { return nil }
        self.init(service: service, backend: backend, isDraining: isDraining)
    }
}

/// RFC 3986 §2.1.
enum PercentCode {
    static func encode(_ text: String) -> String {
        text.utf8.reduce(into: "") { result, byte in
            let isPlain =
                (48...57).contains(byte) || (65...90).contains(byte) || (97...122).contains(byte)
                || "-._~".utf8.contains(byte)
            if isPlain {
                result.unicodeScalars.append(Unicode.Scalar(byte))
            } else {
                result += (byte < 16 ? "%0" : "%") + String(byte, radix: 16, uppercase: true)
            }
        }
    }

    /// `nil` for a broken escape, and for what is not UTF-8.
    static func decode(_ text: Substring) -> String? {
        var bytes: [UInt8] = []
        var rest = Array(text.utf8)[...]
        while let byte = rest.popFirst() {
            guard byte == UInt8(ascii: "%") else {
                bytes.append(byte)
                continue
            }
            let digits = rest.prefix(2)
            guard digits.count == 2, digits.allSatisfy(Self.isHexDigit),
                let value = UInt8(String(decoding: digits, as: UTF8.self), radix: 16)
            else { return nil }
            bytes.append(value)
            rest = rest.dropFirst(2)
        }
        return String(validating: bytes, as: UTF8.self)
    }

    private static func isHexDigit(_ byte: UInt8) -> Bool {
        (48...57).contains(byte) || (65...70).contains(byte) || (97...102).contains(byte)
    }
}
