import Primitives
import Recovery
import Sealing

@testable import Session

/// Several clients at one server, in virtual time, over a wire of 5 ms each way.
final class Crowd {
    struct Member {
        let engine: Engine
        let address: SocketAddress
        var events: [EngineEvent] = []
        /// A process that was killed: it neither sends nor receives.
        var isDead = false
    }

    private let entropy = EntropySource.seeded(7)
    private let serverKey: SecretKey
    private let limits: EngineLimits
    private(set) var peers: [(key: SecretKey, peer: Peer)] = []
    let server: Engine
    var serverEvents: [EngineEvent] = []
    var members: [Member] = []
    var now = Instant(nanoseconds: 1_000_000_000)
    private let address = SocketAddress(ipv4: 0xC633_6401, port: 4600)
    private let delay = Instant.Interval.milliseconds(5)
    private let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 65_536, alignment: 64)
    private var inFlight: [(at: Instant, member: Int, toServer: Bool, bytes: [UInt8])] = []
    /// Says whether a packet arrives.
    var passes: (_ toServer: Bool) -> Bool = { _ in true }
    /// UDP payload that reached the server, and that the server sent, by member.
    var bytesUp: [Int: Int] = [:]
    var bytesDown: [Int: Int] = [:]

    private static let services: [PeerDirectory.Service] = [
        .init(name: "echo", serviceProtocol: .tcp, allowsCompression: true),
        .init(name: "voice", serviceProtocol: .udp, allowsCompression: true),
    ]

    init(quotas: [PeerQuota], limits: EngineLimits = EngineLimits()) {
        let entropy = self.entropy
        let serverKey = SecretKey(entropy: entropy)
        let peers = quotas.enumerated().map { index, quota in
            let key = SecretKey(entropy: entropy)
            return (
                key,
                Peer(name: "p\(index)", publicKey: key.publicKey, services: ["*"], quota: quota)
            )
        }
        self.serverKey = serverKey
        self.limits = limits
        self.peers = peers
        let directory = PeerDirectory(peers: peers.map(\.1), services: Self.services)
        self.server = Engine(
            server: ServerSettings(privateKey: serverKey, directory: directory),
            limits: limits,
            entropy: entropy,
            at: self.now
        )
    }

    deinit { self.buffer.deallocate() }

    /// A reload that changes one peer's quota.
    func change(_ peer: Int, _ change: (inout PeerQuota) -> Void) {
        change(&self.peers[peer].peer.quota)
        let directory = PeerDirectory(peers: self.peers.map(\.peer), services: Self.services)
        self.server.replace(directory: directory, at: self.now)
    }

    /// Starts a client process of a peer; returns its number.
    func join(_ peer: Int) -> Int {
        let number = self.members.count
        let engine = Engine(
            client: ClientSettings(
                servers: [self.address],
                serverPublicKey: self.serverKey.publicKey,
                privateKey: self.peers[peer].key
            ),
            limits: EngineLimits(),
            entropy: self.entropy,
            at: self.now
        )
        let address = SocketAddress(ipv4: 0xC000_0200 + UInt32(number), port: 5000)
        self.members.append(Member(engine: engine, address: address))
        return number
    }

    private func drain(_ engine: Engine, member: Int?) {
        while let transmit = engine.nextTransmit(into: self.buffer, at: self.now) {
            let target =
                member ?? self.members.firstIndex { $0.address == transmit.destination } ?? -1
            var start = 0
            while start < transmit.byteCount {
                let end = min(transmit.byteCount, start + transmit.segmentSize)
                if member == nil { self.bytesDown[target, default: 0] += end - start }
                if target >= 0, self.passes(member != nil) {
                    self.inFlight.append(
                        (
                            self.now + self.delay, target, member != nil,
                            [UInt8](self.buffer[start..<end])
                        )
                    )
                }
                start = end
            }
        }
        while engine.nextDatagram() != nil {}
        while let event = engine.nextEvent() {
            if let member {
                self.members[member].events.append(event)
            } else {
                self.serverEvents.append(event)
            }
        }
    }

    private func drainAll() {
        for index in self.members.indices where !self.members[index].isDead {
            self.drain(self.members[index].engine, member: index)
        }
        self.drain(self.server, member: nil)
    }

    private var nextTime: Instant {
        self.members.reduce(min(self.inFlight.first?.at ?? .never, self.server.deadline)) {
            $1.isDead ? $0 : min($0, $1.engine.deadline)
        }
    }

    /// Lets the world run for `interval`; `act` is called after every step.
    func run(_ interval: Instant.Interval, act: () -> Void = {}) {
        let end = self.now + interval
        while true {
            self.drainAll()
            act()
            self.drainAll()
            let next = self.nextTime
            guard next <= end else { break }
            self.now = max(self.now, next)
            while let first = self.inFlight.first, first.at <= self.now {
                self.inFlight.removeFirst()
                self.arrive(first.member, first.toServer, first.bytes)
            }
            self.server.wake(at: self.now)
            for member in self.members where !member.isDead { member.engine.wake(at: self.now) }
        }
        self.now = end
    }

    private func arrive(_ index: Int, _ toServer: Bool, _ bytes: [UInt8]) {
        var bytes = bytes
        let member = self.members[index]
        if toServer { self.bytesUp[index, default: 0] += bytes.count }
        bytes.withUnsafeMutableBytes { packet in
            if toServer {
                self.server.receive(packet, from: member.address, at: self.now)
            } else if !member.isDead {
                member.engine.receive(packet, from: self.address, at: self.now)
            }
        }
    }

    /// Seals one frame under the keys of a member's session and gives it to the server at once.
    func forge<Kind: Frame>(_ frame: Kind, from index: Int) {
        let member = self.members[index]
        guard let session = member.engine.sessions.compactMap({ $0 }).first,
            let base = self.buffer.baseAddress
        else { return }
        var packet = session.leg.begin(base, size: 1200)
        packet.append(frame)
        let length = session.seal(packet, to: session.leg.path.address, at: self.now)
        self.server.receive(
            UnsafeMutableRawBufferPointer(rebasing: self.buffer[..<length]),
            from: member.address,
            at: self.now
        )
    }

    // MARK: - What happened

    func resets(_ member: Int) -> [ResetReason] {
        self.members[member].events.compactMap {
            switch $0 {
            case .streamReset(_, let reason), .flowClosed(_, let reason): reason
            default: nil
            }
        }
    }

    func failures(_ member: Int) -> [ConnectFailure] {
        self.members[member].events.compactMap {
            if case .connectFailed(let failure, _) = $0 { failure } else { nil }
        }
    }

    func sessionEnds(_ member: Int) -> [ResetReason] {
        self.members[member].events.compactMap {
            if case .sessionDown(_, _, let reason) = $0 { reason } else { nil }
        }
    }

    func openStreams(_ member: Int, count: Int) -> [StreamHandle] {
        let request = OpenRequest(service: "echo", serviceProtocol: .tcp)
        return (0..<count).compactMap { _ in
            self.members[member].engine.openStream(request, at: self.now)
        }
    }

    /// Opens flows and says a word on each.
    func openFlows(_ member: Int, count: Int) -> [FlowHandle] {
        let request = OpenRequest(service: "voice", serviceProtocol: .udp)
        let flows = (0..<count).compactMap { _ in
            self.members[member].engine.openFlow(request, at: self.now)
        }
        self.speak(member, on: flows)
        return flows
    }

    func speak(_ member: Int, on flows: [FlowHandle], byteCount: Int = 40) {
        let bytes = [UInt8](repeating: 7, count: byteCount)
        for flow in flows {
            bytes.withUnsafeBytes {
                self.members[member].engine.send($0, on: flow, at: self.now)
            }
        }
    }
}
