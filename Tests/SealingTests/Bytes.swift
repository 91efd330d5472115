import CSodium

@testable import Sealing

/// Bytes written as hexadecimal digits, blanks ignored.
func hex(_ text: String) -> [UInt8] {
    let digits = text.compactMap(\.hexDigitValue)
    precondition(digits.count % 2 == 0)
    return stride(from: 0, to: digits.count, by: 2).map { UInt8(digits[$0] << 4 | digits[$0 + 1]) }
}

func hexText(_ bytes: [UInt8]) -> String {
    let digits = Array("0123456789abcdef")
    return String(bytes.flatMap { [digits[Int($0 >> 4)], digits[Int($0 & 15)]] })
}

func publicKey(_ bytes: [UInt8]) -> PublicKey { bytes.withUnsafeBytes { PublicKey(bytes: $0) } }

func secretKey(_ bytes: [UInt8]) -> SecretKey? { bytes.withUnsafeBytes { SecretKey(bytes: $0) } }

/// Noise's transport cipher: ChaChaPoly without associated data.
func transportSeal(_ plaintext: [UInt8], key: [UInt8], counter: UInt64) -> [UInt8] {
    var out = [UInt8](repeating: 0, count: plaintext.count + 16)
    let nonce = [0, 0, 0, 0] + (0..<8).map { UInt8(truncatingIfNeeded: counter >> (8 * $0)) }
    crypto_aead_chacha20poly1305_ietf_encrypt(
        &out,
        nil,
        plaintext,
        UInt64(plaintext.count),
        nil,
        0,
        nil,
        nonce,
        key
    )
    return out
}

extension NoiseSession {
    func setEphemeral(bytes: [UInt8]) {
        self.setEphemeral { target in bytes.withUnsafeBytes { target.copyMemory(from: $0) } }
    }

    func setPSK(_ psk: [UInt8]) { self.at(Field.psk).copyMemory(from: psk, byteCount: 32) }

    func message(_ payload: [UInt8]) -> [UInt8]? {
        var out = [UInt8](repeating: 0, count: payload.count + 200)
        let count = payload.withUnsafeBytes { payload in
            out.withUnsafeMutableBytes { out -> Int? in
                guard let target = out.baseAddress else { return nil }
                let source = payload.baseAddress ?? UnsafeRawPointer(target)
                return self.write(payload: source, payload.count, to: target)
            }
        }
        return count.map { Array(out[..<$0]) }
    }

    func payload(of message: [UInt8]) -> [UInt8]? {
        var copy = message
        let range = copy.withUnsafeMutableBytes { self.read($0) }
        return range.map { Array(copy[$0]) }
    }

    func begin(
        _ pattern: NoisePattern,
        isInitiator: Bool,
        prologue: [UInt8],
        local: SecretKey?,
        remote: PublicKey?,
        psk: [UInt8]? = nil
    ) {
        prologue.withUnsafeBytes { prologue in
            self.begin(
                pattern: pattern,
                isInitiator: isInitiator,
                prologue: prologue,
                local: local,
                remote: remote,
                psk: psk
            )
        }
    }

    func splitKeys() -> (forward: [UInt8], backward: [UInt8]) {
        let (forward, backward) = self.split()
        return (
            Array(UnsafeRawBufferPointer(start: forward, count: 32)),
            Array(UnsafeRawBufferPointer(start: backward, count: 32))
        )
    }
}
