import Erasure
import Primitives

/// How long the path takes to answer.
struct AnswerTime {
    var roundTrip: Instant.Interval
    /// Within which the acknowledgement of a message has come, unless something was lost.
    var latest: Instant.Interval
}

/// The redundancy of one UDP flow in the direction this end sends.
///
/// Made when the path has lost something and the flow may be protected, so that a flow on a clean
/// path costs nothing.
final class FlowProtection {
    /// What redundancy may add to one flow, in bits per second.
    static let budget: UInt64 = 500_000
    private static let interval = Instant.Interval.milliseconds(100)
    private static let lastChance = Instant.Interval.milliseconds(140)

    private var controller: RedundancyController
    private var budget: ByteBudget
    private var checkedAt = Instant(nanoseconds: 0)
    private var copies: CopySchedule?
    private var encoder: SlidingWindowEncoder?
    private var repairs = RepairSchedule()
    private let messageLimit: Int

    /// Bytes of memory for copies, and for both copies and repairs.
    private static let copiesByteCount = 16_384
    static let mostByteCount = copiesByteCount + 256 * 1024

    /// Bytes of memory held, nearly.
    var memoryByteCount: Int {
        (self.copies == nil ? 0 : Self.copiesByteCount) + (self.encoder?.memoryByteCount ?? 0)
    }

    /// - Parameter messageLimit: the largest message that, with a repair's header, fits a packet.
    init(_ request: OpenRequest, messageLimit: Int, at now: Instant) {
        let kind: RedundancyClass =
            switch request.trafficClass {
            case .bulk: .bulk
            case .realtime: .realtime
            case .auto, .interactive: .interactive
            }
        let budget = request.trafficClass == .realtime ? Self.budget * 8 : Self.budget
        precondition(messageLimit > 0, "no packet has room for a repair")
        self.messageLimit = messageLimit
        self.budget = ByteBudget(bitsPerSecond: budget, at: now)
        self.controller = RedundancyController(
            kind: kind,
            level: request.redundancy,
            budget: budget,
            hasRetransmission: request.delivery != .datagram,
            maximumAge: request.delivery == .deadline ? request.maximumAge : nil
        )
    }

    /// When a copy or repair is due.
    func deadline(at now: Instant) -> Instant {
        if self.repairs.isDue(at: now) { return now }
        return min(self.copies?.deadline ?? .never, self.repairs.deadline)
    }

    /// From when on a copy may ride along in a packet that leaves anyway.
    var earliest: Instant { self.copies?.earliest ?? .never }

    /// A datagram has arrived: it needs no more copies.
    func acknowledged(_ number: UInt32) { self.copies?.acknowledged(number) }

    /// A datagram went out.
    ///
    /// With `mayGrow` false it makes no use of what it would need memory for.
    func sent(
        _ number: UInt32,
        _ message: UnsafeRawBufferPointer,
        traffic: FlowTraffic,
        report: LossReport,
        answer: AnswerTime,
        mayGrow: Bool,
        at now: Instant
    ) {
        if now.since(self.checkedAt) >= Self.interval {
            self.checkedAt = now
            let roundTrip = answer.roundTrip
            let isNew = self.controller.update(
                report,
                traffic: traffic,
                roundTrip: roundTrip,
                at: now
            )
            if isNew || self.copies?.plan != nil {
                self.follow(self.controller.plan, answer, mayGrow: mayGrow)
            }
        }
        self.copies?.sent(number, message, at: now)
        guard let encoder = self.encoder, self.repairs.plan != nil else { return }
        encoder.sent(number, message)
        self.repairs.sent(at: now)
    }

    private func follow(_ plan: RedundancyPlan, _ answer: AnswerTime, mayGrow: Bool) {
        self.repairs.plan = nil
        switch plan {
        case .off:
            self.copies?.follow(nil)
        case .copies(var plan):
            // One more for what ought to have been acknowledged by then: it nearly always was.
            if self.controller.level != .low {
                // Behind long silences, as late as it is of any use.
                plan.add(at: max(answer.latest, plan.copies > 2 ? Self.lastChance : .zero))
            }
            guard mayGrow || self.copies != nil else { return }
            let copies = self.copies ?? CopySchedule()
            copies.follow(plan)
            self.copies = copies
        case .repairs(let plan):
            self.copies?.follow(nil)
            guard mayGrow || self.encoder != nil else { return }
            self.repairs.plan = plan
            guard self.encoder == nil else { return }
            self.encoder = SlidingWindowEncoder(maximumMessageByteCount: self.messageLimit)
        }
    }

    /// The copies that may leave now, as far as there is room in the packet and the budget.
    func nextCopies(room: Int, at now: Instant) -> CopyBatch? {
        guard let batch = self.copies?.nextBatch(at: now, room: room),
            self.budget.take(batch.byteCount, at: now)
        else { return nil }
        return batch
    }

    /// Writes the repair that is due, if there is room for it in the packet and the budget.
    func writeRepair(flow: UInt32, to packet: inout PacketBuilder, at now: Instant) {
        guard self.repairs.isDue(at: now), let plan = self.repairs.plan,
            let encoder = self.encoder
        else { return }
        assert(plan.window > 0 && plan.interval > 0)
        self.repairs.repaired()
        let count = encoder.repairByteCount(window: plan.window)
        var body = packet.frameBody
        guard count > 0, body.room >= count + RepairFrame.fieldByteCount,
            self.budget.take(count, at: now)
        else { return }
        RepairFrame(flow: flow).encode(to: &body)
        let target = UnsafeMutableRawBufferPointer(start: body.cursor, count: count)
        guard let written = encoder.repair(window: plan.window, into: target) else { return }
        assert(written <= count, "a repair beyond its room")
        body.count += written
        packet.append(FrameType.repair, body)
    }
}
