import Erasure
import Primitives
import Recovery
import Sealing

/// What became of a packet that a frame was in.
enum PacketFate {
    case acknowledged, lost
    /// Given up for lost and acknowledged after all.
    case late
    /// Somebody waits for what it carried, and it should have been acknowledged by now.
    case overdue
}

/// One network path of a session: its keys, packet numbers, loss and rate, packet size, address.
///
/// It knows nothing of streams and flows. What a packet carried comes back, frame by frame, from
/// ``nextFate(at:)``; what streams and flows may ask of the path is at the end of this file.
final class Leg {
    private unowned(unsafe) let board: Switchboard
    private let memory: MemoryCharge
    private let isClient: Bool
    var keys: Keyring
    private var numbers: PacketNumbers
    private var replay = ReplayWindow()
    private var recovery: LossRecovery
    private(set) var received = ReceivedPackets()
    let log = FrameLog()
    private(set) var path: Path
    private(set) var mtu: MTUSearch
    private(set) var liveness: Liveness
    /// The loss of the direction this end sends in.
    private(set) var watch = LossWatch()
    private(set) var traffic = LegTraffic()
    /// The highest packet number that authenticated, for roaming.
    private var highestReceived: UInt64 = 0
    /// Probe timeouts since anything was acknowledged.
    private var unansweredProbes = 0
    private var settling = Settling()
    /// What has been charged for the logs of what was sent.
    private var chargedLogByteCount = 0
    /// What this end asks for a sign of life, and echoes.
    var requests = PathRequests()

    init(
        _ established: EstablishedKeys,
        isClient: Bool,
        address: SocketAddress,
        packetSizeLimit: Int?,
        congestion: CongestionChoice,
        entropy: EntropySource,
        memory: MemoryCharge,
        board: Switchboard,
        at now: Instant
    ) {
        self.board = board
        self.memory = memory
        self.isClient = isClient
        self.keys = Keyring(established, isClient: isClient, charging: memory, at: now)
        self.numbers = PacketNumbers(entropy: entropy)
        self.path = Path(address: address)
        self.mtu = MTUSearch(
            limit: min(packetSizeLimit ?? .max, Int(established.peerHello.maximumPacketSize)),
            isFixed: packetSizeLimit != nil,
            isIPv4: address.isIPv4
        )
        self.liveness = Liveness(at: now)
        self.recovery = LossRecovery(
            congestion: congestion,
            maximumPacketSize: self.mtu.confirmed,
            at: now
        )
    }

    /// The number of the next packet.
    var nextNumber: UInt64 { self.numbers.next }

    /// The size of the next packets: small ones while even probes go unanswered, because the path
    /// may have become too small for the others.
    var packetSize: Int {
        self.unansweredProbes < 2 ? self.mtu.confirmed : min(self.mtu.confirmed, MTUSearch.base)
    }

    /// Whether the address may be sent a packet: one that has not answered yet gets little.
    var mayTransmit: Bool { self.path.allowance >= self.packetSize }

    // MARK: - Time

    private func circumstances(hasChannels: Bool) -> Liveness.Circumstances {
        Liveness.Circumstances(
            roundTrip: self.recovery.smoothedRTT,
            hasChannels: hasChannels,
            isClient: self.isClient
        )
    }

    /// When it next has to be woken, whether anything may be sent or not.
    func wakeDeadline(hasChannels: Bool) -> Instant {
        let circumstances = self.circumstances(hasChannels: hasChannels)
        let earliest = min(self.path.deadline, self.liveness.deadline(circumstances))
        return min(earliest, self.recovery.deadline)
    }

    /// When a larger packet is tried next.
    var searchDeadline: Instant { self.path.isValidated ? self.mtu.deadline : .never }

    /// Does what was due at `now`, a probe for a sign of life aside; true if fates may follow.
    func wake(at now: Instant) -> Bool {
        let isLossDue = self.recovery.deadline <= now
        if isLossDue {
            let before = self.recovery.probesDue
            self.recovery.wake(at: now)
            if self.recovery.probesDue > before { self.unansweredProbes += 1 }
        }
        return isLossDue
    }

    /// No echo came in time from the address that is tried.
    func giveUpMove(at now: Instant) {
        if self.path.deadline <= now { self.path.fallBack() }
    }

    /// Asks the peer for a sign of life if its silence has lasted for so long.
    func probeSilence(hasChannels: Bool, at now: Instant) {
        let circumstances = self.circumstances(hasChannels: hasChannels)
        if self.liveness.takeProbe(circumstances, at: now) { self.requests.isPingDue = true }
    }

    // MARK: - Receiving

