/// A NAT beside the client that forgets its mappings and makes new ones (RFC 4787).
///
/// Until the first ``rebind()`` packets pass as they are.
struct PortTranslation {
    private var mask: UInt16 = 0
    private var isMapping = false
    /// Outer ports that the client has sent from since the last rebinding.
    private var mapped: Set<UInt16> = []
    private var rebindings: UInt16 = 0

    /// All mappings are gone; the next packet of every port goes out from another one.
    mutating func rebind() {
        self.isMapping = true
        self.rebindings += 1
        // Any bits but the highest and lowest few: ports stay unprivileged and apart.
        self.mask = 0x1230 ^ (self.rebindings << 4 & 0x0FF0)
        self.mapped = []
    }

    /// Gives a packet of the client its outer source port.
    mutating func translateUp(_ packet: UnsafeMutableRawBufferPointer) {
        guard self.isMapping, let transport = Self.transport(packet) else { return }
        let port = Self.load(packet, transport.offset)
        Self.exchange(port ^ self.mask, at: transport.offset, in: packet, transport)
        self.mapped.insert(port ^ self.mask)
    }

    /// Gives a packet for the client its inner destination port; false when nobody is mapped there
    /// and the packet is dropped.
    func translateDown(_ packet: UnsafeMutableRawBufferPointer) -> Bool {
        guard self.isMapping, let transport = Self.transport(packet) else { return true }
        let port = Self.load(packet, transport.offset + 2)
        guard self.mapped.contains(port) else { return false }
        Self.exchange(port ^ self.mask, at: transport.offset + 2, in: packet, transport)
        return true
    }

    private struct Header {
        /// Where the ports begin.
        var offset: Int
        /// Where the checksum is.
        var checksum: Int
        /// Whether a checksum of zero says that there is none.
        var isOptional: Bool
    }

    /// The transport header of an unfragmented IPv4 packet of UDP or TCP.
    private static func transport(_ packet: UnsafeMutableRawBufferPointer) -> Header? {
        guard packet.count >= 20, packet[0] >> 4 == 4, Self.load(packet, 6) & 0x3FFF == 0 else {
            return nil
        }
        let offset = Int(packet[0] & 15) * 4
        switch packet[9] {
        case 17 where packet.count >= offset + 8:
            return Header(offset: offset, checksum: offset + 6, isOptional: true)
        case 6 where packet.count >= offset + 20:
            return Header(offset: offset, checksum: offset + 16, isOptional: false)
        default: return nil
        }
    }

    private static func load(_ packet: UnsafeMutableRawBufferPointer, _ offset: Int) -> UInt16 {
        UInt16(packet[offset]) << 8 | UInt16(packet[offset + 1])
    }

    private static func store(
        _ value: UInt16,
        _ packet: UnsafeMutableRawBufferPointer,
        _ offset: Int
    ) {
        packet[offset] = UInt8(value >> 8)
        packet[offset + 1] = UInt8(truncatingIfNeeded: value)
    }

    /// Writes a port and mends the checksum (RFC 1624, equation 3).
    private static func exchange(
        _ port: UInt16,
        at offset: Int,
        in packet: UnsafeMutableRawBufferPointer,
        _ header: Header
    ) {
        let old = Self.load(packet, offset)
        Self.store(port, packet, offset)
        let checksum = Self.load(packet, header.checksum)
        if header.isOptional, checksum == 0 { return }
        var sum = UInt32(~checksum) + UInt32(~old) + UInt32(port)
        while sum > 0xFFFF { sum = sum & 0xFFFF + sum >> 16 }
        let mended = ~UInt16(truncatingIfNeeded: sum)
        Self.store(header.isOptional && mended == 0 ? 0xFFFF : mended, packet, header.checksum)
    }
}
