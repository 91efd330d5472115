import CSodium

/// What seals the data packets.
///
/// Raw values are also the bits of the mask each side announces.
public enum Cipher: UInt8, Sendable, CaseIterable {
    /// ChaCha20-Poly1305 (RFC 8439), which every machine computes in constant time.
    case chacha20Poly1305 = 1
    /// AES-256-GCM (NIST SP 800-38D), only where the processor computes it.
    case aes256GCM = 2

    /// What logs and `status` call it; part of what keys are derived from, so it may not change.
    public var label: String {
        switch self {
        case .chacha20Poly1305: "chacha20-poly1305"
        case .aes256GCM: "aes-256-gcm"
        }
    }

    /// Whether this processor computes AES-GCM itself.
    ///
    /// libsodium has no other implementation, because software AES leaks its key through the cache.
    public static var isAESAvailable: Bool {
        Sodium.start()
        return crypto_aead_aes256gcm_is_available() == 1
    }

    /// Packets one key may seal: for AES-GCM the bound of RFC 9001 appendix B.1 for packets up to
    /// 2 KiB, for ChaCha20-Poly1305 everything a 56-bit counter can count.
    public var sealLimit: UInt64 {
        switch self {
        case .chacha20Poly1305: 1 << 56 - 1
        case .aes256GCM: 1 << 28
        }
    }

    /// Forgeries one key may reject before it must go (RFC 9001 §6.6).
    public var openFailureLimit: UInt64 {
        switch self {
        case .chacha20Poly1305: 1 << 36
        case .aes256GCM: 1 << 52
        }
    }
}

/// What the operator allows.
public enum CipherPreference: UInt8, Sendable {
    /// AES-256-GCM when both ends have it in hardware, else ChaCha20-Poly1305.
    case auto = 0
    /// ChaCha20-Poly1305 alone.
    case chacha20Poly1305 = 1
    /// AES-256-GCM alone; no handshake succeeds where either end lacks the hardware.
    case aes256GCM = 2
}

/// A set of ciphers as it travels in a hello.
public struct CipherSet: OptionSet, Hashable, Sendable {
    /// Bit 0 for ChaCha20-Poly1305, bit 1 for AES-256-GCM; other bits are a later version's.
    public var rawValue: UInt8

    /// A set as it was read from a hello, unknown bits included.
    public init(rawValue: UInt8) { self.rawValue = rawValue }

    /// The set of one cipher.
    public init(_ cipher: Cipher) { self.rawValue = cipher.rawValue }

    /// What this machine can offer under `preference`; empty if it wants AES and has none.
    public init(allowedBy preference: CipherPreference) {
        let hardware: Self = Cipher.isAESAvailable ? Self(.aes256GCM) : []
        switch preference {
        case .auto: self = hardware.union(Self(.chacha20Poly1305))
        case .chacha20Poly1305: self = Self(.chacha20Poly1305)
        case .aes256GCM: self = hardware
        }
    }

    /// The fastest cipher in the set.
    public var best: Cipher? {
        if self.contains(Self(.aes256GCM)) { return .aes256GCM }
        return self.contains(Self(.chacha20Poly1305)) ? .chacha20Poly1305 : nil
    }
}
