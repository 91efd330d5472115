import Primitives
import Testing

@testable import Session

/// A client whose server has several addresses.
@Suite struct AddressRaceTests {
    private func sessionCount(_ fleet: Fleet) -> Int {
        fleet.servers[0].snapshot(at: fleet.now).sessions.count
    }

    @Test func aDeadFirstAddressCostsThreeHundredMilliseconds() {
        let fleet = Fleet(count: 2, isOneServer: true)
        fleet.isDark = [0]
        fleet.run(.milliseconds(300))
        #expect(fleet.place == fleet.addresses[1])
        #expect(fleet.client.isSessionUp)
    }

    @Test func fourDeadAddressesCostFourTurns() {
        let fleet = Fleet(count: 5, isOneServer: true)
        fleet.isDark = [0, 1, 2, 3]
        fleet.run(.milliseconds(1_100))
        #expect(fleet.place == fleet.addresses[4])
    }

    @Test func aSlowFirstAddressLeavesOneSessionBehind() {
        let fleet = Fleet(count: 3, isOneServer: true)
        // Answers take longer than the next two addresses' turns.
        fleet.delays = [0: .milliseconds(260)]
        fleet.run(.seconds(2))
        #expect(fleet.client.isSessionUp)
        #expect(fleet.open() != nil)
        fleet.run(.seconds(1))
        #expect(fleet.resets.isEmpty)
        #expect(fleet.serverStreams[0]?.count == 1)
        fleet.run(.seconds(15))
        #expect(self.sessionCount(fleet) == 1)
        #expect(fleet.client.snapshot(at: fleet.now).sessions.count == 1)
    }

    @Test func aDistantServerIsReachedByAnyAddress() {
        let fleet = Fleet(count: 2, isOneServer: true)
        fleet.delays = [0: .milliseconds(300), 1: .milliseconds(300)]
        fleet.run(.seconds(3))
        #expect(fleet.client.isSessionUp)
        fleet.run(.seconds(15))
        #expect(self.sessionCount(fleet) == 1)
    }

    /// Both ways are there until one fails: streams go on by the other.
    @Test func streamsGoOnByAnotherAddress() {
        let fleet = Fleet(count: 2, isOneServer: true)
        fleet.run(.seconds(2))
        #expect(fleet.place == fleet.addresses[0])
        #expect(fleet.open() != nil)
        fleet.run(.seconds(1))
        fleet.isDark = [0]
        #expect(fleet.open() != nil)
        fleet.run(.seconds(5))
        #expect(fleet.place == fleet.addresses[1])
        #expect(fleet.resets.isEmpty)
        #expect(fleet.serverStreams[0]?.count == 2)
        #expect(self.sessionCount(fleet) == 1)
    }

    /// The name of a server that has moved, with its session, leads to its new address.
    @Test func aServerThatMovesIsFollowed() {
        let fleet = Fleet(count: 2, isOneServer: true)
        fleet.client.replace(servers: [[fleet.addresses[0]]])
        fleet.run(.seconds(2))
        #expect(fleet.open() != nil)
        fleet.run(.seconds(1))
        fleet.isDark = [0]
        #expect(fleet.open() != nil)
        fleet.run(.seconds(3))
        fleet.client.replace(servers: [[fleet.addresses[1]]])
        fleet.run(.seconds(1))
        #expect(fleet.place == fleet.addresses[1])
        #expect(fleet.resets.isEmpty)
        #expect(!fleet.client.isSessionInDoubt)
    }

    @Test func newsWhileAHandshakeIsUnderWayCountAtOnce() {
        let fleet = Fleet(count: 2, isOneServer: true)
        fleet.client.replace(servers: [[fleet.addresses[0]]])
        fleet.isDark = [0]
        fleet.run(.milliseconds(1_600))
        #expect(!fleet.client.isSessionUp)
        fleet.client.replace(servers: [[fleet.addresses[1]]])
        fleet.run(.milliseconds(100))
        #expect(fleet.place == fleet.addresses[1])
    }

    @Test func aHealthySessionIsRenewedWhereItIs() {
        let fleet = Fleet(count: 2, isOneServer: true)
        fleet.run(.seconds(2))
        #expect(fleet.place == fleet.addresses[0])
        fleet.client.replace(servers: [[fleet.addresses[1]]])
        fleet.run(.seconds(300))
        #expect(fleet.place == fleet.addresses[0])
        #expect(self.sessionCount(fleet) == 1)
        #expect(fleet.changes.isEmpty)
    }

    /// An answer from elsewhere proves nothing of where it came from.
    @Test func everyAddressFailingIsToldAndTriedAgain() {
        let fleet = Fleet(count: 2, isOneServer: true)
        fleet.isDark = [0, 1]
        fleet.run(.seconds(30))
        #expect(!fleet.client.isSessionUp)
        fleet.isDark = [0]
        fleet.run(.seconds(3))
        #expect(fleet.place == fleet.addresses[1])
    }
}
