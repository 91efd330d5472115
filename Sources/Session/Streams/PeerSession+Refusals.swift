import Primitives

/// Words about ids that have no stream or flow here: said until they are acknowledged, and all that
/// is kept of what was turned down.
extension PeerSession {
    struct Refusal {
        let kind: UInt8
        let id: UInt32
        let reason: ResetReason
    }

    /// Refusals that may wait for a packet.
    static let refusalLimit = 256
    /// The same with those that were lost on their way, which nothing would ask for again.
    private static let repeatedLimit = 4096

    /// Tells the peer that an id means nothing here; false when too many wait to be told.
    func refuse(_ kind: UInt8, _ id: UInt32, _ reason: ResetReason) -> Bool {
        guard self.refusals.count < Self.refusalLimit else { return false }
        // One word about an id is enough, and the first one says why.
        if self.refusals.contains(where: { $0.kind == kind && $0.id == id }) { return true }
        self.refusals.append(Refusal(kind: kind, id: id, reason: reason))
        return true
    }

    /// Puts as many as there is room for into a packet.
    func writeRefusals(to packet: inout PacketBuilder) {
        let count = min(self.refusals.count, packet.room / ResetFrame.byteCount)
        guard count > 0 else { return }
        for refusal in self.refusals[..<count] {
            let channel = ChannelID(refusal.kind, refusal.id)
            packet.append(ResetFrame(channel: channel, reason: refusal.reason))
            packet.note(
                .refusal,
                slot: UInt32(clamping: refusal.kind),
                id: refusal.id,
                value: UInt32(clamping: refusal.reason.rawValue)
            )
        }
        self.refusals.removeFirst(count)
    }

    /// Says a refusal again whose packet was lost.
    func repeatRefusal(_ frame: FrameRecord) {
        guard self.refusals.count < Self.repeatedLimit,
            let reason = ResetReason(rawValue: UInt8(truncatingIfNeeded: frame.value))
        else { return }
        let kind = UInt8(truncatingIfNeeded: frame.slot)
        self.refusals.append(Refusal(kind: kind, id: frame.id, reason: reason))
    }

    /// Whether the operator hears of one more refused request: a hundred a second are enough to
    /// see what is going on.
    func mayReportRefusal(at now: Instant) -> Bool {
        if now.since(self.reportedSince) >= .seconds(1) {
            self.reportedSince = now
            self.reportedCount = 0
        }
        self.reportedCount += 1
        return self.reportedCount <= 100
    }
}
