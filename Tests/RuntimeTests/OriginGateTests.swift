import Configuration
import Primitives
import Sealing
import Session
import Testing

@testable import Runtime

@Suite struct OriginGateTests {
    private static let session = SessionHandle(slot: 1, generation: 1)
    private static let client = SocketAddress(ipv4: 0xC000_0201, port: 9)
    private static let key = SecretKey(entropy: .seeded(1)).publicKey

    private static func peer(_ name: String, _ origins: String) throws -> PeerEntry {
        var entry = PeerEntry(name: name, publicKey: Self.key, services: ["*"])
        entry.origins = [try #require(AddressBlock(origins))]
        return entry
    }

    private static func gate() throws -> OriginGate {
        let gate = OriginGate()
        _ = gate.adopt([try Self.peer("old", "203.0.113.0/24")], reserved: [])
        gate.sessionChanged(
            Self.session,
            SessionInfo(
                peerName: "old",
                address: Self.client,
                cipher: .chacha20Poly1305,
                peerIndex: 0
            )
        )
        return gate
    }

    private static func judge(_ gate: OriginGate) -> OriginGate.Decision {
        var request = OpenRequest(service: "game", serviceProtocol: .tcp)
        request.origin = SocketAddress("203.0.113.7:50412")
        return gate.judge(request, from: Self.session, isShown: true)
    }

    /// A session that is up when its client gets another name goes on being served.
    @Test func aRenamedClientIsServed() throws {
        let gate = try Self.gate()
        guard case .admitted(let before) = Self.judge(gate) else {
            Issue.record("refused before")
            return
        }
        #expect(gate.adopt([try Self.peer("new", "203.0.113.0/24")], reserved: []).isEmpty)
        guard case .admitted(let after) = Self.judge(gate) else {
            Issue.record("refused after")
            return
        }
        #expect(after.peer == before.peer)
    }

    /// Other origins under another name are other origins all the same.
    @Test func aRenamedClientHasItsNewOrigins() throws {
        let gate = try Self.gate()
        #expect(gate.adopt([try Self.peer("new", "198.51.100.0/24")], reserved: []).count == 1)
        guard case .refused(let peer, _, _) = Self.judge(gate) else {
            Issue.record("admitted")
            return
        }
        #expect(peer == "new")
    }
}
