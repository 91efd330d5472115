import Crypto
import Foundation
import Sealing
import Testing

@testable import PostQuantum

/// ML-KEM-768 as the ratchet uses it, against answers of an independent implementation.
///
/// The answers are those of kyber-py 1.2.0 for the seed 00 01 … 3f and the message 64 65 … 83; the
/// last is also SHAKE256(z ‖ ciphertext), which FIPS 203 wants of a ciphertext that is none.
@Suite struct MLKEMTests {
    private static let ciphertext = """
        169o+NhNwat4NKO6kb5VgxUr4HOYHm+OB3t5HurAtD09YJ2jNiDBucx7tD6npRnQknTvDSrLGzxu
        ntWDOdl2zvNY4LFM+L4xnRtefMXyJjzuB3huC6UzZwyPS4wHVdPx84awHJMI9DeNoA7rGsyVHXDB
        18mse+janFO8cSw8ZxdUNvIwWI1DvQRxgdOBT4SiCGurIf6vyGxsif4+BIi07RQcS0cyoXgrS3bt
        Hj1o+2WyGnS3JXdHf8fpAjJPT3LdcjIFsbvS9czNsSL5DflUNiZ5azYZEM75JKPVN9Lx5nLAxKkJ
        aVItywusCUw2QoAssNEa06ubHeMFf8dOjgSGAtkCPUOfetBz4DndyOIxVG6oduX2F4bbAfUhGUfH
        FVIeOZy6D5UdRZ1XzInDkv1jugyMEXFV4c79LK9175Zw0m5/X0tsZNAjPMOI4aAsGVRE+EfeRLh9
        EQuaTVIKrQMfV2UEEva2CJgEUESzZ+JkeVivqTGscuVruegqRZK7eL4RYIV6gfZ2X4dmV8x0fF04
        qS+Tg/1J8KKweEmnuvpnpR01vbK+U3vMVsSLMDFw30BFvSvJSbGu7qsEuYr7ag2XAZ6fKQLpPMMP
        X2VvBJeY9anT3AUjSN/TDlEPidFrNjW8Rer6+UI5uzohlkbXUnpZaAi8G+7Hzo6E0V5E4pUabpca
        83MLN1ALwGLgnWlBf8jCUFCH+JI7NyY3DTnRZ+7bi+b2smGQ81EmjWzEkCnXo9vS4XBkvu1UEjXP
        xRxdnrNkEp6F2zluRDiMmlJxdc3Mfw3JpKZey/j4pDda5wWFBOCMddJ6bk9amf+EXi7Be5PFQvg0
        5NV1xqD2HtB7yQHR1YuYkwzwkSecBvZTme7/XCl2zzhYgGNcEgCPD/nB0aJx2JGpKmnVXal0Wrwk
        e/ISIVxJS+dyHr2Nzc3GrTn+RSjscCL+1DSxgI7+5Y921l2S0tawOhwIUZWkEwKktNjAqSfIWHmh
        m+ufiv3w5zKoSXTw0byOwN4OM6SEa7M5UNv7jK4wKds+2l3P76Rn38j3Lig1gwytD6pOE1PjZyQN
        Gi1cIABO13w00ARH/OphCrrs8IYeN/GYHyDT1UluIxRRFURBZAn9vbv0ZQyReyIhtvLNjnzqrNUr
        w4EAWP7JrvuKTU4jFaEAtsTTExZFotDL/akvK2+xQwfTuAHmcK+SOV0IMbqS1gzUCVy/CRrXuOrN
        1r1ADc0hgBJATbejxnPv4niNlNu5OmUCj2iB+LejiR8A/ma0UahE4j0SW/HOzA4RW7W+/235+KVI
        yaZXAK6KWDx/YGaBJaV7XacIFnNVq2qVeC98CTkeEU3sl/680txvLwmNmnJpQnVFmPwi/KxocHli
        CsGcY8pSQR6aC2DWcOBUI6En+9MLyD04XykVAEsEUEpNbRuARml909OtnJnKDvL3oJE9gidCH7op
        r2YCm9s=
        """

    private func knownKey() throws -> MLKEMKey {
        MLKEMKey(try MLKEM768.PrivateKey(seedRepresentation: [UInt8](0..<64), publicKey: nil))
    }

    private func knownCiphertext() throws -> [UInt8] {
        let text = Self.ciphertext.filter { !$0.isWhitespace }
        return [UInt8](try #require(Data(base64Encoded: text)))
    }

    private func open(_ ciphertext: [UInt8], _ key: any DecapsulationKey) throws -> [UInt8] {
        var secret = [UInt8](repeating: 0, count: KeyEncapsulation.secretByteCount)
        let isDone = ciphertext.withUnsafeBytes { ciphertext in
            secret.withUnsafeMutableBytes { key.decapsulate(ciphertext, to: $0) }
        }
        try #require(isDone)
        return secret
    }

    private func encapsulate(_ publicKey: [UInt8]) -> (ciphertext: [UInt8], secret: [UInt8])? {
        var ciphertext = [UInt8](repeating: 0, count: KeyEncapsulation.ciphertextByteCount)
        var secret = [UInt8](repeating: 0, count: KeyEncapsulation.secretByteCount)
        let isKey = publicKey.withUnsafeBytes { publicKey in
            ciphertext.withUnsafeMutableBytes { ciphertext in
                secret.withUnsafeMutableBytes {
                    KeyEncapsulation.mlKEM768.encapsulate(publicKey, ciphertext, $0)
                }
            }
        }
        return isKey ? (ciphertext, secret) : nil
    }

    private func hex(_ bytes: some Sequence<UInt8>) -> String {
        bytes.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
    }

    @Test func knownAnswers() throws {
        let key = try self.knownKey()
        #expect(
            self.hex(SHA256.hash(data: key.publicKey))
                == "0b7934c83125c788995e2ba6bd761e33046b3e40571be53e023309a29f398cc9"
        )
        #expect(
            self.hex(try self.open(self.knownCiphertext(), key))
                == "c5a74110c158acbaf9c01deb86fa6cc10c14533feda54bec1fdd000d61f07e4e"
        )
    }

    @Test func aTamperedCiphertextIsRejectedImplicitly() throws {
        var ciphertext = try self.knownCiphertext()
        ciphertext[500] ^= 1
        #expect(
            self.hex(try self.open(ciphertext, self.knownKey()))
                == "e441ac6a60dc0419b2af45531ed5f11f03efac2c7bff8027c4bf9c36d1e1ee8e"
        )
    }

    @Test func roundTrip() throws {
        let key = KeyEncapsulation.mlKEM768.generate()
        #expect(key.publicKey.count == KeyEncapsulation.publicKeyByteCount)
        #expect(key.publicKey != KeyEncapsulation.mlKEM768.generate().publicKey)
        let one = try #require(self.encapsulate(key.publicKey))
        let other = try #require(self.encapsulate(key.publicKey))
        #expect(one.ciphertext != other.ciphertext && one.secret != other.secret)
        #expect(try self.open(one.ciphertext, key) == one.secret)
        #expect(try self.open(other.ciphertext, key) == other.secret)
    }

    /// Coefficients above the modulus are no encoding of a key: FIPS 203, section 7.2.
    @Test func whatIsNoPublicKeyIsRefused() {
        let bytes = [UInt8](repeating: 0xFF, count: KeyEncapsulation.publicKeyByteCount)
        #expect(self.encapsulate(bytes) == nil)
    }
}
