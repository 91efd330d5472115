import CSodium
import Primitives

/// The responder's proof that somebody receives packets at the address it sends from: a MAC of the
/// address under a secret that changes every two minutes (WireGuard's cookies).
struct CookieJar: ~Copyable {
    private static let secretByteCount = 32

    /// The current secret, the previous one, the address being hashed, a cookie.
    private let memory = GuardedMemory(byteCount: 128)
    private var rotatedAt: Instant?
    private var hasPrevious = false

    private func at(_ offset: Int) -> UnsafeMutableRawPointer { self.memory.base + offset }

    private var current: UnsafeMutableRawPointer { self.at(0) }
    private var previous: UnsafeMutableRawPointer { self.at(32) }
    private var address: UnsafeMutableRawPointer { self.at(64) }
    private var scratch: UnsafeMutableRawPointer { self.at(96) }

    /// Whether mac2 of this initiation was made with a cookie of ours for `source`.
    mutating func isValid(
        _ packet: UnsafeRawBufferPointer,
        from source: SocketAddress,
        entropy: EntropySource,
        at now: Instant
    ) -> Bool {
        guard let base = packet.baseAddress else { return false }
        self.rotate(entropy: entropy, at: now)
        self.makeCookie(for: source, secret: self.current)
        if self.isMAC2Valid(base, packet.count) { return true }
        guard self.hasPrevious else { return false }
        self.makeCookie(for: source, secret: self.previous)
        return self.isMAC2Valid(base, packet.count)
    }

    /// The cookie for `source`, 16 bytes, valid until the next call.
    mutating func cookie(
        for source: SocketAddress,
        entropy: EntropySource,
        at now: Instant
    ) -> UnsafeRawPointer {
        self.rotate(entropy: entropy, at: now)
        self.makeCookie(for: source, secret: self.current)
        return UnsafeRawPointer(self.scratch)
    }

    private func isMAC2Valid(_ base: UnsafeRawPointer, _ byteCount: Int) -> Bool {
        Layout.isMACValid(
            after: byteCount - Layout.macByteCount,
            of: base,
            key: self.scratch,
            keyByteCount: Layout.macByteCount
        )
    }

    /// The port is in it, so that hosts behind one NAT cannot use each other's.
    private func makeCookie(for source: SocketAddress, secret: UnsafeRawPointer) {
        self.address.storeBytes(of: source.high, as: UInt64.self)
        self.address.storeBytes(of: source.low, toByteOffset: 8, as: UInt64.self)
        self.address.storeBytes(of: source.port, toByteOffset: 16, as: UInt16.self)
        crypto_generichash(
            self.scratch.bytes,
            Layout.macByteCount,
            self.address.bytes,
            18,
            secret.bytes,
            Self.secretByteCount
        )
    }

    private mutating func rotate(entropy: EntropySource, at now: Instant) {
        let age = self.rotatedAt.map { now.since($0) }
        if let age, age < KeyLifetime.cookieLifetime { return }
        self.hasPrevious = age.map { $0 < KeyLifetime.cookieLifetime * 2 } ?? false
        self.previous.copyMemory(from: self.current, byteCount: Self.secretByteCount)
        entropy.fill(
            UnsafeMutableRawBufferPointer(start: self.current, count: Self.secretByteCount)
        )
        self.rotatedAt = now
    }
}
