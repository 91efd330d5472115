import Primitives
import Testing

@testable import Sealing

@Suite struct KeyTests {
    /// Made with `wg genkey | tee /dev/stderr | wg pubkey`-compatible arithmetic: Bob of RFC 7748.
    private static let secretText = "XasIfmJKikt54X+Lg4AO5m87sSkmGLb9HC+LJ/+I4Os="
    private static let publicText = "3p7bfXt9wbTTW2HC7OQ1Nz+DQ8hbeGdNrfx+FG+IK08="

    @Test func aBareWireGuardKeyIsAccepted() throws {
        let key = try SecretKey(keyFileText: Self.secretText + "\n")
        #expect(key.publicKey.description == Self.publicText)
        #expect(PublicKey(base64: Self.publicText) == key.publicKey)
    }

    @Test(arguments: ["\n", "\r\n"])
    func aKeyFileComesBack(lineEnd: String) throws {
        let key = SecretKey(entropy: .seeded(11))
        let text = key.keyFileText(created: "2026-11-22T10:00:00Z")
        #expect(text.hasPrefix("# created: 2026-11-22T10:00:00Z\n# public key: \(key.publicKey)\n"))
        #expect(text.hasSuffix("=\n"))
        let lines = text.split(separator: "\n", omittingEmptySubsequences: false)
        let again = try SecretKey(keyFileText: lines.joined(separator: lineEnd))
        #expect(again.publicKey == key.publicKey)
        let spaced = try SecretKey(keyFileText: "\n  \(lines[2])\t\n\n# end")
        #expect(spaced.publicKey == key.publicKey)
    }

    @Test func badKeyFilesAreRefused() {
        let cases: [(String, KeyFileError)] = [
            ("", .noKey(.secret)),
            ("# FAIRLEAD-SECRET-KEY:\(Self.secretText)\n", .noKey(.secret)),
            ("# one\nhello\n", .malformed(.secret, line: 2)),
            ("FAIRLEAD-SECRET-KEY:", .malformed(.secret, line: 1)),
            ("FAIRLEAD-SECRET-KEY:\(Self.secretText)=", .malformed(.secret, line: 1)),
            ("\(Self.secretText)\n\(Self.secretText)\n", .severalKeys(.secret, line: 2)),
        ]
        for (text, error) in cases {
            #expect(throws: error) { _ = try SecretKey(keyFileText: text) }
            #expect(!error.description.contains(Self.secretText))
        }
    }

    @Test func onlyCanonicalBase64IsAPublicKey() {
        let good = Self.publicText
        let bad = [
            "", String(good.dropLast()), good + "=", good + "\n", " " + good.dropLast(),
            good.replacing("=", with: "A"), good.replacing("8=", with: "9="),
            good.replacing("+", with: "-"), good.replacing("f", with: "é"),
            String(repeating: "=", count: 44),
        ]
        for text in bad { #expect(PublicKey(base64: text) == nil, "\(text)") }
        #expect(PublicKey(base64: good)?.description == good)
    }

    @Test func aSecretIsNeverPrinted() throws {
        let key = try SecretKey(keyFileText: Self.secretText)
        var dumped = ""
        dump(key, to: &dumped)
        for text in ["\(key)", String(reflecting: key), String(describing: key), dumped] {
            #expect(!text.contains(Self.secretText))
            #expect(text.contains("<secret>"))
        }
    }

    @Test func newKeysAreClamped() {
        for seed in 0..<20 as Range<UInt64> {
            let key = SecretKey(entropy: .seeded(seed))
            let bytes = UnsafeRawBufferPointer(start: key.base, count: 32)
            #expect(bytes[0] & 7 == 0 && bytes[31] & 0xC0 == 0x40)
        }
    }

    @Test func keysOfAnotherSizeAreRefused() {
        #expect(secretKey([1, 2, 3]) == nil)
        #expect(secretKey([UInt8](repeating: 1, count: 33)) == nil)
    }
}