    /// Whether a packet of that number has not come yet; call ``accept(_:)`` once it has.
    func isFresh(_ number: UInt64) -> Bool { self.replay.isFresh(number) }

    /// A packet of that number was authentic.
    func accept(_ number: UInt64) { self.replay.accept(number) }

    /// A packet was authentic, and within its peer's rate.
    func countReceived(_ byteCount: Int) {
        self.board.counters.packetsReceived &+= 1
        self.board.counters.wireBytesReceived &+= UInt64(byteCount)
        precondition(byteCount > 0)
        self.traffic.bytesReceived &+= UInt64(byteCount)
    }

    /// Server: the client's address may change under an authentic packet that is newer than all.
    ///
    /// `draw` makes tokens; the addresses that are to be told one come back with theirs.
    func follow(
        to source: SocketAddress,
        number: UInt64,
        byteCount: Int,
        drawing draw: @autoclosure () -> Path.Challenge,
        at now: Instant
    ) -> Path.Challenge? {
        self.path.arrived(byteCount, from: source)
        guard number >= self.highestReceived else { return nil }
        self.highestReceived = number
        guard source != self.path.address else { return nil }
        // It has shown before that it gets what is sent there.
        if source == self.path.proven {
            self.path.fallBack()
            return nil
        }
        return self.path.move(
            to: source,
            byteCount: byteCount,
            drawing: draw(),
            patience: max(.milliseconds(500), self.recovery.smoothedRTT * 6),
            at: now
        )
    }

    /// A token, to be echoed or echoed; the address that was left, if it settles a move.
    func receive(
        _ frame: PathFrame,
        from source: SocketAddress,
        at now: Instant
    ) -> SocketAddress? {
        switch frame.operation {
        case PathFrame.challenge:
            self.requests.challenged(frame.token)
            return nil
        case PathFrame.response:
            guard let previous = self.path.echoed(frame.token, from: source) else { return nil }
            self.moved(from: previous, at: now)
            return previous
        default:
            self.board.drop(.malformed)
            return nil
        }
    }

    private func moved(from previous: SocketAddress, at now: Instant) {
        guard !previous.isSameHost(as: self.path.address) else { return }
        self.recovery.pathChanged(at: now)
        self.mtu.pathChanged(at: now)
        self.recovery.maximumPacketSize = self.mtu.confirmed
    }

    /// The peer has answered a handshake that was sent to `address`, which proves it; the address
    /// that was left, if that is another.
    func follow(to address: SocketAddress, at now: Instant) -> SocketAddress? {
        let previous = self.path.proven
        guard previous != address else { return nil }
        self.path = Path(address: address)
        self.moved(from: previous, at: now)
        return previous
    }

    /// A packet of the peer's was taken: it lives.
    func heard(isTraffic: Bool, at now: Instant) {
        self.liveness.heard(isTraffic: isTraffic, at: now)
    }

    /// An ACK frame of the peer's.
    func receiveAck(_ body: UnsafeRawBufferPointer, at now: Instant) {
        if !self.recovery.receivedAck(body, at: now) { self.board.drop(.malformed) }
    }

    /// The peer acknowledges what it never received.
    var hasForgedAck: Bool { self.recovery.hasForgedAck }

    /// All frames of a packet have been taken and their consequences settled.
    ///
    /// - Parameter number: of the packet; `nil` if it has to come again, as another.
    func took(_ number: UInt64?, isAckEliciting: Bool, at now: Instant) {
        self.received.adapt(roundTrip: self.recovery.smoothedRTT, at: now)
        guard let number else { return }
        self.received.received(number, isAckEliciting: isAckEliciting, isUrgent: false, at: now)
    }

    // MARK: - The fate of packets

    /// What is being told of a packet whose fate is known.
    private struct Settling {
        var fate = PacketFate.acknowledged
        /// Its frames that have not been told of, in the log.
        var frames: Range<UInt64> = 0..<0
        var lostBefore: UInt64 = 0
    }

    /// The next frame of a packet whose fate is known; ``settled(at:)`` follows the last.
    func nextFate(at now: Instant) -> (fate: PacketFate, frame: FrameRecord)? {
        while true {
            while let place = self.settling.frames.popFirst() {
                guard place >= self.log.head else { continue }
                let frame = self.log[place]
                guard frame.kind == .mtuProbe else { return (self.settling.fate, frame) }
                self.settleProbe(frame, at: now)
            }
            guard let (fate, packet) = self.nextPacket(at: now) else { return nil }
            assert(packet.frameCount == 0 || packet.firstFrame < self.log.tail)
            self.settling.fate = fate
            let first = packet.firstFrame
            self.settling.frames = first..<first + UInt64(packet.frameCount)
        }
    }

