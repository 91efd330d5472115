import Primitives

/// The PROXY protocol's line of text, version 1: TCP alone, though nginx sends it over UDP too.
///
/// haproxy `doc/proxy-protocol.txt` §2.1: single spaces, no leading zeros, CR LF within 107 bytes.
enum ProxyV1 {
    static let maximumByteCount = 107
    private static let opening: StaticString = "PROXY "

    enum Outcome: Equatable {
        case needMore
        /// `nil`: `UNKNOWN`, take the peer for the player.
        case header(ProxyHeader?, byteCount: Int)
        case invalid(HeaderFault)
    }

    static func begins(_ bytes: UnsafeRawBufferPointer) -> Bool {
        let opening = UnsafeRawBufferPointer(
            start: Self.opening.utf8Start,
            count: Self.opening.utf8CodeUnitCount
        )
        return bytes.count >= opening.count
            && bytes.prefix(opening.count).elementsEqual(opening)
    }

    /// Reads the line at the front of `bytes`; what follows it does not matter.
    static func parse(_ bytes: UnsafeRawBufferPointer) -> Outcome {
        for index in 0..<min(bytes.count, Self.opening.utf8CodeUnitCount)
        where bytes[index] != Self.opening.utf8Start[index] {
            return .invalid(.signature)
        }
        var end = 0
        while end < bytes.count, bytes[end] != 13, bytes[end] != 10 {
            end += 1
            guard end < Self.maximumByteCount - 1 else { return .invalid(.oversize) }
        }
        guard end < bytes.count else { return .needMore }
        guard bytes[end] == 13 else { return .invalid(.text) }
        guard end + 1 < bytes.count else { return .needMore }
        guard bytes[end + 1] == 10 else { return .invalid(.text) }
        let fields = bytes[Self.opening.utf8CodeUnitCount..<end]
        if Self.isUnknown(fields) { return .header(nil, byteCount: end + 2) }
        guard let header = Self.header(fields) else { return .invalid(.text) }
        return .header(header, byteCount: end + 2)
    }

    private static func isUnknown(_ fields: AddressText.Bytes) -> Bool {
        let word: StaticString = "UNKNOWN"
        let count = word.utf8CodeUnitCount
        guard fields.count >= count,
            fields.count == count || fields[fields.startIndex + count] == 32
        else { return false }
        return fields.prefix(count).elementsEqual(
            UnsafeBufferPointer(start: word.utf8Start, count: count)
        )
    }

    /// `TCP4 192.0.2.1 192.0.2.2 1111 2222`.
    private static func header(_ fields: AddressText.Bytes) -> ProxyHeader? {
        var rest = fields
        guard let family = Self.word(&rest), family.count == 4, family.first == 84,
            family[family.startIndex + 1] == 67, family[family.startIndex + 2] == 80,
            let source = Self.word(&rest), let destination = Self.word(&rest),
            let sourcePort = Self.word(&rest).flatMap(AddressText.port),
            let destinationPort = AddressText.port(rest)
        else { return nil }
        let sourceAddress: SocketAddress
        let destinationAddress: SocketAddress
        switch family[family.startIndex + 3] {
        case 52:
            guard let a = AddressText.ipv4(source), let b = AddressText.ipv4(destination) else {
                return nil
            }
            sourceAddress = SocketAddress(ipv4: a, port: sourcePort)
            destinationAddress = SocketAddress(ipv4: b, port: destinationPort)
        case 54:
            guard let a = AddressText.ipv6(source), let b = AddressText.ipv6(destination) else {
                return nil
            }
            sourceAddress = SocketAddress(high: a.high, low: a.low, port: sourcePort)
            destinationAddress = SocketAddress(high: b.high, low: b.low, port: destinationPort)
        default:
            return nil
        }
        return ProxyHeader(
            source: sourceAddress,
            destination: destinationAddress,
            transport: .stream
        )
    }

    /// Everything before the next space, which is consumed with it; `nil` if there is none.
    private static func word(_ rest: inout AddressText.Bytes) -> AddressText.Bytes? {
        guard let space = rest.firstIndex(of: 32) else { return nil }
        defer { rest = rest[(space + 1)...] }
        return rest[..<space]
    }
}

extension ProxyHeader {
    /// Enough for every line of PROXY v1.
    public static let v1MaximumByteCount = ProxyV1.maximumByteCount

    /// Writes the line of PROXY v1 and returns its length, or 0 if `buffer` is too small.
    ///
    /// 107 bytes are always enough. The header's transport plays no part: version 1 is for TCP.
    /// Addresses of two families are both written as IPv6, IPv4 in its mapped form.
    public func writeV1(into buffer: UnsafeMutableRawBufferPointer) -> Int {
        var text = TextWriter(buffer)
        text.write(self.isIPv4 ? "PROXY TCP4 " : "PROXY TCP6 ")
        self.isIPv4 ? text.writeIPv4(self.source.ipv4) : text.writeIPv6(self.source)
        text.write(32)
        self.isIPv4 ? text.writeIPv4(self.destination.ipv4) : text.writeIPv6(self.destination)
        text.write(32)
        text.write(UInt32(self.source.port), radix: 10)
        text.write(32)
        text.write(UInt32(self.destination.port), radix: 10)
        text.write("\r\n")
        return text.isFull ? 0 : text.count
    }

    /// The line for a connection that no player stands behind: `PROXY UNKNOWN`.
    public static func writeUnknownV1(into buffer: UnsafeMutableRawBufferPointer) -> Int {
        var text = TextWriter(buffer)
        text.write("PROXY UNKNOWN\r\n")
        return text.isFull ? 0 : text.count
    }
}
