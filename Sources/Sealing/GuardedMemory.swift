import CSodium

/// A block for secrets: between unreadable pages, locked, outside core dumps, wiped when freed.
///
/// One block costs four pages and about 30 µs, so it is for static keys and slabs of session keys,
/// never for one packet. See `sodium_malloc` in libsodium's manual.
final class GuardedMemory: @unchecked Sendable {
    let base: UnsafeMutableRawPointer
    let byteCount: Int

    /// Zeroed memory, aligned to 64 bytes, because the size is rounded up to a multiple of 64 and
    /// the block ends where a page ends.
    init(byteCount: Int) {
        Sodium.start()
        let rounded = (byteCount + 63) & ~63
        guard let base = sodium_malloc(rounded) else {
            preconditionFailure("out of guarded memory")
        }
        sodium_memzero(base, rounded)
        self.base = base
        self.byteCount = rounded
    }

    /// From now on a write is a crash.
    func makeReadOnly() { sodium_mprotect_readonly(self.base) }

    deinit { sodium_free(self.base) }
}

/// The library itself.
enum Sodium {
    private static let isReady: Bool = sodium_init() >= 0

    /// Must come before any other call; thread-safe, and free after the first time.
    @inline(__always)
    static func start() { precondition(Self.isReady, "libsodium refused to start") }
}

extension UnsafeMutableRawPointer {
    /// The same address as libsodium's prototypes want it.
    @inline(__always)
    var bytes: UnsafeMutablePointer<UInt8> { self.assumingMemoryBound(to: UInt8.self) }
}

extension UnsafeRawPointer {
    /// The same address as libsodium's prototypes want it.
    @inline(__always)
    var bytes: UnsafePointer<UInt8> { self.assumingMemoryBound(to: UInt8.self) }
}
