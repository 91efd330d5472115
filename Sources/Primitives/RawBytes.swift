/// Little-endian loads and stores at any alignment: the only way this project touches wire bytes.
///
/// Bounds are the caller's affair; ``ByteReader`` and ``ByteWriter`` are the checked faces.
extension UnsafeRawPointer {
    @inlinable
    public func little<Value: FixedWidthInteger & BitwiseCopyable>(
        _ offset: Int,
        as _: Value.Type = Value.self
    ) -> Value {
        Value(littleEndian: self.loadUnaligned(fromByteOffset: offset, as: Value.self))
    }
}

extension UnsafeMutableRawPointer {
    @inlinable
    public func little<Value: FixedWidthInteger & BitwiseCopyable>(
        _ offset: Int,
        as _: Value.Type = Value.self
    ) -> Value {
        Value(littleEndian: self.loadUnaligned(fromByteOffset: offset, as: Value.self))
    }

    @inlinable
    public func storeLittle<Value: FixedWidthInteger & BitwiseCopyable>(
        _ value: Value,
        at offset: Int
    ) {
        self.storeBytes(of: value.littleEndian, toByteOffset: offset, as: Value.self)
    }
}

/// Walks little-endian fields front to back over memory it does not own; `nil` past the end.
@frozen
public struct ByteReader {
    @usableFromInline var cursor: UnsafeRawPointer
    public var remaining: Int

    @inlinable
    public init(_ base: UnsafeRawPointer, count: Int) {
        precondition(count >= 0)
        self.cursor = base
        self.remaining = count
    }

    @inlinable
    public init(_ bytes: UnsafeRawBufferPointer) {
        // An empty buffer may have no address; nothing is ever loaded through this one.
        self.cursor = bytes.baseAddress ?? UnsafeRawPointer(bitPattern: 1).unsafelyUnwrapped
        self.remaining = bytes.count
    }

    @inlinable
    public mutating func read<Field: FixedWidthInteger & BitwiseCopyable>(
        _: Field.Type = Field.self
    ) -> Field? {
        let size = MemoryLayout<Field>.size
        guard self.remaining >= size else { return nil }
        let field: Field = self.cursor.little(0)
        self.cursor += size
        self.remaining -= size
        return field
    }

    @inlinable
    public mutating func read(count: Int) -> UnsafeRawBufferPointer? {
        guard count >= 0, self.remaining >= count else { return nil }
        let bytes = UnsafeRawBufferPointer(start: self.cursor, count: count)
        self.cursor += count
        self.remaining -= count
        return bytes
    }

    /// Everything that has not been read.
    @inlinable
    public var rest: UnsafeRawBufferPointer {
        UnsafeRawBufferPointer(start: self.cursor, count: self.remaining)
    }
}

/// Appends little-endian fields to memory it does not own.
///
/// The caller has made sure of the room with ``room``; running over is a bug of ours and traps.
@frozen
public struct ByteWriter {
    @usableFromInline let base: UnsafeMutableRawPointer
    @usableFromInline let capacity: Int
    public var count: Int

    @inlinable
    public init(_ base: UnsafeMutableRawPointer, capacity: Int) {
        precondition(capacity >= 0)
        self.base = base
        self.capacity = capacity
        self.count = 0
    }

    @inlinable
    public var room: Int { self.capacity - self.count }

    @inlinable
    public var cursor: UnsafeMutableRawPointer { self.base + self.count }

    @inlinable
    public mutating func write<Field: FixedWidthInteger & BitwiseCopyable>(_ field: Field) {
        precondition(self.room >= MemoryLayout<Field>.size)
        self.base.storeLittle(field, at: self.count)
        self.count += MemoryLayout<Field>.size
    }

    @inlinable
    public mutating func write(_ bytes: UnsafeRawBufferPointer) {
        precondition(self.room >= bytes.count)
        guard let source = bytes.baseAddress else { return }
        self.cursor.copyMemory(from: source, byteCount: bytes.count)
        self.count += bytes.count
    }
}