    private func nextPacket(at now: Instant) -> (PacketFate, SentPacket)? {
        if let packet = self.recovery.nextAcknowledged() {
            self.mtu.packetArrived(size: Int(packet.byteCount))
            self.unansweredProbes = 0
            self.watch.arrived(packet)
            if packet.flags.contains(.ackCarrier) {
                self.received.ackWasAcknowledged(largest: packet.largestAcked)
            }
            return (.acknowledged, packet)
        }
        if let packet = self.recovery.nextLost() {
            if !packet.flags.contains(.isProbe) {
                self.watch.lost(packet, hasQueue: LossWatch.hasQueue(self.recovery))
                if self.mtu.packetLost(size: Int(packet.byteCount), at: now) {
                    self.recovery.maximumPacketSize = self.mtu.confirmed
                }
            }
            return (.lost, packet)
        }
        if let packet = self.recovery.nextLate() {
            self.watch.cameBack(packet)
            return (.late, packet)
        }
        return self.recovery.nextOverdue().map { (.overdue, $0) }
    }

    private func settleProbe(_ frame: FrameRecord, at now: Instant) {
        let size = Int(frame.value)
        switch self.settling.fate {
        case .acknowledged:
            guard self.mtu.probeArrived(size: size, at: now) else { return }
            self.recovery.maximumPacketSize = self.mtu.confirmed
        case .lost: self.mtu.probeLost(size: size, at: now)
        case .late, .overdue: return
        }
    }

    /// All fates there were have been taken.
    func settled(at now: Instant) {
        assert(self.settling.frames.isEmpty, "frames of a packet were not told of")
        self.watch.update(self.recovery, at: now)
        self.log.trim(below: self.recovery.leastUnacknowledged)
        self.settleLogs()
        let lost = self.recovery.totalLost
        self.board.counters.packetsLost &+= lost &- self.settling.lostBefore
        assert(lost >= self.settling.lostBefore, "less is lost than was")
        self.settling.lostBefore = lost
    }

    // MARK: - Memory

    /// Charges what the logs of what was sent have grown by, and says whether they may grow more.
    func settleLogs() {
        let now = self.recovery.memoryByteCount + self.log.memoryByteCount
        self.memory.settle(&self.chargedLogByteCount, to: now)
        self.recovery.mayHoldMore = self.memory.mayHold(self.recovery.memoryByteCount)
    }

    /// Whether the logs have room for another packet with data.
    ///
    /// Without, that waits for ACKs, as it does for the congestion window.
    var hasLogRoom: Bool {
        let most = self.packetSize / StreamFrame.byteCount
        return self.log.hasRoom(for: most) && self.recovery.hasLogRoom
            || self.memory.mayHold(self.recovery.memoryByteCount + self.log.memoryByteCount)
    }

    /// Bytes of memory, counted anew.
    var memoryByteCount: Int {
        self.recovery.memoryByteCount + self.log.memoryByteCount
            + (self.keys.ratchet?.memoryByteCount ?? 0)
    }

    /// The session is over, and with it what was charged for its logs.
    func releaseMemory() { self.memory.settle(&self.chargedLogByteCount, to: 0) }

    // MARK: - Sending

    /// What goes out beside data, whatever window and pacer say.
    var hasRequests: Bool { self.requests.isDue || self.keys.hasDueParts }

    func isAckDue(at now: Instant) -> Bool { self.received.isAckDue(at: now) }

    /// When an ACK is due.
    var ackDeadline: Instant { self.received.ackDeadline }

    /// A probe timeout wants a packet out now.
    var isProbeDue: Bool { self.recovery.probesDue > 0 }

    /// That packet is on its way.
    func probeSent() { self.recovery.probeSent() }

    /// Bytes that window and pacer allow now; none where the logs are full.
    func sendAllowance(at now: Instant) -> Int { self.recovery.sendAllowance(at: now) }

    /// Whether what somebody waits for may overdraw the pacer.
    func mayHurry(at now: Instant) -> Bool { self.recovery.interactiveAllowance(at: now) > 0 }

    /// When the pacer lets the next packet go.
    var pacingDeadline: Instant { self.recovery.pacingDeadline }

    /// The path could carry more than there is to send.
    func becameApplicationLimited(at now: Instant) {
        self.recovery.becameApplicationLimited(at: now)
    }

    /// There is more to send than the path may carry now.
    func wasHeldBack(at now: Instant) { self.recovery.wasHeldBack(at: now) }

    /// Starts a packet of at most `size` bytes at `base`.
    func begin(_ base: UnsafeMutableRawPointer, size: Int) -> PacketBuilder {
        PacketBuilder(base: base, size: size, number: self.numbers.next, log: self.log)
    }

