import Primitives
import Testing

@testable import Origin

/// Bytes in hexadecimal, blanks allowed.
func hex(_ text: String) -> [UInt8] {
    let digits = text.filter { $0 != " " && $0 != "\n" }.compactMap(\.hexDigitValue)
    return stride(from: 0, to: digits.count - 1, by: 2).map {
        UInt8(digits[$0] * 16 + digits[$0 + 1])
    }
}

/// What `write` puts into a buffer of `capacity` bytes.
func written(
    capacity: Int = 1024,
    _ write: (UnsafeMutableRawBufferPointer) -> Int
) -> [UInt8] {
    var buffer = [UInt8](repeating: 0xEE, count: capacity)
    let count = buffer.withUnsafeMutableBytes { write($0) }
    // What did not fit may have been begun.
    #expect(count == 0 || buffer[count...].allSatisfy { $0 == 0xEE }, "wrote beyond its count")
    return Array(buffer[..<count])
}

func address(_ text: String) -> SocketAddress {
    SocketAddress(text) ?? SocketAddress(high: 0, low: 0, port: 0)
}

func prefix(_ text: String) throws -> AddressPrefix { try #require(AddressPrefix(text)) }

extension ProxyHeader {
    init(_ source: String, _ destination: String, _ transport: Transport = .stream) {
        self.init(
            source: address(source),
            destination: address(destination),
            transport: transport
        )
    }
}

/// Feeds `bytes` in the given pieces and returns the outcome and how much was header in all.
func feed(
    _ bytes: [UInt8],
    cuts: [Int] = [],
    accepting versions: ProxyHeaderParser.Versions = .either
) -> (outcome: ProxyHeaderParser.Outcome, byteCount: Int) {
    var parser = ProxyHeaderParser(accepting: versions)
    var start = 0
    for end in cuts + [bytes.count] {
        let piece = Array(bytes[start..<end])
        let outcome = piece.withUnsafeBytes { parser.feed($0) }
        if case .header(_, let consumed) = outcome { return (outcome, start + consumed) }
        if outcome != .needMore { return (outcome, 0) }
        start = end
    }
    return (.needMore, 0)
}

/// The header, if `bytes` hold one, and how long it is.
func parsed(
    _ bytes: [UInt8],
    cuts: [Int] = [],
    accepting versions: ProxyHeaderParser.Versions = .either
) -> (header: ProxyHeader?, byteCount: Int)? {
    let (outcome, byteCount) = feed(bytes, cuts: cuts, accepting: versions)
    guard case .header(let header, _) = outcome else { return nil }
    return (header, byteCount)
}

func fault(
    _ bytes: [UInt8],
    accepting versions: ProxyHeaderParser.Versions = .either
) -> HeaderFault? {
    guard case .invalid(let fault) = feed(bytes, accepting: versions).outcome else { return nil }
    return fault
}

extension SeededGenerator {
    mutating func address() -> SocketAddress {
        let port = UInt16(truncatingIfNeeded: self.next())
        if self.chance(1, in: 2) {
            return SocketAddress(ipv4: UInt32(truncatingIfNeeded: self.next()), port: port)
        }
        // Groups of zeros are what texts are about.
        var halves: [UInt64] = [self.next(), self.next()]
        for _ in 0..<self.below(6) {
            halves[Int(self.below(2))] &= ~(0xFFFF << (16 * self.below(4)))
        }
        return SocketAddress(high: halves[0], low: halves[1], port: port)
    }

    mutating func header(_ transport: ProxyHeader.Transport) -> ProxyHeader {
        ProxyHeader(source: self.address(), destination: self.address(), transport: transport)
    }

    mutating func bytes(_ count: Int) -> [UInt8] {
        (0..<count).map { _ in UInt8(truncatingIfNeeded: self.next()) }
    }
}
