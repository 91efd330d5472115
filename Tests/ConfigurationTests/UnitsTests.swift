import Primitives
import Testing

@testable import Configuration

@Suite struct UnitsTests {
    @Test func readsDurations() {
        #expect(Units.duration("150ms") == .milliseconds(150))
        #expect(Units.duration("2 s") == .seconds(2))
        #expect(Units.duration("3m") == .seconds(180))
        #expect(Units.duration("1h") == .seconds(3_600))
        for text in ["", "5", "s", "1.5s", "-1s", " 1s", "1 S", "1s ", "1d", "9999999h", "1e3s"] {
            #expect(Units.duration(text) == nil, "\(text)")
        }
        #expect(Units.duration("99999999999999999999ms") == nil)
    }

    @Test func readsRatesInPowersOfAThousand() {
        #expect(Units.rate("50 mbps") == 50_000_000)
        #expect(Units.rate("1.5gbps") == 1_500_000_000)
        #expect(Units.rate("64kbps") == 64_000)
        #expect(Units.rate("10 Mbps") == 10_000_000)
        #expect(Units.rate("0.1mbps") == 100_000)
        for text in ["50", "50 mb", "1.mbps", ".5mbps", "1.2.3mbps", "1..2mbps", "-1mbps"] {
            #expect(Units.rate(text) == nil, "\(text)")
        }
        #expect(Units.rate("99999999999999gbps") == nil)
    }

    @Test func readsSizesInBothPowers() {
        #expect(Units.size("4 MiB") == 4 << 20)
        #expect(Units.size("64KiB") == 65_536)
        #expect(Units.size("64 kB") == 64_000)
        #expect(Units.size("1.5 GiB") == 3 << 29)
        #expect(Units.size("1MB") == 1_000_000)
        for text in ["4", "4 mib", "4 KB", "4 M", "MiB"] {
            #expect(Units.size(text) == nil, "\(text)")
        }
    }

    @Test func writesTheShortestExactForm() {
        #expect(Units.text(.milliseconds(1_500)) == "1500ms")
        #expect(Units.text(.seconds(120)) == "2m")
        #expect(Units.text(.seconds(7_200)) == "2h")
        #expect(Units.text(byteCount: 4 << 20) == "4 MiB")
        #expect(Units.text(byteCount: 1_000) == "1000 bytes")
    }

    @Test func readsEndpoints() {
        #expect(Endpoint("192.0.2.1:80")?.description == "192.0.2.1:80")
        #expect(Endpoint("[2001:DB8::1]:80")?.description == "[2001:db8::1]:80")
        #expect(Endpoint("Game.Example.net:80") == .name("game.example.net", port: 80))
        #expect(Endpoint("localhost:1") == .name("localhost", port: 1))
        let bad = [
            "", ":80", "host", "host:", "host:99999", "host:+1", "1.2.3:80", "1.2.3.256:80",
            "2001:db8::1:80", "a..b:80", "-a:80", "a-:80", "a b:80", "[::1:80", "host:8O",
        ]
        for text in bad {
            #expect(Endpoint(text) == nil, "\(text)")
        }
    }

    @Test func readsEntriesThatStandForSeveralPlaces() {
        #expect(
            Endpoint(backend: "dns:Game.example:80") == .everyAddress(of: "game.example", port: 80)
        )
        #expect(Endpoint(backend: "srv:_Game._udp.example") == .records(of: "_game._udp.example"))
        #expect(
            Endpoint(server: "srv:_fairlead._udp.a.example")?.description
                == "srv:_fairlead._udp.a.example"
        )
        // Hosts that are called so.
        #expect(Endpoint(backend: "dns:80") == .name("dns", port: 80))
        #expect(Endpoint(server: "srv:80") == .name("srv", port: 80))
        #expect(Endpoint(server: "dns:host:80") == nil)
        let bad = [
            "dns:", "dns:host", "dns:host:0", "dns:10.0.0.1:80", "dns:[::1]:80", "dns:srv:_a._b.c",
            "srv:", "srv:_game._udp", "srv:game._udp.example", "srv:_._udp.example", "host:0",
            "srv:_game._udp.example:80", "srv:_game._udp..", "DNS:host:80", "srv:_a._b.c d",
        ]
        for text in bad {
            #expect(Endpoint(backend: text) == nil, "\(text)")
        }
    }

    @Test func readsNetworksAndKnowsWhatLiesInside() throws {
        let block = try #require(AddressBlock("10.1.0.0/16"))
        #expect(block.contains(try #require(SocketAddress("10.1.255.255:9"))))
        #expect(!block.contains(try #require(SocketAddress("10.2.0.0:9"))))
        #expect(!block.contains(try #require(SocketAddress("[::1]:9"))))
        let all = try #require(AddressBlock("0.0.0.0/0"))
        #expect(all.contains(try #require(SocketAddress("255.255.255.255:0"))))
        #expect(!all.contains(try #require(SocketAddress("[::]:0"))))
        let wide = try #require(AddressBlock("::/0"))
        #expect(wide.contains(try #require(SocketAddress("[ffff::1]:0"))))
        let site = try #require(AddressBlock("2001:db8:1::/48"))
        #expect(site.contains(try #require(SocketAddress("[2001:db8:1:ffff::1]:0"))))
        #expect(!site.contains(try #require(SocketAddress("[2001:db8:2::1]:0"))))
        #expect(AddressBlock("192.0.2.7")?.description == "192.0.2.7/32")
        for text in ["10.0.0.1/8", "10.0.0.0/33", "::/129", "10.0.0.0/", "10/8", "::1/0", "a/8"] {
            #expect(AddressBlock(text) == nil, "\(text)")
        }
    }

    @Test func spellsNamesThatWereProbablyMeant() {
        let names = ["listen", "protocol", "service", "class"]
        #expect(Spelling.nearest(to: "lisen", among: names) == "listen")
        #expect(Spelling.nearest(to: "protcool", among: names) == "protocol")
        #expect(Spelling.nearest(to: "Service", among: names) == "service")
        #expect(Spelling.nearest(to: "weather", among: names) == nil)
        #expect(Spelling.distance(Array("ab".utf8), Array("ba".utf8)) == 1)
    }
}
