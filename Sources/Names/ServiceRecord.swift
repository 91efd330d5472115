import CCares

/// A SRV record (RFC 2782).
public struct ServiceRecord: Hashable, Sendable {
    /// Targets with lower numbers are tried first.
    public var priority: UInt16
    /// The share among targets of one priority; 0 is the smallest chance.
    public var weight: UInt16
    /// The port of the service on the target's host.
    public var port: UInt16
    /// Empty: the service is decidedly not available at this domain.
    public var target: String

    /// A record out of its fields; `target` is a host name in lower case, without the last dot.
    public init(priority: UInt16, weight: UInt16, port: UInt16, target: String) {
        self.priority = priority
        self.weight = weight
        self.port = port
        self.target = target
    }
}

/// The SRV records of a DNS message; c-ares' own reader leaves out how long they hold.
struct ServiceReply {
    private(set) var records: [ServiceRecord] = []
    /// In seconds.
    private(set) var timeToLive = UInt32.max

    private static let headerByteCount = 12
    private static let type: UInt16 = 33
    private static let internet: UInt16 = 1

    /// `nil` for what is no DNS message.
    init?(_ message: UnsafeRawBufferPointer) {
        guard message.count >= Self.headerByteCount else { return nil }
        var offset = Self.headerByteCount
        for _ in 0..<Self.word(message, 4) {
            guard let (_, end) = Self.name(message, at: offset) else { return nil }
            offset = end + 4
        }
        for _ in 0..<Self.word(message, 6) {
            guard let (_, end) = Self.name(message, at: offset), end + 10 <= message.count else {
                return nil
            }
            let length = Int(Self.word(message, end + 8))
            let body = end + 10
            guard body + length <= message.count else { return nil }
            if Self.word(message, end) == Self.type, Self.word(message, end + 2) == Self.internet {
                guard length >= 7, let (target, _) = Self.name(message, at: body + 6) else {
                    return nil
                }
                let seconds = UInt32(Self.word(message, end + 4)) << 16
                self.timeToLive = min(
                    self.timeToLive,
                    seconds | UInt32(Self.word(message, end + 6))
                )
                self.append(message, at: body, target)
            }
            offset = body + length
        }
    }

    private mutating func append(
        _ message: UnsafeRawBufferPointer,
        at offset: Int,
        _ target: String
    ) {
        // A target goes into logs and back into questions: nothing but a host's name.
        guard target.utf8.allSatisfy(Self.isHostNameByte) else { return }
        let record = ServiceRecord(
            priority: Self.word(message, offset),
            weight: Self.word(message, offset + 2),
            port: Self.word(message, offset + 4),
            target: target.lowercased()
        )
        if !self.records.contains(record) { self.records.append(record) }
    }

    private static func isHostNameByte(_ byte: UInt8) -> Bool {
        (48...57).contains(byte) || (65...90).contains(byte) || (97...122).contains(byte)
            || byte == 45 || byte == 46 || byte == 95
    }

    private static func word(_ message: UnsafeRawBufferPointer, _ offset: Int) -> UInt16 {
        UInt16(message[offset]) << 8 | UInt16(message[offset + 1])
    }

    /// A name that may be compressed, and where the bytes after it begin.
    private static func name(
        _ message: UnsafeRawBufferPointer,
        at offset: Int
    ) -> (String, end: Int)? {
        guard offset < message.count, let count = Int32(exactly: message.count),
            let base = message.assumingMemoryBound(to: UInt8.self).baseAddress
        else { return nil }
        var text: UnsafeMutablePointer<CChar>?
        var length = 0
        guard ares_expand_name(base + offset, base, count, &text, &length) == ARES_SUCCESS,
            let text
        else { return nil }
        defer { ares_free_string(text) }
        return (String(cString: text), offset + length)
    }
}
