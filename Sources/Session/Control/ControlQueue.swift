import Primitives

/// Words about streams and flows that need none to be said: ids that mean nothing here, and what
/// may be deflated.
///
/// They are said until they are acknowledged, and are all that is kept of what was turned down.
struct ControlQueue: ~Copyable {
    private struct Refusal: Equatable {
        let channel: ChannelID
        let reason: ResetReason
    }

    /// Refusals that may wait for a packet.
    static let refusalLimit = 256
    /// The same with those that were lost on their way, which nothing would ask for again.
    private static let repeatedLimit = 4096
    static let permissionLimit = 256

    private var refusals: [Refusal] = []
    /// How many refused requests the operator has heard of since when.
    private var reportedCount = 0
    private var reportedSince = Instant(nanoseconds: 0)
    /// Server: streams and flows whose client may deflate, and has not been told.
    private var permissions: [ChannelID] = []
    /// Client: services whose server inflates what comes.
    private var deflatable: Set<ServiceName> = []

    init() {}

    /// Whether anything waits to be said.
    var isDue: Bool { !self.refusals.isEmpty || !self.permissions.isEmpty }

    var refusalCount: Int { self.refusals.count }
    var permissionCount: Int { self.permissions.count }
    var deflatableCount: Int { self.deflatable.count }

    // MARK: - Refusals

    /// Tells the peer that an id means nothing here; false when too many wait to be told.
    mutating func refuse(_ channel: ChannelID, _ reason: ResetReason) -> Bool {
        guard self.refusals.count < Self.refusalLimit else { return false }
        // One word about an id is enough, and the first one says why.
        if self.refusals.contains(where: { $0.channel == channel }) { return true }
        self.refusals.append(Refusal(channel: channel, reason: reason))
        assert(self.refusals.count <= Self.refusalLimit)
        return true
    }

    /// Whether the operator hears of one more refused request: a hundred a second are enough to
    /// see what is going on.
    mutating func takeReport(at now: Instant) -> Bool {
        if now.since(self.reportedSince) >= .seconds(1) {
            self.reportedSince = now
            self.reportedCount = 0
        }
        self.reportedCount += 1
        return self.reportedCount <= 100
    }

    // MARK: - What may be deflated

    // The server says so, for each stream and flow that was opened for it. A client cannot know
    // what its server's configuration forbids. It stores until it is told, so that nothing arrives
    // deflated which must not be inflated, and no honest stream is reset for it. What it was told
    // of one stream or flow holds for the next ones of that service, from their first byte on,
    // until the server takes it back or resets one.

    /// Client: whether what is opened so may be deflated from its first byte on.
    func mayDeflate(_ request: OpenRequest) -> Bool {
        !self.deflatable.isEmpty && self.deflatable.contains(ServiceName(request))
    }

    /// Client: the server has said so of a stream or flow that was opened so.
    mutating func deflates(_ request: OpenRequest) { self.deflatable.insert(ServiceName(request)) }

    /// Client: it does not, or no longer.
    mutating func forgetDeflating(_ request: OpenRequest) {
        self.deflatable.remove(ServiceName(request))
    }

    /// Client: it does not for any service.
    mutating func forgetDeflating() { self.deflatable.removeAll() }

    /// Server: tells the client that this end inflates what comes for `channel`.
    ///
    /// What finds no room in the queue is not said: that stream or flow stays uncompressed.
    mutating func allowDeflating(_ channel: ChannelID) {
        guard self.permissions.count < Self.permissionLimit else { return }
        assert(channel.kind != MayDeflateFrame.withdrawal)
        self.permissions.append(channel)
        assert(self.permissions.count <= Self.permissionLimit)
    }

    /// Server: tells the client to forget what it remembers, because a service has changed.
    mutating func withdrawDeflating() {
        let isSaid = self.permissions.contains { $0.kind == MayDeflateFrame.withdrawal }
        guard !isSaid else { return }
        self.permissions.insert(ChannelID(MayDeflateFrame.withdrawal, 0), at: 0)
    }

    // MARK: - Packets

    /// Writes as much as there is room for.
    ///
    /// - Parameter isHere: whether a stream or flow has not ended since.
    mutating func write(into packet: inout PacketBuilder, isHere: (ChannelID) -> Bool) {
        self.writeRefusals(into: &packet)
        while let channel = self.permissions.first, packet.room >= MayDeflateFrame.byteCount {
            self.permissions.removeFirst()
            // What has ended since needs no permission.
            guard channel.kind == MayDeflateFrame.withdrawal || isHere(channel) else { continue }
            packet.append(MayDeflateFrame(channel: channel))
            let kind = UInt32(clamping: channel.kind)
            packet.note(.mayDeflate, slot: 0, id: channel.id, value: kind)
        }
    }

    private mutating func writeRefusals(into packet: inout PacketBuilder) {
        let count = min(self.refusals.count, packet.room / ResetFrame.byteCount)
        guard count > 0 else { return }
        for refusal in self.refusals[..<count] {
            packet.append(ResetFrame(channel: refusal.channel, reason: refusal.reason))
            packet.note(
                .refusal,
                slot: UInt32(clamping: refusal.channel.kind),
                id: refusal.channel.id,
                value: UInt32(clamping: refusal.reason.rawValue)
            )
        }
        self.refusals.removeFirst(count)
    }

    /// A packet with one of these words is lost: it is said again.
    mutating func lost(_ frame: FrameRecord) {
        guard frame.kind == .refusal else { return self.repeatPermission(frame) }
        guard self.refusals.count < Self.repeatedLimit,
            let reason = ResetReason(rawValue: UInt8(truncatingIfNeeded: frame.value))
        else { return }
        assert(frame.slot <= 255, "a refusal has no slot, but a kind")
        let channel = ChannelID(UInt8(truncatingIfNeeded: frame.slot), frame.id)
        self.refusals.append(Refusal(channel: channel, reason: reason))
    }

    private mutating func repeatPermission(_ frame: FrameRecord) {
        let kind = UInt8(truncatingIfNeeded: frame.value)
        if kind == MayDeflateFrame.withdrawal {
            self.withdrawDeflating()
        } else {
            self.allowDeflating(ChannelID(kind, frame.id))
        }
    }
}
