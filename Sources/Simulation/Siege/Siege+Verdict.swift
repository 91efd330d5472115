import Primitives
import Session

/// What an attacker cannot take from anybody.
extension Siege {
    /// Memory stays within what the limits promise.
    func takeCensus() {
        let snapshot = self.server.snapshot(at: self.now)
        let limits = Self.limits(self.plan)
        // What every stream and flow may have anyway, and the logs of a session.
        let least =
            snapshot.streams * 12_288 + snapshot.flows * 4_096
            + snapshot.heldByteCounts.count << 20
        let held = snapshot.heldByteCounts.reduce(0, +)
        self.statistics.mostHeldBytes = max(self.statistics.mostHeldBytes, UInt64(held))
        if let most = snapshot.heldByteCounts.max(), most > limits.smallHeldByteLimit + least {
            self.violate("a peer makes a session hold \(most) bytes")
        }
        let peers = self.honest.count + self.attackers.count
        let promised = peers * (limits.smallHeldByteLimit + 32 << 20)
        if held > promised { self.violate("\(held) bytes are held, \(promised) are promised") }
        self.compareHeap(held)
        for count in snapshot.unaccountedByteCounts where count != 0 {
            self.violate("a session was charged \(count) bytes too few")
        }
    }

    /// Both ends' own tables and queues, the links, and what honest peers hold.
    private static let unchargedLimit = 32 << 20

    /// What the process has allocated beyond what peers are charged for is bounded too.
    private func compareHeap(_ held: Int) {
        guard let heap = self.heap?() else { return }
        let start = self.heapAtStart ?? heap - held
        self.heapAtStart = start
        let uncharged = heap - start - held
        self.statistics.mostUnchargedBytes = max(
            self.statistics.mostUnchargedBytes,
            UInt64(max(0, uncharged))
        )
        if uncharged > Self.unchargedLimit {
            self.violate("\(uncharged) bytes of memory are charged to nobody")
        }
    }

    func conclude() {
        let snapshot = self.server.snapshot(at: self.now)
        self.statistics.sieges = 1
        for reason in DropReason.allCases where snapshot.counters.drops[reason] > 0 {
            self.statistics.drops[reason.label] = snapshot.counters.drops[reason]
        }
        for attacker in self.attackers {
            self.statistics.hostilePackets += attacker.counts.packets
            self.statistics.hostileSessions += attacker.counts.sessions
            self.statistics.expulsions += attacker.counts.expulsions
        }
        guard self.violations.isEmpty else { return }
        for peer in self.honest {
            peer.conclude(losesDatagrams: self.plan.isLossy, at: self.now)
            self.violations += peer.violations
            self.statistics.echoes += UInt64(peer.echoTimes.count)
            self.statistics.datagrams += UInt64(peer.datagramTimes.count)
        }
        self.demandCounters(snapshot.counters.drops)
    }

    /// What cannot have gone unnoticed has been counted.
    private func demandCounters(_ drops: DropCounters) {
        func deeds(_ move: Move) -> UInt64 {
            self.attackers.reduce(0) { $0 + $1.counts.moves[Int(move.rawValue)] }
        }
        if deeds(.noise) > 20 {
            let seen = drops[.malformed] + drops[.unknownSession] + drops[.unauthentic]
            if seen == 0 { self.violate("noise was not counted") }
        }
        if deeds(.replay) > 20, drops[.replayed] == 0 { self.violate("replays were not counted") }
    }

    /// How much slower echoes were than in `peace`, where that is too much.
    public func delays(against peace: Siege) -> [String] {
        zip(self.honest, peace.honest).flatMap { war, peace in
            [
                ("echoes", war.echoTimes, peace.echoTimes),
                ("datagrams", war.datagramTimes, peace.datagramTimes),
            ].compactMap { name, war, peace in
                let (slow, usual) = (Self.slowest(of: war), Self.slowest(of: peace))
                guard slow >= 3 * usual else { return nil }
                return "p99 of \(name) is \(slow) us, in peace \(usual) us"
            }
        }
    }

    /// The 99th percentile.
    private static func slowest(of times: [UInt64]) -> UInt64 {
        guard !times.isEmpty else { return 0 }
        return times.sorted()[(times.count - 1) * 99 / 100]
    }
}
