import Primitives
import Testing

@testable import Sealing

/// Frozen packets: whoever changes a byte on the wire is told so here.
@Suite struct GoldenTests {
    @Test func packetsAreWhatTheyWere() throws {
        let pair = Pair(
            seed: 2026,
            ciphers: CipherSet(.chacha20Poly1305),
            loadThreshold: 1
        )
        pair.start()
        let initiation = try #require(pair.nextInitiation())
        let (outcome, reply) = pair.deliverToServer(initiation)
        let server = try #require(outcome.established)
        let (_, cookie) = pair.deliverToServer(initiation)
        let response = try #require(reply)
        let client = try #require(pair.deliverToClient(response).established)
        #expect(client.handshakeHash == server.handshakeHash)
        let data = sealed(
            Array("fairlead".utf8),
            client.keys,
            receiverIndex: client.remoteIndex,
            counter: 1
        )
        #expect(hexText(initiation) == Self.initiation)
        #expect(hexText(response) == Self.response)
        let cookieText = cookie.map(hexText)
        #expect(cookieText == Self.cookie)
        #expect(hexText(data) == Self.data)
    }

    private static let initiation =
        "ad9ed0aca93eaa91f0cf4b7ea24cb8d5f71115d3761130d74d38d76265afe26f"
        + "e169154cd0fbf14f6790f12cfec7247c3506b9a42ea0b7029c1b54b4af5a4836"
        + "7c52d30ab61acba4b2d6c32d0d4b2d04f6b22640a808a29048df92d76f0da7bd"
        + "3ee82634c83e9cd08f4a562791491a29843bb052ae236b63637a800d6a087ae8"
        + "839ec2c75257b00f1f9ab2841401afa7998059f1769ad7b1a79d8116474c234e"
        + "1c31dc46e544ea2a0f9d5d94"
    private static let response =
        "5fe6908f110cc8b86d3a2babe4e96f8178b2c58192c9b0cd8d2cc72c64ecc1c1"
        + "db469a8aaa2cc45565846fea213b4affad18041345a1e4a6a2133ca5f3c595c7"
        + "236eae5ca35c55d806e9be280a257b57c56e416ead9e01c9031c748dec1a47db"
        + "ec6f81e1d4f74f31dd3715d9"
    private static let cookie =
        "7e23671243c57e1bf11406bc887edcca314f92362d8772ae8667fcda46ea3f19"
        + "51df14cc5ae5e39669fb681af2672da1af97e376a19e182b749a5a4f38a2ad24"
        + "fb3410b2"
    private static let data =
        "000acf8bf9ff6fae9cbece9ae4d87dc31faf2f44227f417d0ca4d8db509316d9"
        + "3e9a979e"
}
