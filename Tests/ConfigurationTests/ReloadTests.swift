import Balancing
import Primitives
import Sealing
import Testing

@testable import Configuration

@Suite struct ReloadTests {
    private let key = SecretKey(entropy: .seeded(1))

    private func client(_ text: String) throws -> LoadedConfiguration<ClientConfiguration> {
        LoadedConfiguration(
            configuration: try ClientConfiguration.parse(text, file: "c"),
            privateKey: self.key
        )
    }

    private func server(_ text: String) throws -> LoadedConfiguration<ServerConfiguration> {
        LoadedConfiguration(
            configuration: try ServerConfiguration.parse(text, file: "s"),
            privateKey: self.key
        )
    }

    private func forward(_ port: Int, _ service: String, _ inner: String = "tcp") -> String {
        """
        [[forward]]
        listen = "127.0.0.1:\(port)"
        protocol = "\(inner)"
        service = "\(service)"

        """
    }

    @Test func findsNothingWhereOnlyTheWritingChanged() throws {
        let old = try self.client(
            Samples.clientHead + self.forward(1, "a") + self.forward(2, "b")
        )
        let new = try self.client(
            "# comment\n" + Samples.clientHead + "fec = \"auto\"\n" + self.forward(2, "b")
                + self.forward(1, "a")
        )
        #expect(ClientReload(from: old, to: new).isEmpty)
    }

    @Test func tellsForwardsApartByWhereTheyListen() throws {
        let old = try self.client(
            Samples.clientHead + self.forward(1, "a") + self.forward(2, "b")
                + self.forward(3, "c") + self.forward(3, "c", "udp")
        )
        let new = try self.client(
            Samples.clientHead + self.forward(1, "a") + self.forward(2, "x")
                + self.forward(3, "c", "udp") + self.forward(4, "d")
        )
        let reload = ClientReload(from: old, to: new)
        #expect(reload.forwards.added.map(\.service) == ["d"])
        #expect(reload.forwards.removed.map(\.identity) == ["tcp 127.0.0.1:3"])
        #expect(reload.forwards.changed.map(\.old.service) == ["b"])
        #expect(reload.forwards.changed.map(\.new.service) == ["x"])
        #expect(reload.needsRestart.isEmpty)
        #expect(reload.changedKeys.isEmpty)
    }

    @Test func tellsWhatNeedsARestart() throws {
        let old = try self.client(Samples.clientHead)
        let text =
            Samples.clientHead.replacing("example.net", with: "example.org")
            .replacing(Samples.key, with: Samples.otherKey)
            + "workers = 2\nmtu = 1300\nmax_flows = 5\n"
        let new = LoadedConfiguration(
            configuration: try ClientConfiguration.parse(text, file: "c"),
            privateKey: SecretKey(entropy: .seeded(2))
        )
        let reload = ClientReload(from: old, to: new)
        #expect(
            reload.needsRestart
                == ["server_public_key", "private_key", "mtu", "workers", "max_flows"]
        )
        #expect(reload.changedKeys == ["server"])
    }

    @Test func comparesKeysThatTakeARestartWithWhatRuns() throws {
        let running = try self.server(Samples.server(""))
        let moved = try self.server(
            Samples.server("").replacing("0.0.0.0:4600", with: "0.0.0.0:4601")
        )
        let first = ServerReload(from: running, to: moved, running: running)
        #expect(first.needsRestart == ["listen"])
        let again = ServerReload(from: moved, to: moved, running: running)
        #expect(again.needsRestart == ["listen"])
        #expect(again.applied.isEmpty)
        let back = ServerReload(from: moved, to: running, running: running)
        #expect(back.isEmpty)
    }

    @Test func comparesLiveKeysOfAClientWithTheFileReadLast() throws {
        let running = try self.client(Samples.clientHead + self.forward(1, "a"))
        let text = Samples.clientHead.replacing("example.net", with: "example.org")
        let moved = try self.client("mtu = 1300\n" + text + self.forward(2, "b"))
        let first = ClientReload(from: running, to: moved, running: running)
        #expect(first.needsRestart == ["mtu"])
        #expect(
            first.applied == [
                "server", "forward tcp 127.0.0.1:2 added", "forward tcp 127.0.0.1:1 removed",
            ]
        )
        let again = ClientReload(from: moved, to: moved, running: running)
        #expect(again.needsRestart == ["mtu"])
        #expect(again.applied.isEmpty)
        let back = ClientReload(from: moved, to: running, running: running)
        #expect(back.needsRestart.isEmpty)
        #expect(back.applied.first == "server")
    }

    @Test func tellsServicesApartByNameAndPeersByKey() throws {
        let peer = { (name: String, key: String, services: String) in
            """

            [[peer]]
            name = "\(name)"
            public_key = "\(key)"
            services = \(services)
            """
        }
        let more = "[[service]]\nname = \"voice\"\nprotocol = \"udp\"\nbackends = [\"a:1\"]"
        let old = try self.server(Samples.server(peer("edge", Samples.key, "[\"*\"]")))
        let new = try self.server(
            Samples.server("balance = \"source-hash\"\n" + more)
                .replacing("0.0.0.0:4600", with: "0.0.0.0:4601")
                + peer("edge", Samples.otherKey, "[\"*\"]")
        )
        let reload = ServerReload(from: old, to: new)
        #expect(reload.services.added.map(\.name) == ["voice"])
        #expect(reload.services.changed.map(\.new.balance) == [.sourceHash])
        #expect(reload.peers.added.map(\.publicKey.description) == [Samples.otherKey])
        #expect(reload.peers.removed.map(\.publicKey.description) == [Samples.key])
        #expect(reload.needsRestart == ["listen"])
        let back = ServerReload(from: new, to: old)
        #expect(back.services.removed.map(\.name) == ["voice"])
        let same = ServerReload(from: new, to: new)
        #expect(same.isEmpty)
    }

    @Test func aPresharedKeyChangesByItsBytes() throws {
        let configuration = try ClientConfiguration.parse(
            Samples.clientHead + "preshared_key = \"a.psk\"\n",
            file: "c"
        )
        let loaded = { (seed: UInt64) in
            LoadedConfiguration(
                configuration: configuration,
                privateKey: self.key,
                presharedKeys: [
                    configuration.serverPublicKey: PresharedKey(entropy: .seeded(seed))
                ]
            )
        }
        #expect(ClientReload(from: loaded(1), to: loaded(1)).isEmpty)
        let reload = ClientReload(from: loaded(1), to: loaded(2))
        #expect(reload.changedKeys == ["preshared_key"] && reload.needsRestart.isEmpty)
    }

    @Test func namesThePeerWhosePresharedKeyIsNew() throws {
        let peer = "[[peer]]\nname = \"edge\"\npublic_key = \"\(Samples.key)\"\nservices = []\n"
        let configuration = try ServerConfiguration.parse(Samples.server(peer), file: "s")
        let holder = try #require(configuration.peers.first?.publicKey)
        let loaded = { (seed: UInt64) in
            LoadedConfiguration(
                configuration: configuration,
                privateKey: self.key,
                presharedKeys: [holder: PresharedKey(entropy: .seeded(seed))]
            )
        }
        #expect(ServerReload(from: loaded(1), to: loaded(1)).isEmpty)
        #expect(ServerReload(from: loaded(1), to: loaded(2)).applied == ["peer edge changed"])
    }
}
