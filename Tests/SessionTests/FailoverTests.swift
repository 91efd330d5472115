import Primitives
import Sealing
import Testing

@testable import Session

/// What a client does when its server falls silent.
@Suite struct FailoverTests {
    private func bound(_ fleet: Fleet, to server: Int) throws {
        fleet.run(.seconds(2))
        #expect(fleet.place == fleet.addresses[server])
        #expect(fleet.open() != nil)
        fleet.run(.seconds(1))
        #expect(fleet.resets.isEmpty)
    }

    /// It took 122 seconds until the second server was used.
    @Test func aSilentServerIsReplacedWithinFourSeconds() throws {
        let fleet = Fleet(count: 2)
        try self.bound(fleet, to: 0)
        fleet.isDark = [0]
        let flow = try #require(
            fleet.client.openFlow(
                OpenRequest(service: "voice", serviceProtocol: .udp),
                at: fleet.now
            )
        )
        let bytes: [UInt8] = [1, 2, 3]
        bytes.withUnsafeBytes { fleet.client.send($0, on: flow, at: fleet.now) }
        fleet.run(.milliseconds(2600))
        #expect(fleet.client.isSessionInDoubt || fleet.place == fleet.addresses[1])
        // Asked for while nobody knows: waits, and is answered by the other.
        #expect(fleet.open() != nil)
        fleet.run(.milliseconds(1000))
        #expect(fleet.place == fleet.addresses[1])
        #expect(fleet.changes == [fleet.addresses[1]])
        #expect(fleet.serverStreams[1]?.count == 1)
        #expect(fleet.resets == [.sessionLost])
        #expect(!fleet.client.isSessionInDoubt)
        // Flows go on with the other server.
        bytes.withUnsafeBytes { fleet.client.send($0, on: flow, at: fleet.now) }
        fleet.run(.milliseconds(500))
        #expect(fleet.servers[1].snapshot(at: fleet.now).flows == 1)
    }

    /// A path that is dead for a while takes nobody to a server that is no better off.
    @Test func doubtEndsWhenTheServerIsHeardAgain() throws {
        let fleet = Fleet(count: 2)
        try self.bound(fleet, to: 0)
        fleet.isDark = [0, 1]
        #expect(fleet.open() != nil)
        fleet.run(.seconds(4))
        #expect(fleet.client.isSessionInDoubt)
        #expect(fleet.open() != nil)
        fleet.run(.seconds(4))
        fleet.isDark = []
        fleet.run(.seconds(6))
        #expect(fleet.place == fleet.addresses[0])
        #expect(fleet.resets.isEmpty && fleet.changes.isEmpty)
        #expect(fleet.doubts == (1, 1))
        #expect(fleet.serverStreams[0]?.count == 3)
    }

    @Test func anOnlyServerIsDoubtedToo() throws {
        let fleet = Fleet(count: 1)
        try self.bound(fleet, to: 0)
        fleet.isDark = [0]
        #expect(fleet.open() != nil)
        fleet.run(.seconds(3))
        #expect(fleet.client.isSessionInDoubt && fleet.client.isSessionUp)
        // New streams wait as long as for a first session.
        #expect(fleet.open() != nil)
        fleet.run(.seconds(12))
        #expect(fleet.resets == [.connectTimeout])
        fleet.isDark = []
        fleet.run(.seconds(6))
        #expect(!fleet.client.isSessionInDoubt)
        #expect(fleet.resets == [.connectTimeout])
    }

    @Test func theThirdServerIsFoundWhenTwoAreDead() throws {
        let fleet = Fleet(count: 3)
        try self.bound(fleet, to: 0)
        fleet.isDark = [0, 1]
        #expect(fleet.open() != nil)
        fleet.run(.seconds(6))
        #expect(fleet.place == fleet.addresses[2])
        // And the first once it is the only one left.
        fleet.isDark = [1, 2]
        #expect(fleet.open() != nil)
        fleet.run(.seconds(6))
        #expect(fleet.place == fleet.addresses[0])
    }

    /// Nobody spoke when it died: the next keep-alive finds out.
    @Test func anIdleSessionIsDoubtedAfterItsKeepAlive() throws {
        let fleet = Fleet(count: 2)
        fleet.run(.seconds(2))
        fleet.isDark = [0]
        fleet.run(.seconds(14))
        #expect(fleet.place == fleet.addresses[1])
    }

    @Test func aRestartedServerIsFoundAgain() throws {
        let fleet = Fleet(count: 2)
        try self.bound(fleet, to: 0)
        fleet.restart(0)
        #expect(fleet.open() != nil)
        fleet.run(.seconds(3))
        #expect(fleet.place == fleet.addresses[0])
        #expect(fleet.changes.isEmpty)
    }
}
