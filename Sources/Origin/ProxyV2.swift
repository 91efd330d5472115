import Primitives

/// The binary PROXY protocol, version 2 (haproxy `doc/proxy-protocol.txt` §2.2).
enum ProxyV2 {
    static let fixedByteCount = 16
    /// The fixed part and a generous 4 KiB of addresses and extensions.
    static let maximumByteCount = 16 + 4096
    /// `0D 0A 0D 0A 00 0D 0A 51 55 49 54 0A`, which no text and no TLS record begins with.
    static let signatureHead: UInt64 = 0x0D0A_0D0A_000D_0A51
    static let signatureTail: UInt32 = 0x5549_540A
    static let signatureByteCount = 12

    /// Where an extension's value lies in the bytes that were parsed; empty if it is absent.
    struct Field: Equatable {
        var offset = 0
        var count = 0
    }

    struct Header: Equatable {
        /// `nil`: the proxy speaks for itself (LOCAL) or does not know; take the peer.
        var addresses: ProxyHeader?
        var isLocal = false
        var byteCount = 0
        var uniqueID = Field()
        var authority = Field()
    }

    enum Outcome: Equatable {
        /// Nothing can be said before this many bytes are there.
        case needMore(byteCount: Int)
        case header(Header)
        case invalid(HeaderFault)
    }

    /// Reads the header at the front of `bytes`; what follows it does not matter.
    static func parse(
        _ bytes: UnsafeRawBufferPointer,
        transport: ProxyHeader.Transport
    ) -> Outcome {
        guard Self.beginsWithSignature(bytes) else { return .invalid(.signature) }
        if bytes.count > 12 {
            guard bytes[12] >> 4 == 2 else { return .invalid(.version) }
            guard bytes[12] & 15 <= 1 else { return .invalid(.command) }
        }
        guard bytes.count >= Self.fixedByteCount, let base = bytes.baseAddress else {
            return .needMore(byteCount: Self.fixedByteCount)
        }
        let total = Self.fixedByteCount + Int(base.big(14, as: UInt16.self))
        guard total <= Self.maximumByteCount else { return .invalid(.oversize) }
        let isLocal = bytes[12] & 15 == 0
        let family = bytes[13]
        // The specification wants LOCAL accepted whatever its family says.
        let addressCount = Self.addressByteCount(family)
        if !isLocal {
            guard let addressCount else { return .invalid(.family) }
            guard Self.fixedByteCount + addressCount <= total else { return .invalid(.length) }
            guard family & 15 == 0 || family & 15 == transport.rawValue else {
                return .invalid(.transport)
            }
        }
        guard bytes.count >= total else { return .needMore(byteCount: total) }
        var header = Header(isLocal: isLocal, byteCount: total)
        let whole = UnsafeRawBufferPointer(rebasing: bytes[..<total])
        let start = Self.fixedByteCount + (addressCount ?? 0)
        let fault = start <= total ? Self.readExtensions(whole, from: start, &header) : nil
        if isLocal {
            // What looks like a checksum and is wrong is damage; all else of LOCAL is ignored.
            return fault == .checksum
                ? .invalid(.checksum) : .header(Header(isLocal: true, byteCount: total))
        }
        if let fault { return .invalid(fault) }
        header.addresses = Self.addresses(base, family)
        return .header(header)
    }

    /// Whether the whole signature is in front.
    static func begins(_ bytes: UnsafeRawBufferPointer) -> Bool {
        bytes.count >= Self.signatureByteCount && Self.beginsWithSignature(bytes)
    }

    /// Whether `bytes` are the signature or the beginning of one.
    static func beginsWithSignature(_ bytes: UnsafeRawBufferPointer) -> Bool {
        if bytes.count >= Self.signatureByteCount, let base = bytes.baseAddress {
            return base.big(0) == Self.signatureHead && base.big(8) == Self.signatureTail
        }
        for index in bytes.indices where bytes[index] != Self.signatureByte(index) {
            return false
        }
        return true
    }

    private static func signatureByte(_ index: Int) -> UInt8 {
        index < 8
            ? UInt8(truncatingIfNeeded: Self.signatureHead >> UInt64(56 - 8 * index))
            : UInt8(truncatingIfNeeded: Self.signatureTail >> UInt32(88 - 8 * index))
    }

    /// UNIX sockets have no address that a player could have, so they are refused like nonsense.
    private static func addressByteCount(_ family: UInt8) -> Int? {
        switch family {
        case 0x00: 0
        case 0x11, 0x12: 12
        case 0x21, 0x22: 36
        default: nil
        }
    }

    private static func addresses(_ base: UnsafeRawPointer, _ family: UInt8) -> ProxyHeader? {
        guard let transport = ProxyHeader.Transport(rawValue: family & 15) else { return nil }
        if family >> 4 == 1 {
            return ProxyHeader(
                source: SocketAddress(ipv4: base.big(16), port: base.big(24)),
                destination: SocketAddress(ipv4: base.big(20), port: base.big(26)),
                transport: transport
            )
        }
        return ProxyHeader(
            source: base.address(16, port: base.big(48)),
            destination: base.address(32, port: base.big(50)),
            transport: transport
        )
    }

    private static func readExtensions(
        _ header: UnsafeRawBufferPointer,
        from start: Int,
        _ result: inout Header
    ) -> HeaderFault? {
        var offset = start
        var checksumOffset: Int?
        while offset < header.count {
            guard offset + 3 <= header.count else { return .extensions }
            let count = Int(header[offset + 1]) << 8 | Int(header[offset + 2])
            let value = Field(offset: offset + 3, count: count)
            guard value.offset + count <= header.count else { return .extensions }
            switch header[offset] {
            case ProxyTLVs.checksumType:
                guard count == 4, checksumOffset == nil else { return .extensions }
                checksumOffset = value.offset
            case ProxyTLVs.uniqueIDType:
                guard count <= ProxyTLVs.uniqueIDLimit else { return .extensions }
                result.uniqueID = value
            case ProxyTLVs.authorityType where count <= ProxyTLVs.authorityLimit:
                result.authority = value
            default: break
            }
            offset = value.offset + count
        }
        guard let checksumOffset, let base = header.baseAddress else { return nil }
        let stated: UInt32 = base.big(checksumOffset)
        return CRC32C.of(header, zeroing: checksumOffset) == stated ? nil : .checksum
    }
}
