/// Little-endian loads and stores at any alignment: the only way this project touches wire bytes.
///
/// Bounds are the caller's affair; ``ByteReader`` and ``ByteWriter`` are the checked faces.
extension UnsafeRawPointer {
    /// The little-endian integer that begins `offset` bytes from here; the caller checks bounds.
    @inlinable
    public func little<Value: FixedWidthInteger & BitwiseCopyable>(
        _ offset: Int,
        as _: Value.Type = Value.self
    ) -> Value {
        Value(littleEndian: self.loadUnaligned(fromByteOffset: offset, as: Value.self))
    }
}

extension UnsafeMutableRawPointer {
    /// The little-endian integer that begins `offset` bytes from here; the caller checks bounds.
    @inlinable
    public func little<Value: FixedWidthInteger & BitwiseCopyable>(
        _ offset: Int,
        as _: Value.Type = Value.self
    ) -> Value {
        Value(littleEndian: self.loadUnaligned(fromByteOffset: offset, as: Value.self))
    }

    /// Writes `value` in little-endian order, `offset` bytes from here; the caller checks bounds.
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
    /// How many bytes have not been read yet.
    @usableFromInline var cursor: UnsafeRawPointer
    public var remaining: Int

    /// Reads `count` bytes from `base`, which have to outlive the reader.
    @inlinable
    public init(_ base: UnsafeRawPointer, count: Int) {
        precondition(count >= 0)
        self.cursor = base
        self.remaining = count
    }

    /// Reads all of `bytes`, which have to outlive the reader; an empty buffer is allowed.
    @inlinable
    public init(_ bytes: UnsafeRawBufferPointer) {
        // An empty buffer may have no address; nothing is ever loaded through this one.
        self.cursor = bytes.baseAddress ?? UnsafeRawPointer(bitPattern: 1).unsafelyUnwrapped
        self.remaining = bytes.count
    }

    /// The next little-endian integer; `nil`, with nothing consumed, if fewer bytes are left.
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

    /// The next `count` bytes, not copied; `nil`, with nothing consumed, if fewer are left.
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
    /// How many bytes have been written; setting it back takes the last ones away.
    @usableFromInline let base: UnsafeMutableRawPointer
    @usableFromInline let capacity: Int
    public var count: Int

    /// Writes to `capacity` bytes at `base`, which have to outlive the writer.
    @inlinable
    public init(_ base: UnsafeMutableRawPointer, capacity: Int) {
        precondition(capacity >= 0)
        self.base = base
        self.capacity = capacity
        self.count = 0
    }

    /// How many bytes may still be written.
    @inlinable
    public var room: Int { self.capacity - self.count }

    /// Where the next byte goes, for callers that fill memory themselves and then raise ``count``.
    @inlinable
    public var cursor: UnsafeMutableRawPointer { self.base + self.count }

    /// Appends `field` in little-endian order; traps without ``room``.
    @inlinable
    public mutating func write<Field: FixedWidthInteger & BitwiseCopyable>(_ field: Field) {
        precondition(self.room >= MemoryLayout<Field>.size)
        self.base.storeLittle(field, at: self.count)
        self.count += MemoryLayout<Field>.size
    }

    /// Appends a copy of `bytes`; traps without ``room``.
    @inlinable
    public mutating func write(_ bytes: UnsafeRawBufferPointer) {
        precondition(self.room >= bytes.count)
        guard let source = bytes.baseAddress else { return }
        self.cursor.copyMemory(from: source, byteCount: bytes.count)
        self.count += bytes.count
    }
}
