import Testing

@testable import Configuration

/// The keys of `[[peer]]` that bound what a client may hold.
@Suite struct QuotaReadingTests {
    private func peer(_ lines: String) throws -> PeerEntry {
        let text = Samples.server(
            "[[peer]]\nname = \"a\"\npublic_key = \"\(Samples.key)\"\nservices = []\n\(lines)"
        )
        return try #require(try ServerConfiguration.parse(text, file: "s").peers.first)
    }

    @Test func defaultsAreThoseOfTheContract() throws {
        let peer = try self.peer("")
        #expect(peer.maximumSessions == 4)
        #expect(peer.maximumStreams == 4096 && peer.maximumFlows == 4096)
        #expect(peer.rateUp == nil && peer.rateDown == nil)
        #expect(peer.expires == nil && peer.isEnabled)
    }

    @Test func everyKeyIsRead() throws {
        let peer = try self.peer(
            """
            max_sessions = 1
            max_streams = 20
            max_flows = 30
            rate_up = "1.5 mbps"
            rate_down = "2 gbps"
            enabled = false
            """
        )
        #expect(peer.maximumSessions == 1)
        #expect(peer.maximumStreams == 20 && peer.maximumFlows == 30)
        #expect(peer.rateUp == 1_500_000 && peer.rateDown == 2_000_000_000)
        #expect(!peer.isEnabled)
    }

    /// The same moment, as TOML writes it and as RFC 3339 does.
    @Test(arguments: [
        "2027-01-31T18:00:00Z", "2027-01-31 18:00:00Z", "2027-01-31T19:30:00+01:30",
        "2027-01-31T10:00:00-08:00", "\"2027-01-31T18:00:00Z\"", "\"2027-01-31T20:00:00+02:00\"",
        "\"2027-01-31T18:00:00.25Z\"",
    ])
    func momentsAreTheSameEverywhere(text: String) throws {
        let expires = try #require(try self.peer("expires = \(text)").expires)
        #expect(expires == WallTime(secondsSince1970: 1_801_418_400))
    }
}
