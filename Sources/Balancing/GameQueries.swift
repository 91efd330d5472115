import Primitives

/// Valve's server query A2S_INFO, with the challenge it has had since December 2020.
enum A2SQuery {
    enum Reply: Equatable {
        case info
        case challenge(UInt32)
        case other
    }

    static func request(challenge: UInt32?) -> [UInt8] {
        var bytes: [UInt8] = [0xFF, 0xFF, 0xFF, 0xFF, 0x54]
        bytes += Array("Source Engine Query".utf8) + [0]
        if let challenge {
            // The four bytes go back as they came; their order means nothing.
            unsafe bytes += withUnsafeBytes(of: challenge.littleEndian) { unsafe Array($0) }
        }
        return bytes
    }

    static func read(_ bytes: UnsafeRawBufferPointer) -> Reply {
        var reader = unsafe ByteReader(bytes)
        guard let head = reader.read(UInt32.self) else { return .other }
        // Split answers begin with -2 instead of -1; only a living server sends any.
        if head == 0xFFFF_FFFE { return reader.remaining >= 8 ? .info : .other }
        guard head == 0xFFFF_FFFF, let type = reader.read(UInt8.self) else { return .other }
        switch type {
        // `I`, and `m` of servers from before Source.
        case 0x49, 0x6D: return reader.remaining > 0 ? .info : .other
        case 0x41:
            guard let challenge = reader.read(UInt32.self) else { return .other }
            return .challenge(challenge)
        default: return .other
        }
    }
}

/// RakNet's unconnected ping and pong.
enum RakNetPing {
    private static let magic: [UInt8] = [
        0x00, 0xFF, 0xFF, 0x00, 0xFE, 0xFE, 0xFE, 0xFE,
        0xFD, 0xFD, 0xFD, 0xFD, 0x12, 0x34, 0x56, 0x78,
    ]

    static func request(time: UInt64, client: UInt64) -> [UInt8] {
        [0x01] + self.bigEndian(time) + self.magic + self.bigEndian(client)
    }

    /// The pong repeats the ping's time; the server's identity and its text do not matter.
    static func isPong(_ bytes: UnsafeRawBufferPointer, time: UInt64) -> Bool {
        guard bytes.count >= 33, unsafe bytes[0] == 0x1C else { return false }
        return unsafe bytes[1..<9].elementsEqual(self.bigEndian(time))
            && bytes[17..<33].elementsEqual(self.magic)
    }

    private static func bigEndian(_ value: UInt64) -> [UInt8] {
        unsafe withUnsafeBytes(of: value.bigEndian) { unsafe Array($0) }
    }
}

/// Minecraft's handshake with next state 1 and the status request after it.
enum MinecraftStatus {
    /// As much of an answer as has to be seen.
    static let headLimit = 64
    /// A string of the protocol has at most 32,767 characters of at most four bytes.
    private static let textLimit: UInt32 = 32_767 * 4

    static func request(host: String, port: UInt16) -> [UInt8] {
        // A name has at most 255 bytes in the protocol.
        let name = Array(host.utf8.prefix(255))
        // Protocol version -1: a client that only wants to know.
        var body: [UInt8] = [0x00, 0xFF, 0xFF, 0xFF, 0xFF, 0x0F]
        body += self.variableLength(UInt32(name.count)) + name
        body += [UInt8(port >> 8), UInt8(port & 255), 0x01]
        return self.variableLength(UInt32(body.count)) + body + [0x01, 0x00]
    }

    /// A packet of type 0 that begins with a JSON object of a length that fits into it.
    static func judge(_ bytes: [UInt8]) -> ProbeExchange.Step {
        var cursor = 0
        guard let length = self.readVariableLength(bytes, &cursor) else {
            return cursor < 0 ? .wrong : .wait
        }
        let start = cursor
        guard cursor < bytes.count else { return .wait }
        guard bytes[cursor] == 0 else { return .wrong }
        cursor += 1
        guard let textLength = self.readVariableLength(bytes, &cursor) else {
            return cursor < 0 ? .wrong : .wait
        }
        let room = Int(length) - (cursor - start)
        guard textLength <= Self.textLimit, Int(textLength) <= room, textLength >= 2 else {
            return .wrong
        }
        guard cursor < bytes.count else { return .wait }
        return bytes[cursor] == UInt8(ascii: "{") ? .alive : .wrong
    }

    /// Seven bits to a byte, lowest first.
    static func variableLength(_ value: UInt32) -> [UInt8] {
        var bytes: [UInt8] = []
        var rest = value
        while rest >= 0x80 {
            bytes.append(UInt8(rest & 0x7F) | 0x80)
            rest >>= 7
        }
        return bytes + [UInt8(rest)]
    }

    /// `nil` if bytes are missing; with `cursor` at -1 if it is longer than five bytes.
    private static func readVariableLength(_ bytes: [UInt8], _ cursor: inout Int) -> UInt32? {
        var value: UInt32 = 0
        for place in 0..<5 {
            guard cursor < bytes.count else { return nil }
            let byte = bytes[cursor]
            cursor += 1
            value |= UInt32(byte & 0x7F) << UInt32(7 * place)
            if byte < 0x80 { return value }
        }
        cursor = -1
        return nil
    }
}

/// A DNS question that every name server can say something to (RFC 1035 §4.1).
enum DNSQuery {
    /// The address of `name`, or the root's name servers; recursion desired.
    ///
    /// `name`: a host name as RFC 1123 has it.
    static func request(id: UInt16, name: String?) -> [UInt8] {
        var query = [UInt8(id >> 8), UInt8(id & 255), 0x01, 0x00, 0, 1, 0, 0, 0, 0, 0, 0]
        for label in (name ?? "").utf8.split(separator: 46) {
            query.append(UInt8(clamping: label.count))
            query += label
        }
        return query + [0x00, 0, name == nil ? 2 : 1, 0, 1]
    }

    static func judge(_ bytes: UnsafeRawBufferPointer, id: UInt16) -> ProbeExchange.Step {
        guard bytes.count >= 12, unsafe bytes[0] == UInt8(id >> 8),
            unsafe bytes[1] == UInt8(id & 255),
            unsafe bytes[2] & 0xF8 == 0x80
        else { return .wait }
        // A server that may not answer says REFUSED and is well; SERVFAIL (2) is not.
        return unsafe bytes[3] & 15 == 2 ? .wrong : .alive
    }
}