    /// Writes an ACK if there is something to acknowledge, due or not.
    func writeAck(into packet: inout PacketBuilder, at now: Instant) {
        guard self.received.hasAnythingToAck || self.received.isAckDue(at: now) else { return }
        let room = packet.room - FrameHeader.byteCount
        guard room > 0 else { return }
        let largest = self.received.largest
        let length = self.received.writeAck(
            into: packet.writer.cursor + FrameHeader.byteCount,
            capacity: room,
            at: now
        )
        guard length > 0 else { return }
        packet.writer.writeFrameHeader(FrameType.ack, count: length)
        packet.writer.count += length
        packet.flags.insert(.ackCarrier)
        packet.largestAcked = largest
    }

    /// Writes what this end asks of the path and of its keys.
    func writeRequests(into packet: inout PacketBuilder) {
        self.requests.write(into: &packet)
        if self.keys.hasDueParts { self.keys.write(into: &packet) }
    }

    /// Encrypts the packet where it stands and notes it as sent to `address`; its length.
    func seal(_ packet: PacketBuilder, to address: SocketAddress, at now: Instant) -> Int {
        precondition(packet.number == self.numbers.next, "two packets under one number")
        let keypair = self.keys.current
        keypair.keys.seal(
            packet.base,
            plaintextByteCount: packet.writer.count,
            receiverIndex: keypair.remoteIndex,
            counter: packet.number
        )
        self.numbers.advance()
        let length = packet.sealedByteCount
        assert(self.log.tail >= packet.firstFrame, "frames that are noted nowhere")
        self.recovery.sent(
            number: packet.number,
            byteCount: length,
            firstFrame: packet.firstFrame,
            frameCount: Int(self.log.tail - packet.firstFrame),
            flags: packet.flags,
            largestAcked: packet.largestAcked,
            at: now
        )
        self.liveness.sent(
            asksForAnswer: packet.flags.contains(.ackEliciting),
            isTraffic: packet.isTraffic,
            at: now
        )
        self.path.spend(length, to: address)
        return length
    }

    /// Packets were handed to the driver for this leg's address.
    func countSent(packets: Int, bytes: Int) {
        precondition(packets > 0 && bytes > 0, "nothing was sent")
        self.settleLogs()
        self.board.countSent(packets: packets, bytes: bytes)
        self.traffic.bytesSent &+= UInt64(bytes)
    }

    /// The size of the packet that tries whether the path carries it, if one is due.
    func dueSearch(at now: Instant) -> Int? {
        self.path.isValidated ? self.mtu.dueProbe(at: now) : nil
    }

    /// Builds and seals that packet, which carries nothing else.
    func buildSearch(_ base: UnsafeMutableRawPointer, _ size: Int, at now: Instant) -> Int {
        var packet = self.begin(base, size: size)
        var filler = packet.frameBody
        filler.cursor.initializeMemory(as: UInt8.self, repeating: 0, count: filler.room)
        filler.count += filler.room
        packet.append(FrameType.mtuProbe, filler, flags: [.ackEliciting, .isProbe])
        packet.note(.mtuProbe, slot: 0, id: 0, value: UInt32(clamping: size))
        let length = self.seal(packet, to: self.path.address, at: now)
        self.mtu.probeSent(size)
        return length
    }
}

/// What streams, flows and roles may ask of the path that carries them.
extension Leg {
    /// The largest packet that is known to arrive.
    var largestPacket: Int { self.mtu.confirmed }

    /// What frames find in an otherwise empty packet.
    var packetRoom: Int { self.packetSize - RecordLayout.header - RecordLayout.tag }

    var roundTrip: Instant.Interval { self.recovery.smoothedRTT }

    /// How long the path takes to answer.
    var answerTime: AnswerTime {
        let roundTrip = self.recovery.smoothedRTT
        // The peer waits up to 5 ms with its acknowledgement.
        let spread = max(self.recovery.rttVariance * 2, .milliseconds(2)) + .milliseconds(6)
        return AnswerTime(roundTrip: roundTrip, latest: roundTrip + spread)
    }

    /// Bytes a second.
    var pacingRate: Double { self.recovery.pacingRate }

    /// The first answer has come, after so long.
    func seedRoundTrip(_ roundTrip: Instant.Interval, at now: Instant) {
        self.recovery.seedRoundTrip(roundTrip, at: now)
    }

    var lossRate: Double { self.recovery.lossRate }
    var congestionWindow: Int { self.recovery.congestionWindow }
}

/// UDP payload of a leg's packets, in bytes.
struct LegTraffic {
    var bytesSent: UInt64 = 0
    var bytesReceived: UInt64 = 0
}
