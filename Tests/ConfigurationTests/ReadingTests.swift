import Erasure
import Origin
import Primitives
import Recovery
import Sealing
import Testing

@testable import Configuration

/// The files of the contract, read into values.
@Suite struct ReadingTests {
    static let server = """
        listen = "0.0.0.0:4600"             # UDP; a string or a list; port 0 is allowed
        private_key = "keys/server.key"     # path, relative to the config file's folder
        admin = "127.0.0.1:9460"            # optional HTTP: /metrics /status /live /ready
        admin_hosts = ["Monitor.example"]

        [[peer]]
        name = "edge-1"
        public_key = "\(Samples.key)"
        services = ["minecraft", "voice"]   # or ["*"]
        origins = ["0.0.0.0/0", "::/0"]     # addresses this client may claim for its players

        [[service]]
        name = "minecraft"
        protocol = "tcp"                    # "tcp" or "udp"
        backends = [
            "10.0.0.5:25565",
            { address = "[2001:db8::6]:25565", weight = 2, backup = true },
        ]
        balance = "round-robin"
        origin = "transparent"
        dialect = "every"                   # proxy-v2 over UDP
        source_port = "keep"
        health = { type = "tcp", interval = "2s", timeout = "1s", rise = 2, fall = 3 }

        [[service]]
        name = "voice"
        protocol = "udp"
        backends = ["voice.example:9987"]
        origin = "proxy-v2"
        dialect = "first"
        fec = "low"
        compression = "never"
        health = { type = "send-expect", send = "hex:FE 01", expect = "pong" }
        """

    static let client = """
        server = "tunnel.example.net:4600"  # a string or a list, tried in order
        server_public_key = "\(Samples.key)"
        private_key = "/etc/fairlead/client.key"
        admin = "127.0.0.1:9461"
        congestion = "fixed"
        rate = "50 mbps"
        cipher = "aes-256-gcm"
        post_quantum = "require"
        mtu = 1400
        workers = 2
        connect_timeout = "5s"
        control = "run/client.sock"

        [[forward]]
        listen = "0.0.0.0:25565"
        protocol = "tcp"
        service = "minecraft"
        class = "auto"
        compression = "auto"

        [[forward]]
        listen = "[::]:19132-19140"         # a port range A-B is allowed
        protocol = "udp"
        service = "voice"
        delivery = "deadline"
        max_age = "150ms"
        idle_timeout = "120s"
        accept = "plain"
        trusted = ["173.245.48.0/20"]
        dialect = "every"
        """

    @Test func readsTheServerOfTheContract() throws {
        let server = try ServerConfiguration.parse(Self.server, file: "s", folder: "/etc/f")
        #expect(server.listen.map(\.description) == ["0.0.0.0:4600"])
        #expect(server.privateKey.path == "keys/server.key")
        #expect(server.privateKey.location == "/etc/f/keys/server.key")
        #expect(server.admin?.description == "127.0.0.1:9460")
        #expect(server.adminHosts == ["monitor.example"])
        #expect(server.control == .automatic)
        #expect(server.transport.postQuantum == .prefer)
        #expect(server.peers.map(\.services) == [["minecraft", "voice"]])
        #expect(server.peers.first?.origins?.map(\.description) == ["0.0.0.0/0", "::/0"])
        #expect(server.peers.first?.publicKey.description == Samples.key)
        let service = try #require(server.services.first)
        #expect(service.backends.map(\.endpoint.description).last == "[2001:db8::6]:25565")
        #expect(service.backends.map(\.weight) == [1, 2])
        #expect(service.backends.map(\.isBackup) == [false, true])
        #expect(service.origin == .transparent)
        #expect(service.health == HealthCheck(probe: .tcp))
        let voice = try #require(server.services.last)
        #expect(voice.dialect == .first)
        #expect(voice.redundancy == .low)
        #expect(!voice.allowsCompression)
        #expect(
            voice.health?.probe == .sendExpect(send: [0xFE, 1], expect: Array("pong".utf8))
        )
    }

    @Test func readsTheClientOfTheContract() throws {
        let client = try ClientConfiguration.parse(Self.client, file: "c", folder: "/etc/f")
        #expect(client.servers == [.name("tunnel.example.net", port: 4600)])
        #expect(client.privateKey.location == "/etc/fairlead/client.key")
        #expect(client.control == .path("/etc/f/run/client.sock"))
        #expect(client.transport.congestion == .fixed(bitsPerSecond: 50_000_000))
        #expect(client.transport.cipher == .aes256GCM)
        #expect(client.transport.postQuantum == .require)
        #expect(client.transport.maximumPacketSize == 1400)
        #expect(client.transport.workers == 2)
        #expect(client.transport.connectTimeout == .seconds(5))
        let game = try #require(client.forwards.first)
        #expect(game.isCompressed)
        #expect(game.listen.addresses.map(\.description) == ["0.0.0.0:25565"])
        let voice = try #require(client.forwards.last)
        #expect(voice.listen.count == 9)
        #expect(voice.listen.addresses.last?.description == "[::]:19140")
        #expect(voice.delivery == .deadline(maximumAge: .milliseconds(150)))
        #expect(voice.accept == .plain)
        #expect(voice.trusted.map(\.description) == ["173.245.48.0/20"])
    }

    @Test func hasTheDefaultsOfTheContract() throws {
        let client = try ClientConfiguration.parse(Samples.client(protocol: "udp"), file: "c")
        #expect(client.transport == TransportSettings())
        #expect(client.limits == Limits())
        #expect(client.transport.connectTimeout == .seconds(10))
        let forward = try #require(client.forwards.first)
        #expect(forward.delivery == .datagram)
        #expect(forward.idleTimeout == .seconds(120))
        #expect(!forward.isCompressed && forward.maximumStall == nil)
        let server = try ServerConfiguration.parse(Samples.server(), file: "s")
        #expect(server.routes == .auto)
        #expect(server.limits.streamBuffer == 8 << 20)
        #expect(server.limits.sessionBuffer == 64 << 20)
        #expect(server.services.first?.origin == Service.Origin.none)
        #expect(server.services.first?.allowsCompression == true)
    }

    @Test func takesListsWhereItTakesAString() throws {
        let text = Samples.server().replacing(
            "\"0.0.0.0:4600\"",
            with: "[\"0.0.0.0:0\", \"[::]:0\", \"localhost:7\"]"
        )
        let server = try ServerConfiguration.parse(text, file: "s")
        #expect(
            server.listen.map(\.description) == ["0.0.0.0:0", "[::]:0", "127.0.0.1:7"]
        )
        let more = Samples.client().replacing(
            "\"tunnel.example.net:4600\"",
            with: "[\"a:1\", \"192.0.2.1:2\"]"
        )
        let client = try ClientConfiguration.parse(more, file: "c")
        #expect(client.servers.map(\.description) == ["a:1", "192.0.2.1:2"])
    }
}
