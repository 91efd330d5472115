import CZlib

/// A `z_stream` at an address that never changes, as zlib's state points back at it.
struct ZlibStream {
    private let stream: UnsafeMutablePointer<z_stream>

    init() {
        self.stream = .allocate(capacity: 1)
        self.stream.initialize(to: z_stream())
    }

    /// Raw deflate (RFC 1951), without the header and checksum of RFC 1950.
    func beginDeflate(level: Int32, windowBits: Int32, memoryLevel: Int32) {
        let status = deflateInit2_(
            self.stream,
            level,
            Z_DEFLATED,
            -windowBits,
            memoryLevel,
            Z_DEFAULT_STRATEGY,
            ZLIB_VERSION,
            Int32(MemoryLayout<z_stream>.size)
        )
        precondition(status == Z_OK, "zlib refuses to deflate: \(status)")
    }

    func beginInflate(windowBits: Int32) {
        let status = inflateInit2_(
            self.stream,
            -windowBits,
            ZLIB_VERSION,
            Int32(MemoryLayout<z_stream>.size)
        )
        precondition(status == Z_OK, "zlib refuses to inflate: \(status)")
    }

    func endDeflate() {
        deflateEnd(self.stream)
        self.stream.deallocate()
    }

    func endInflate() {
        inflateEnd(self.stream)
        self.stream.deallocate()
    }

    func resetDeflate() { deflateReset(self.stream) }

    func resetInflate() { inflateReset(self.stream) }

    /// Runs one step of zlib over two buffers and says how far it came.
    private func run(
        _ input: UnsafeRawBufferPointer,
        _ output: UnsafeMutableRawBufferPointer,
        _ flush: Int32,
        _ step: (z_streamp, Int32) -> Int32
    ) -> (consumed: Int, produced: Int, status: Int32) {
        // zlib refuses a null `next_out` even where there is no room, so there is nothing to ask.
        guard let target = output.baseAddress, !output.isEmpty else { return (0, 0, Z_BUF_ERROR) }
        let offered = min(input.count, Int(Int32.max))
        let room = min(output.count, Int(Int32.max))
        self.stream.pointee.next_in = UnsafeMutablePointer(
            mutating: input.baseAddress?.assumingMemoryBound(to: Bytef.self)
        )
        self.stream.pointee.avail_in = UInt32(offered)
        self.stream.pointee.next_out = target.assumingMemoryBound(to: Bytef.self)
        self.stream.pointee.avail_out = UInt32(room)
        let status = step(self.stream, flush)
        let consumed = offered - Int(self.stream.pointee.avail_in)
        let produced = room - Int(self.stream.pointee.avail_out)
        return (consumed, produced, status)
    }

    func deflate(
        _ input: UnsafeRawBufferPointer,
        into output: UnsafeMutableRawBufferPointer,
        flush: Int32
    ) -> (consumed: Int, produced: Int, status: Int32) {
        self.run(input, output, flush) { CZlib.deflate($0, $1) }
    }

    func inflate(
        _ input: UnsafeRawBufferPointer,
        into output: UnsafeMutableRawBufferPointer,
        flush: Int32
    ) -> (consumed: Int, produced: Int, status: Int32) {
        self.run(input, output, flush) { CZlib.inflate($0, $1) }
    }
}
