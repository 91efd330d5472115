import Primitives

/// Big-endian loads and stores at any alignment; bounds are the caller's affair.
extension UnsafeRawPointer {
    func big<Value: FixedWidthInteger & BitwiseCopyable>(
        _ offset: Int,
        as _: Value.Type = Value.self
    ) -> Value {
        Value(bigEndian: self.loadUnaligned(fromByteOffset: offset, as: Value.self))
    }

    /// 16 bytes of address at `offset`.
    func address(_ offset: Int, port: UInt16) -> SocketAddress {
        SocketAddress(high: self.big(offset), low: self.big(offset + 8), port: port)
    }
}

extension UnsafeMutableRawPointer {
    func storeBig<Value: FixedWidthInteger & BitwiseCopyable>(_ value: Value, at offset: Int) {
        self.storeBytes(of: value.bigEndian, toByteOffset: offset, as: Value.self)
    }

    /// 16 bytes of address at `offset`, IPv4 in its mapped form.
    func storeAddress(_ address: SocketAddress, at offset: Int) {
        self.storeBig(address.high, at: offset)
        self.storeBig(address.low, at: offset + 8)
    }
}
