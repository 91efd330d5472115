import CSodium
import Primitives

/// Makes every byte on the wire look random to whoever lacks the server's public key.
///
/// The twelve header bytes are masked with SipHash-2-4-128 of the packet's own last 16 bytes (a tag
/// or a MAC, so always uniform), and the ephemeral key of a handshake packet with ChaCha20, because
/// a Curve25519 point never has its top bit set. Masking costs no bytes and hides no secret: that
/// is the AEAD's business. Immutable, so several workers may share one.
public final class HeaderMask: @unchecked Sendable {
    let serverPublicKey: PublicKey
    private let deploymentSecret: [UInt8]
    private var hidesSizes: Bool { !self.deploymentSecret.isEmpty }
    /// 16 bytes of SipHash key, then at 32 the ChaCha20 key.
    private let memory: GuardedMemory

    /// `deploymentSecret` (at most 64 bytes) must be the same at both ends.
    ///
    /// With it, even somebody who knows the server's public key sees noise and hears silence.
    public init(serverPublicKey: PublicKey, deploymentSecret: [UInt8] = []) {
        precondition(deploymentSecret.count <= 64)
        self.serverPublicKey = serverPublicKey
        self.deploymentSecret = deploymentSecret
        self.memory = GuardedMemory(byteCount: 64)
        self.derive("mask", serverPublicKey, into: self.memory.base, byteCount: 16)
        self.derive("mask-e", serverPublicKey, into: self.memory.base + 32, byteCount: 32)
        self.memory.makeReadOnly()
    }

    /// Sixteen bytes that live as long as the mask.
    var headerKey: UnsafeRawPointer { UnsafeRawPointer(self.memory.base) }

    /// Masks or unmasks the first 12 bytes: doing it twice changes nothing.
    ///
    /// Packets too short to be a record stay as they are.
    public func applyToHeader(_ packet: UnsafeMutableRawBufferPointer) {
        guard packet.count >= RecordHeader.overhead, let base = packet.baseAddress else { return }
        Self.apply(key: self.headerKey, to: base, byteCount: packet.count)
    }

    @inline(__always)
    static func apply(
        key: UnsafeRawPointer,
        to base: UnsafeMutableRawPointer,
        byteCount: Int
    ) {
        let tag = base + (byteCount - RecordHeader.tagByteCount)
        var mask: (UInt64, UInt64) = (0, 0)
        withUnsafeMutablePointer(to: &mask) { mask in
            let target = UnsafeMutableRawPointer(mask).bytes
            _ = crypto_shorthash_siphashx24(target, tag.bytes, 16, key.bytes)
        }
        let head = base.loadUnaligned(as: UInt64.self) ^ mask.0
        let tail =
            base.loadUnaligned(fromByteOffset: 8, as: UInt32.self)
            ^ UInt32(truncatingIfNeeded: UInt64(littleEndian: mask.1)).littleEndian
        base.storeBytes(of: head, as: UInt64.self)
        base.storeBytes(of: tail, toByteOffset: 8, as: UInt32.self)
    }

    /// Masks or unmasks bytes 12..<44 of an initiation or a response.
    public func applyToEphemeral(_ packet: UnsafeMutableRawBufferPointer) {
        guard packet.count >= Layout.responseByteCount, let base = packet.baseAddress else {
            return
        }
        crypto_stream_chacha20_ietf_xor(
            (base + Layout.ephemeral).bytes,
            (base + Layout.ephemeral).bytes,
            32,
            (base + (packet.count - 12)).bytes,
            (self.memory.base + 32).bytes
        )
    }

    /// BLAKE2b("fairlead/1 " + label, key, length of the deployment secret, deployment secret).
    func derive(
        _ label: String,
        _ key: PublicKey,
        into target: UnsafeMutableRawPointer,
        byteCount: Int
    ) {
        var input = Array("\(Layout.protocolName) \(label)".utf8)
        key.withBytes { input.append(contentsOf: $0) }
        input.append(UInt8(self.deploymentSecret.count))  // bound: 64, see init
        input += self.deploymentSecret
        crypto_generichash(target.bytes, byteCount, input, UInt64(input.count), nil, 0)
    }
}

extension HeaderMask {
    /// How much padding a handshake packet gets: a random amount under a deployment secret, so that
    /// its size gives nothing away either; without one nothing, for then the sizes are public.
    func drawPadding(upTo limit: Int, entropy: EntropySource) -> Int {
        guard self.hidesSizes, limit > 0 else { return 0 }
        return Int(entropy.next(UInt32.self) % UInt32(clamping: limit + 1))
    }
}
