import Primitives

extension ProxyHeader {
    /// The length of this header in PROXY v2.
    public func v2ByteCount(_ extensions: ProxyTLVs = .none) -> Int {
        ProxyV2.fixedByteCount + (self.isIPv4 ? 12 : 36) + extensions.byteCount
    }

    /// Writes the header in PROXY v2 and returns its length, or 0 if `buffer` is too small.
    ///
    /// Addresses of two families are both written as IPv6, IPv4 in its mapped form. The checksum
    /// comes before all other extensions, so that it also guards against a shortened length.
    public func writeV2(
        _ extensions: ProxyTLVs = .none,
        into buffer: UnsafeMutableRawBufferPointer
    ) -> Int {
        let total = self.v2ByteCount(extensions)
        guard let base = buffer.baseAddress, buffer.count >= total else { return 0 }
        let family: UInt8 = (self.isIPv4 ? 0x10 : 0x20) | self.transport.rawValue
        Self.writeFixed(base, command: 1, family: family, total: total)
        var offset = self.writeAddresses(base)
        var checksumOffset: Int?
        if extensions.hasChecksum {
            checksumOffset = offset + 3
            offset = Self.writeChecksumPlace(base, at: offset)
        }
        offset = Self.write(ProxyTLVs.authorityType, extensions.authority, base, at: offset)
        offset = Self.write(ProxyTLVs.uniqueIDType, extensions.uniqueID, base, at: offset)
        let fingerprint = extensions.keyFingerprint
        offset = Self.write(ProxyTLVs.keyFingerprintType, fingerprint, base, at: offset)
        if let checksumOffset {
            let header = UnsafeRawBufferPointer(start: base, count: total)
            base.storeBig(CRC32C.of(header, zeroing: checksumOffset), at: checksumOffset)
        }
        return offset
    }

    /// Writes the header of a connection that the proxy makes for itself, such as a health check.
    public static func writeLocalV2(into buffer: UnsafeMutableRawBufferPointer) -> Int {
        guard let base = buffer.baseAddress, buffer.count >= ProxyV2.fixedByteCount else {
            return 0
        }
        Self.writeFixed(base, command: 0, family: 0, total: ProxyV2.fixedByteCount)
        return ProxyV2.fixedByteCount
    }

    private static func writeFixed(
        _ base: UnsafeMutableRawPointer,
        command: UInt8,
        family: UInt8,
        total: Int
    ) {
        base.storeBig(ProxyV2.signatureHead, at: 0)
        base.storeBig(ProxyV2.signatureTail, at: 8)
        base.storeBytes(of: 0x20 | command, toByteOffset: 12, as: UInt8.self)
        base.storeBytes(of: family, toByteOffset: 13, as: UInt8.self)
        base.storeBig(UInt16(total - ProxyV2.fixedByteCount), at: 14)
    }

    /// Returns where the extensions begin.
    private func writeAddresses(_ base: UnsafeMutableRawPointer) -> Int {
        if self.isIPv4 {
            base.storeBig(self.source.ipv4, at: 16)
            base.storeBig(self.destination.ipv4, at: 20)
            base.storeBig(self.source.port, at: 24)
            base.storeBig(self.destination.port, at: 26)
            return 28
        }
        base.storeAddress(self.source, at: 16)
        base.storeAddress(self.destination, at: 32)
        base.storeBig(self.source.port, at: 48)
        base.storeBig(self.destination.port, at: 50)
        return 52
    }

    private static func writeChecksumPlace(
        _ base: UnsafeMutableRawPointer,
        at offset: Int
    ) -> Int {
        base.storeBytes(of: ProxyTLVs.checksumType, toByteOffset: offset, as: UInt8.self)
        base.storeBig(UInt16(4), at: offset + 1)
        base.storeBig(UInt32(0), at: offset + 3)
        return offset + 7
    }

    private static func write(
        _ type: UInt8,
        _ value: [UInt8],
        _ base: UnsafeMutableRawPointer,
        at offset: Int
    ) -> Int {
        guard !value.isEmpty else { return offset }
        base.storeBytes(of: type, toByteOffset: offset, as: UInt8.self)
        base.storeBig(UInt16(value.count), at: offset + 1)
        value.withUnsafeBytes { bytes in
            guard let source = bytes.baseAddress else { return }
            (base + offset + 3).copyMemory(from: source, byteCount: bytes.count)
        }
        return offset + 3 + value.count
    }
}
