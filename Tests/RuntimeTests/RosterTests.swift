import Balancing
import Configuration
import Names
import Primitives
import Testing

@testable import Runtime

@Suite struct RosterTests {
    private let start = Instant(nanoseconds: 1)
    private let someone = ShownPlayer(
        address: SocketAddress(ipv4: 0xC633_6407, port: 4_000),
        destination: nil,
        clientKey: [],
        peer: 0
    )

    private func at(_ last: UInt32, port: UInt16 = 7) -> SocketAddress {
        SocketAddress(ipv4: 0x0A00_0000 | last, port: port)
    }

    private func service(_ backends: Backend...) -> Service {
        Service(name: "s", transportProtocol: .tcp, backends: backends)
    }

    private func backend(_ text: String, weight: Int = 1, isBackup: Bool = false) throws -> Backend
    {
        var backend = Backend(endpoint: try #require(Endpoint(backend: text)))
        backend.weight = weight
        backend.isBackup = isBackup
        return backend
    }

    private func pick(_ pool: BackendPool) -> String? {
        pool.pick(source: self.someone.address, for: self.someone, at: self.start).map {
            pool.name($0)
        }
    }

    @Test func everyAddressIsABackendWithItsEntrysWeight() throws {
        let service = self.service(
            try self.backend("dns:a.example:7", weight: 3),
            try self.backend("10.0.0.2:7"),
            try self.backend("dns:void.example:7")
        )
        let known: KnownNames = [
            "dns:a.example:7": NameAnswer([self.at(3), self.at(2), self.at(1)])
        ]
        let members = Roster.members(of: service, known)
        // What is listed by itself counts as it is listed; what leads nowhere is shown as itself.
        #expect(
            members.map(\.name)
                == ["10.0.0.1:7", "10.0.0.3:7", "10.0.0.2:7", "dns:void.example:7"]
        )
        #expect(members.map(\.weight) == [3, 3, 1, 1])
        #expect(members.last?.addresses == [])
    }

    @Test func recordsHaveWeightsAndRanksOfTheirOwn() throws {
        let service = self.service(
            try self.backend("srv:_g._udp.example"),
            try self.backend("10.0.0.9:7", isBackup: true)
        )
        let answer = NameAnswer([
            .init(self.at(1), target: "big", priority: 5, weight: 60),
            .init(self.at(2), target: "twin", priority: 5, weight: 40),
            .init(self.at(3), target: "twin", priority: 5, weight: 40),
            .init(self.at(4), target: "none", priority: 5, weight: 0),
            .init(self.at(5), target: "second", priority: 9, weight: 0),
        ])
        let members = Roster.members(of: service, ["srv:_g._udp.example": answer])
        #expect(members.map(\.weight) == [1_000, 333, 333, 1, 1, 1])
        #expect(members.map(\.tier) == [0, 0, 0, 0, 1, 1 << 16])
    }

    @Test func whoLeavesIsDrainedAndWhoComesGetsPlayers() throws {
        let service = self.service(try self.backend("dns:a.example:7"))
        let pool = BackendPool(service, [:], at: self.start)
        #expect(self.pick(pool) == nil)
        #expect(!pool.isUp(0), "nobody is there yet")
        let resolved = { (addresses: [SocketAddress]) in
            pool.resolved(["dns:a.example:7": NameAnswer(addresses)], at: self.start)
        }
        resolved([self.at(1)])
        #expect(self.pick(pool) == "10.0.0.1:7")
        #expect(pool.isUp(0))
        resolved([self.at(2), self.at(3)])
        let names = Set((0..<4).map { _ in self.pick(pool) })
        #expect(names == ["10.0.0.2:7", "10.0.0.3:7"])
        // The one that left still has its player, and so its index.
        let old = try #require((0..<pool.count).first { pool.name($0) == "10.0.0.1:7" })
        #expect(pool.isGone(old))
        pool.finished(old)
        resolved([self.at(4)])
        #expect(pool.name(old) == "10.0.0.4:7")
        #expect(!pool.isGone(old))
        #expect(self.pick(pool) == "10.0.0.4:7")
    }

    @Test func whoComesBackIsWhoItWas() throws {
        let service = self.service(try self.backend("dns:a.example:7"))
        let pool = BackendPool(service, [:], at: self.start)
        let both = ["dns:a.example:7": NameAnswer([self.at(1), self.at(2)])]
        pool.resolved(both, at: self.start)
        let count = pool.count
        for _ in 0..<50 {
            pool.resolved(["dns:a.example:7": NameAnswer([self.at(2)])], at: self.start)
            #expect(self.pick(pool) == "10.0.0.2:7")
            pool.resolved(both, at: self.start)
        }
        #expect(pool.count == count)
    }

    @Test func drainingAnEntryDrainsWhateverItBrings() throws {
        let service = self.service(
            try self.backend("dns:a.example:7"),
            try self.backend("10.0.0.9:7")
        )
        let pool = BackendPool(service, [:], at: self.start)
        pool.resolved(["dns:a.example:7": NameAnswer([self.at(1)])], at: self.start)
        pool.drain { $0 == "dns:a.example:7" }
        for _ in 0..<3 { #expect(self.pick(pool) == "10.0.0.9:7") }
        pool.drain { $0 == "10.0.0.9:7" }
        #expect(self.pick(pool) == "10.0.0.1:7")
    }

    @Test func transparentPlayersMeetBackendsOfTheirFamily() throws {
        let v6 = SocketAddress(high: 0x2001_0DB8 << 32, low: 1, port: 7)
        for balance in PickPolicy.allCases {
            var service = self.service(try self.backend("dns:a.example:7"))
            service.origin = .transparent
            service.balance = balance
            let pool = BackendPool(
                service,
                ["dns:a.example:7": NameAnswer([self.at(1), v6, self.at(2)])],
                at: self.start
            )
            for _ in 0..<12 { #expect(self.pick(pool)?.hasPrefix("10.") == true, "\(balance)") }
        }
    }
}
