import Primitives

/// Cloudflare's Simple Proxy Protocol: 38 bytes before every datagram, in both directions.
///
/// There is neither version nor checksum and the magic has 16 bits, so it must never be guessed:
/// a listener or backend speaks it because its configuration says so.
extension ProxyHeader {
    /// Bytes of a Simple Proxy header: magic 2, two addresses of 16, two ports of 2.
    public static let simpleByteCount = 38
    private static let simpleMagic: UInt16 = 0x56EC

    /// Writes the 38 bytes; returns 38, or 0 if `buffer` is too small.
    ///
    /// What was read from such a header is written again bit for bit, which is how a reply has to
    /// be marked: the proxy that asked cuts 38 bytes off it.
    public func writeSimple(into buffer: UnsafeMutableRawBufferPointer) -> Int {
        guard let base = buffer.baseAddress, buffer.count >= Self.simpleByteCount else { return 0 }
        base.storeBig(Self.simpleMagic, at: 0)
        base.storeAddress(self.source, at: 2)
        base.storeAddress(self.destination, at: 18)
        base.storeBig(self.source.port, at: 34)
        base.storeBig(self.destination.port, at: 36)
        return Self.simpleByteCount
    }

    /// Reads the header at the front of a datagram; the payload begins 38 bytes in.
    public init?(simple datagram: UnsafeRawBufferPointer) {
        guard let base = datagram.baseAddress, datagram.count >= Self.simpleByteCount,
            base.big(0, as: UInt16.self) == Self.simpleMagic
        else { return nil }
        self.init(
            source: base.address(2, port: base.big(34)),
            destination: base.address(18, port: base.big(36)),
            transport: .datagram
        )
    }

    /// How many bytes to cut off a backend's reply: 38 if it repeats this very header, else none.
    ///
    /// A backend that answers bare keeps its whole datagram, even one that begins with the magic.
    public func simpleByteCount(ofReply datagram: UnsafeRawBufferPointer) -> Int {
        guard let other = Self(simple: datagram), other.source == self.source,
            other.destination == self.destination
        else { return 0 }
        return Self.simpleByteCount
    }
}
