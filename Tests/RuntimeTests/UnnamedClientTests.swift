import Configuration
import LinuxIO
import Origin
import Primitives
import Sealing
import Session
import Testing

@testable import Runtime

/// A client that the server sees at an address which nobody may claim is named to no backend.
@Suite struct UnnamedClientTests {
    private let headers = OriginHeaders(entropy: .seeded(1))
    private let far = SocketAddress(ipv4: 0x0A00_0005, port: 80)
    private let near = SocketAddress(ipv4: 0x7F00_0001, port: 80)
    private static let own = SocketAddress(ipv4: 0xC633_6409, port: 0)

    private func service(_ origin: Service.Origin) -> Service {
        var service = Service(name: "s", transportProtocol: .udp, backends: [])
        service.origin = origin
        return service
    }

    /// What the gate makes of a client without `origins`.
    private func player(_ client: SocketAddress) throws -> ShownPlayer {
        let gate = OriginGate()
        let key = SecretKey(entropy: .seeded(1)).publicKey
        let entry = PeerEntry(name: "edge", publicKey: key, services: ["*"])
        _ = gate.adopt([entry], reserved: [Self.own])
        let session = SessionHandle(slot: 1, generation: 1)
        let info = SessionInfo(
            peerName: "edge",
            address: client,
            cipher: .chacha20Poly1305,
            peerIndex: 0
        )
        gate.sessionChanged(session, info)
        let request = OpenRequest(service: "s", serviceProtocol: .udp)
        guard case .admitted(let player) = gate.judge(request, from: session, isShown: true) else {
            throw DialFailure(IOError.noAddress)
        }
        return player
    }

    private func text(_ player: ShownPlayer, _ backend: SocketAddress) -> String {
        let bytes = self.headers.stream(self.service(.proxyV1), player, backend: backend)
        return String(decoding: bytes, as: UTF8.self)
    }

    private static let hidden = [
        SocketAddress(ipv4: 0x7F00_0001, port: 9), SocketAddress(ipv4: 0xA9FE_0001, port: 9),
        SocketAddress(ipv4: 0xC633_6409, port: 9), SocketAddress(high: 0, low: 1, port: 9),
        SocketAddress(high: 0xFE80_0000_0000_0000, low: 1, port: 9),
    ]

    @Test(arguments: Self.hidden)
    func headersSayThatThereIsNoPlayer(client: SocketAddress) throws {
        let player = try self.player(client)
        #expect(self.text(player, self.far) == "PROXY UNKNOWN\r\n")
        let stream = self.headers.stream(self.service(.proxyV2), player, backend: self.far)
        // Version 2, command LOCAL, no family, nothing behind.
        #expect(Array(stream.dropFirst(12)) == [0x20, 0, 0, 0])
        let flow = self.headers.flow(self.service(.proxyV2), player, backend: self.far)
        #expect(flow.map { Array($0.bytes.dropFirst(12)) } == [0x20, 0, 0, 0])
        #expect(self.headers.flow(self.service(.simpleProxy), player, backend: self.far) == nil)
    }

    /// There the server's own connection says the same.
    @Test func oneMachineIsShownItself() throws {
        let player = try self.player(Self.hidden[0])
        #expect(self.text(player, self.near).hasPrefix("PROXY TCP4 127.0.0.1 127.0.0.1 "))
        let own = try self.player(Self.hidden[2])
        let text = self.text(own, Self.own.with(port: 80))
        #expect(text.hasPrefix("PROXY TCP4 198.51.100.9 198.51.100.9 "))
        #expect(self.headers.flow(self.service(.simpleProxy), player, backend: self.near) != nil)
    }

    @Test func othersAreNamed() throws {
        let player = try self.player(SocketAddress(ipv4: 0xCB00_7101, port: 9))
        #expect(self.text(player, self.far).hasPrefix("PROXY TCP4 203.0.113.1 10.0.0.5 "))
    }

    /// A port of the server's choice never makes the client the backend.
    @Test func noChosenPortIsTheBackends() throws {
        let backend = SocketAddress(ipv4: 0x0A00_0005, port: 49_153)
        let player = try self.player(backend.with(port: 9))
        for _ in 0...0x4000 {
            #expect(!self.text(player, backend).contains(" 49153 49153"))
        }
    }

    /// Nothing is bound, with or without the right to bind it.
    @Test func transparentRefusesThem() throws {
        let dialling = Dialling(dialer: nil)
        for client in [Self.hidden[0], Self.hidden[1]] {
            let player = try self.player(client)
            let stream = #expect(throws: DialFailure.self) {
                _ = try dialling.stream(self.service(.transparent), player, to: self.far)
            }
            #expect(stream?.reason == .originForbidden)
            let flow = #expect(throws: DialFailure.self) {
                _ = try dialling.flow(self.service(.transparent), player, to: self.far)
            }
            #expect(flow?.reason == .originForbidden && flow?.isBackends == false)
        }
    }
}
