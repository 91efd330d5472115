import Primitives
import Testing

@testable import Configuration

/// Backends with a range of ports.
@Suite struct PortRangeTests {
    private func service(_ backends: String) throws -> Service {
        let text = Samples.server(protocol: "udp").replacing("[\"10.0.0.5:25565\"]", with: backends)
        let server = try ServerConfiguration.parse(text, file: "s")
        return try #require(server.services.first)
    }

    private func errors(_ backends: String) -> [String] {
        Samples.serverErrors(
            Samples.server(protocol: "udp").replacing("[\"10.0.0.5:25565\"]", with: backends)
        )
    }

    @Test func aRangeIsRead() throws {
        for (text, count) in [
            ("\"10.0.0.5:20000-20100\"", 101), ("\"[2001:db8::6]:20000-20001\"", 2),
            ("\"media-1.example:1-65535\"", 65_535), ("\"10.0.0.5:7-7\"", 1),
            ("{ address = \"a-b.example:10-19\", weight = 2 }", 10), ("\"a-b.example:10\"", 1),
        ] {
            #expect(try self.service("[\(text)]").portCount == count, "\(text)")
        }
        let backend = try #require(try self.service("[\"10.0.0.5:65534-65535\"]").backends.first)
        #expect(backend.endpoint.description == "10.0.0.5:65534")
        #expect(backend.literals.map(\.port) == [65_534, 65_535])
    }

    @Test(arguments: [
        "10.0.0.5:20100-20000", "10.0.0.5:0-5", "10.0.0.5:1-", "10.0.0.5:-5", "10.0.0.5:1-65536",
        "10.0.0.5:1-2-3", "10.0.0.5:1-+2", "10.0.0.5:1- 2",
    ])
    func whatIsNoRangeIsRefused(text: String) {
        let got = self.errors("[\"\(text)\"]")
        #expect(got.count == 1)
        #expect(got.first?.hasPrefix("s:6: backends: got \"\(text)\", expected an address") == true)
    }

    @Test func allBackendsHaveAsManyPorts() {
        let same = "[\"10.0.0.5:1-5\", \"10.0.0.6:11-15\"]"
        #expect(self.errors(same).isEmpty)
        let odd = "[\"10.0.0.5:1-5\", \"10.0.0.6:1-4\"]"
        #expect(
            self.errors(odd) == [
                "s:6: backends: got backends with 5 and 4 ports, expected the same number of ports"
                    + " for each"
            ]
        )
    }

    /// The tunnel's own port in the middle of a range would lead its packets back into it.
    @Test func aRangeDoesNotLeadBackIntoTheTunnel() {
        let got = self.errors("[\"127.0.0.1:4590-4610\"]")
        #expect(got.count == 1 && got.first?.contains("where this server listens itself") == true)
    }
}
