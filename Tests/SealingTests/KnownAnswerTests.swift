import CSodium
import Testing

@testable import Sealing

/// Published answers, so that another libsodium, or one built wrongly, is noticed at once.
@Suite struct KnownAnswerTests {
    init() { Sodium.start() }

    @Test func x25519() {
        // RFC 7748 §5.2.
        let scalar = hex("a546e36bf0527c9d3b16154b82465edd62144c0ac1fc5a18506a2244ba449ac4")
        let point = hex("e6db6867583030db3594c1a424b15f7c726624ec26b3353b10a903a6d0ab1c4c")
        var out = [UInt8](repeating: 0, count: 32)
        #expect(crypto_scalarmult(&out, scalar, point) == 0)
        #expect(
            hexText(out) == "c3da55379de9c6908e94ea4df28d084f32eccf03491c71f754b4075577a28552"
        )

        var k = [UInt8(9)] + [UInt8](repeating: 0, count: 31)
        var u = k
        for round in 1...1000 {
            #expect(crypto_scalarmult(&out, k, u) == 0)
            u = k
            k = out
            if round == 1 {
                #expect(
                    hexText(k)
                        == "422c8e7a6227d7bca1350b3e2bb7279f7897b87bb6854b783c60e80311ae3079"
                )
            }
        }
        #expect(hexText(k) == "684cf59ba83309552800ef566f2f4d3c1c3887c49360e3875f2eb94d99532c51")
    }

    @Test func keyPairs() throws {
        // RFC 7748 §6.1.
        let bob = try #require(
            secretKey(hex("5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb"))
        )
        let expected = hex("de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f")
        #expect(bob.publicKey == publicKey(expected))
    }

    @Test func chaCha20Poly1305() {
        // RFC 8439 §2.8.2.
        let plaintext = Array(
            ("Ladies and Gentlemen of the class of '99: If I could offer you "
                + "only one tip for the future, sunscreen would be it.").utf8
        )
        let associated = hex("50515253c0c1c2c3c4c5c6c7")
        let key = Array(0x80...0x9F as ClosedRange<UInt8>)
        let nonce = hex("070000004041424344454647")
        var out = [UInt8](repeating: 0, count: plaintext.count + 16)
        crypto_aead_chacha20poly1305_ietf_encrypt(
            &out,
            nil,
            plaintext,
            UInt64(plaintext.count),
            associated,
            12,
            nil,
            nonce,
            key
        )
        #expect(hexText(Array(out[..<16])) == "d31a8d34648e60db7b86afbc53ef7ec2")
        #expect(hexText(Array(out.suffix(16))) == "1ae10b594f09e26a7e902ecbd0600691")
    }

    @Test(.enabled(if: Cipher.isAESAvailable, "this processor has no AES instructions"))
    func aes256GCM() {
        // The GCM specification (McGrew and Viega), test case 16.
        let key = hex("feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308")
        let plaintext = hex(
            """
            d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72
            1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39
            """
        )
        let associated = hex("feedfacedeadbeeffeedfacedeadbeefabaddad2")
        let nonce = hex("cafebabefacedbaddecaf888")
        var out = [UInt8](repeating: 0, count: plaintext.count + 16)
        crypto_aead_aes256gcm_encrypt(
            &out,
            nil,
            plaintext,
            UInt64(plaintext.count),
            associated,
            UInt64(associated.count),
            nil,
            nonce,
            key
        )
        #expect(hexText(Array(out[..<16])) == "522dc1f099567d07f47f37a32a84427d")
        #expect(hexText(Array(out.suffix(16))) == "76fc6ece0f4e1768cddf8853bb2d551b")
    }

    @Test func sipHash128() {
        // The reference implementation's vectors for 0, 1 and 15 bytes of input.
        let key = Array(0..<16 as Range<UInt8>)
        let answers: [(Int, String)] = [
            (0, "a3817f04ba25a8e66df67214c7550293"),
            (1, "da87c1d86b99af44347659119b22fc45"),
            (15, "5493e99933b0a8117e08ec0f97cfc3d9"),
        ]
        for (count, answer) in answers {
            var out = [UInt8](repeating: 0, count: 16)
            let input = Array(0..<UInt8(count))
            crypto_shorthash_siphashx24(&out, input, UInt64(count), key)
            #expect(hexText(out) == answer)
        }
    }

    @Test func blake2b() {
        // RFC 7693 appendix A, and the last of BLAKE2's own keyed vectors.
        var out = [UInt8](repeating: 0, count: 64)
        crypto_generichash(&out, 64, Array("abc".utf8), 3, nil, 0)
        #expect(
            hexText(out)
                == "ba80a53f981c4d0d6a2797b69f12f6e94c212f14685ac4b74b12bb6fdbffa2d1"
                + "7d87c5392aab792dc252d5de4533cc9518d38aa8dbf1925ab92386edd4009923"
        )
        let key = Array(0..<64 as Range<UInt8>)
        crypto_generichash(&out, 64, Array(0..<255 as Range<UInt8>), 255, key, 64)
        #expect(
            hexText(out)
                == "142709d62e28fcccd0af97fad0f8465b971e82201dc51070faa0372aa43e9248"
                + "4be1c1e73ba10906d5d1853db6a4106e0a7bf9800d373d6dee2d46d62ef2a461"
        )
    }

    @Test func hmacOverBLAKE2b() {
        // Python: hmac.new(bytes(range(64)), b"Hi There", hashlib.blake2b).
        let session = NoiseSession()
        let key = Array(0..<64 as Range<UInt8>)
        let target = session.at(NoiseSession.Field.output1)
        session.hmac(key, Array("Hi There".utf8), 8, counter: nil, into: target)
        #expect(
            hexText(Array(UnsafeRawBufferPointer(start: target, count: 64)))
                == "56d20134eaed2944e0783f2143ba8bac665fa23ba63c40da4bf5b46f0b042775"
                + "1f55a64e62eb4db35c7e202a8465f677d117cb08596c78b05df0747800596167"
        )
    }
}
