/// Where an engine's unpredictable bytes come from: the kernel in a process, a seed in a
/// simulation.
///
/// Asked while a handshake, a path check or a cookie secret is made, and for the packet numbers
/// that are left out, once in thousands of packets.
public struct EntropySource {
    private let fill: (UnsafeMutableRawBufferPointer) -> Void

    /// A source that calls `fill` for each draw; `fill` overwrites every byte it is handed.
    public init(fill: @escaping (UnsafeMutableRawBufferPointer) -> Void) { self.fill = fill }

    /// A reproducible source, never for real keys.
    public static func seeded(_ seed: UInt64) -> Self {
        var generator = SeededGenerator(seed: seed)
        return Self { bytes in
            for index in bytes.indices {
                bytes[index] = UInt8(truncatingIfNeeded: generator.next())
            }
        }
    }

    /// Overwrites all of `bytes` with unpredictable ones; it cannot fail.
    public func fill(_ bytes: UnsafeMutableRawBufferPointer) { self.fill(bytes) }

    /// An integer drawn evenly from all values of its type.
    public func next<Value: FixedWidthInteger>(_: Value.Type = Value.self) -> Value {
        var value = Value.zero
        withUnsafeMutableBytes(of: &value) { self.fill($0) }
        return value
    }
}
