import Origin
import Primitives

/// What a proxy in front, or somebody who says to be one, writes.
func fuzzHeaders(_ input: inout Input) {
    let choice = input.byte()
    guard choice & 1 == 0 else { return fuzzDatagramHeaders(&input, choice) }
    let versions: [ProxyHeaderParser.Versions] = [.v1, .v2, .either]
    var parser = ProxyHeaderParser(accepting: versions[Int(choice >> 1) % 3])
    let pieceSize = choice & 0x80 == 0 ? Int.max : 1 + input.below(16)
    while !input.isEmpty {
        let piece = input.bytes(pieceSize)
        let outcome = piece.withUnsafeBytes { parser.feed($0) }
        switch outcome {
        case .needMore: continue
        case .invalid: return
        case .header(let header, let consumed):
            Oracle.hold(consumed <= piece.count, "the header is longer than what came")
            Oracle.hold(parser.authority.count <= 255, "the authority is too long")
            guard let header else { return }
            return rewrite(header)
        }
    }
}

private func fuzzDatagramHeaders(_ input: inout Input, _ choice: UInt8) {
    let dialect = HeaderDialect.allCases[Int(choice >> 2) % HeaderDialect.allCases.count]
    let acceptor = DatagramAcceptor(
        choice & 2 == 0 ? .simple : .proxyV2(dialect),
        key: HashKey(first: 1, second: 2),
        capacity: 16
    )
    var now = Instant(nanoseconds: 1_000_000_000)
    while !input.isEmpty {
        let proxy = SocketAddress(ipv4: 0xC000_0200 + UInt32(input.byte() & 31), port: 4000)
        let datagram = input.bytes(input.below(256))
        let outcome = datagram.withUnsafeBytes { acceptor.accept($0, from: proxy, at: now) }
        if case .payload(let header, let offset) = outcome {
            Oracle.hold(offset <= datagram.count, "the payload begins behind its end")
            if let header { rewrite(header) }
        }
        _ = datagram.withUnsafeBytes { ProxyHeaderParser.extensions(ofDatagram: $0) }
        acceptor.replied(to: proxy, at: now)
        now = now + .init(nanoseconds: input.nanoseconds())
        Oracle.hold(acceptor.associationCount <= 16, "more associations than there are places")
    }
}

/// A header that was read can be written.
private func rewrite(_ header: ProxyHeader) {
    let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 64, alignment: 8)
    defer { buffer.deallocate() }
    _ = header.writeSimple(into: buffer)
}
