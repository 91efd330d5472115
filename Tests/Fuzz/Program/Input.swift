/// What libFuzzer made, read from the front; a value that is not there any more is 0.
struct Input {
    private var rest: UnsafeRawBufferPointer
    let byteCount: Int

    init(_ bytes: UnsafeRawBufferPointer) {
        self.rest = bytes
        self.byteCount = bytes.count
    }

    var isEmpty: Bool { self.rest.isEmpty }

    mutating func byte() -> UInt8 {
        guard let first = self.rest.first else { return 0 }
        self.rest = UnsafeRawBufferPointer(rebasing: self.rest.dropFirst())
        return first
    }

    mutating func below(_ bound: Int) -> Int { Int(self.byte()) % bound }

    mutating func number(_ byteCount: Int = 4) -> UInt64 {
        var value: UInt64 = 0
        for index in 0..<byteCount { value |= UInt64(self.byte()) << UInt64(index * 8) }
        return value
    }

    /// At most `count` bytes, in memory of their own, so that reading past them is seen.
    mutating func bytes(_ count: Int) -> [UInt8] {
        let taken = [UInt8](self.rest.prefix(count))
        self.rest = UnsafeRawBufferPointer(rebasing: self.rest.dropFirst(taken.count))
        return taken
    }

    mutating func everything() -> [UInt8] { self.bytes(self.rest.count) }

    /// From a microsecond to about nine minutes, every power of two of it alike.
    mutating func nanoseconds() -> UInt64 {
        let exponent = UInt64(self.byte()) % 30
        return (1000 << exponent) + (UInt64(self.byte()) << exponent) * 4
    }
}
