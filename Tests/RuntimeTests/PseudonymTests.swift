import Configuration
import Origin
import Primitives
import Testing

@testable import Runtime

/// Whom a backend is shown for a player of the other IP version.
@Suite struct PseudonymTests {
    private let key = HashKey(first: 1, second: 2)
    private let four = SocketAddress(ipv4: 0x0A00_0005, port: 80)
    private let six = SocketAddress(high: 0x2001_0DB8_0000_0001, low: 7, port: 80)

    private func player(_ address: SocketAddress) -> ShownPlayer {
        ShownPlayer(
            address: address,
            destination: self.six,
            clientKey: Array(0..<32),
            peer: 0
        )
    }

    private func service(_ isOn: Bool) -> Service {
        var service = Service(name: "s", transportProtocol: .udp, backends: [])
        service.usesPseudoIPv4 = isOn
        return service
    }

    @Test func onlyIPv6PlayersOfIPv4BackendsGetOne() {
        let player = self.player(self.six.with(port: 4000))
        let shown = player.shown(to: self.four, of: self.service(true), self.key)
        #expect(shown.address.isIPv4 && shown.address.ipv4 >> 28 == 15)
        #expect(shown.address.port == 4000 && shown.realAddress == player.address)
        #expect(shown.destination == nil)
        let others = [
            player.shown(to: self.six, of: self.service(true), self.key),
            player.shown(to: self.four, of: self.service(false), self.key),
        ]
        for other in others { #expect(other.address == player.address) }
        let plain = self.player(SocketAddress(ipv4: 0xC000_0201, port: 9))
        let same = plain.shown(to: self.four, of: self.service(true), self.key)
        #expect(same.address == plain.address && same.realAddress == nil)
    }
}
