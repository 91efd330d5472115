import Primitives
import Recovery

/// A path: a drop-tail bottleneck, then loss, then delay.
struct PathSettings {
    /// Bits a second from each instant (milliseconds) on.
    var rates: [(fromMilliseconds: UInt64, bitsPerSecond: UInt64)]
    var roundTripMicroseconds: UInt64
    /// Of the bottleneck's queue.
    var queueBytes: Int
    /// Independent loss in 1/1000, both ways.
    var lossPerMille: UInt64 = 0
    /// Mean length of black-outs that lose everything; 0 = independent losses.
    var burstMicroseconds: UInt64 = 0
    /// Each direction adds a uniform draw from 0...jitter to every packet, so packets overtake.
    var jitterMicroseconds: UInt64 = 0
    /// Every so often the receiver's process stalls for so long.
    var stallEveryMicroseconds: UInt64 = 0
    var stallMicroseconds: UInt64 = 0
    /// The stalls hold up the bottleneck itself: a receiver whose socket buffer is the queue.
    var stallsService = false
    /// The sender's timers fire late by a uniform draw up to this.
    var timerLatenessMicroseconds: UInt64 = 20

    static func steady(
        megabits: UInt64,
        roundTrip milliseconds: UInt64,
        queueMilliseconds: UInt64 = 100
    ) -> Self {
        Self(
            rates: [(0, megabits * 1_000_000)],
            roundTripMicroseconds: milliseconds * 1000,
            queueBytes: Int(megabits * queueMilliseconds * 125)
        )
    }

    func lossy(perMille: UInt64, burst: UInt64 = 0) -> Self {
        var copy = self
        copy.lossPerMille = perMille
        copy.burstMicroseconds = burst
        return copy
    }

    func jittery(microseconds: UInt64) -> Self {
        var copy = self
        copy.jitterMicroseconds = microseconds
        return copy
    }
}

/// A bulk transfer: one sender, one receiver.
final class BenchFlow {
    var sender: LossRecovery
    var receiver = ReceivedPackets()
    let startsAt: UInt64
    var nextNumber: UInt64
    var timerAt = UInt64.max
    var ackTimerAt = UInt64.max
    var deliveredPackets = 0
    /// Distinct payload bytes that arrived, since the measurement began.
    var measuredPackets = 0
    var spuriousBefore: UInt64 = 0
    var lostReported = 0
    var acknowledgedReported = 0
    var sentPackets = 0
    /// Stop sending after so many packets.
    var limit = Int.max

    init(_ choice: CongestionChoice, firstNumber: UInt64 = 0, startsAt: UInt64 = 0) {
        self.sender = LossRecovery(
            congestion: choice,
            maximumPacketSize: Bench.packetSize,
            at: Instant(nanoseconds: startsAt)
        )
        self.nextNumber = firstNumber
        self.startsAt = startsAt
    }
}

/// Virtual time, one bottleneck, some flows; the same seed gives the same run.
final class Bench {
    static let packetSize = 1400
    static let wireSize = 1428
    static let payloadSize = 1350

    private enum Kind: UInt8 { case sender, served, arrival, ack, ackTimer }

    private struct Event {
        var time: UInt64
        var order: UInt64
        var kind: Kind
        var flow: Int
        var value: UInt64
    }

    let path: PathSettings
    let flows: [BenchFlow]
    private(set) var now: UInt64 = 0
    private var random: SeededGenerator
    private var heap: [Event] = []
    private var order: UInt64 = 0
    private var queue: [(flow: Int, number: UInt64)] = []
    private var queueHead = 0
    private var isServing = false
    private var isBad = [true, true]
    private var weatherUntil: [UInt64] = [0, 0]
    private var bodies: [[UInt8]] = []
    private var freeBodies: [Int] = []
    private let scratch = UnsafeMutableRawPointer.allocate(byteCount: 1200, alignment: 8)
    private(set) var dropped = 0
    private(set) var queueDelaySum = 0.0
    private(set) var queueSamples = 0
    /// Packets the link could have carried since the measurement began.
    private(set) var measuredFrom: UInt64 = 0

    init(_ path: PathSettings, flows: [BenchFlow], seed: UInt64) {
        self.path = path
        self.flows = flows
        self.random = SeededGenerator(seed: seed)
        for (index, flow) in flows.enumerated() {
            self.push(flow.startsAt, .sender, index, 0)
            flow.timerAt = flow.startsAt
        }
    }

    deinit { self.scratch.deallocate() }

    private func rate(at time: UInt64) -> UInt64 {
        var rate = self.path.rates[0].bitsPerSecond
        for step in self.path.rates where step.fromMilliseconds * 1_000_000 <= time {
            rate = step.bitsPerSecond
        }
        return rate
    }

    /// Bits the link could have carried from the start of the measurement until now.
    var capacityBits: Double {
        var sum = 0.0
        for (index, step) in self.path.rates.enumerated() {
            let from = max(step.fromMilliseconds * 1_000_000, self.measuredFrom)
            let next =
                index + 1 < self.path.rates.count
                ? self.path.rates[index + 1].fromMilliseconds * 1_000_000 : UInt64.max
            let to = min(next, self.now)
            if to > from { sum += Double(to - from) * 1e-9 * Double(step.bitsPerSecond) }
        }
        return sum
    }

    /// Payload bits that arrived, as a share of what the link could carry, headers included.
    func share(of flow: Int) -> Double {
        let it = self.flows[flow]
        let spurious = Int(it.sender.totalSpuriouslyLost - it.spuriousBefore)
        let packets = max(0, it.measuredPackets - spurious)
        return Double(packets * Self.payloadSize * 8) / self.capacityBits
    }

    var meanQueueMilliseconds: Double {
        self.queueSamples == 0 ? 0 : self.queueDelaySum / Double(self.queueSamples)
    }

    /// Runs until `milliseconds` of virtual time.
    func run(untilMilliseconds milliseconds: UInt64) {
        let end = milliseconds * 1_000_000
        while let event = self.heap.first, event.time <= end {
            self.pop()
            self.now = event.time
            self.handle(event)
        }
        self.now = end
    }

    /// The application has data again.
    func resume(_ flow: Int) { self.transmit(flow) }

    func beginMeasurement() {
        self.measuredFrom = self.now
        self.queueDelaySum = 0
        self.queueSamples = 0
        self.dropped = 0
        for flow in self.flows {
            flow.measuredPackets = 0
            flow.spuriousBefore = flow.sender.totalSpuriouslyLost
        }
    }

    private func handle(_ event: Event) {
        let flow = self.flows[event.flow]
        switch event.kind {
        case .sender:
            guard flow.timerAt == event.time else { return }
            flow.timerAt = .max
            flow.sender.wake(at: Instant(nanoseconds: self.now))
            self.drain(flow)
            self.transmit(event.flow)
        case .served: self.serve()
        case .arrival: self.arrive(event.flow, event.value)
        case .ack:
            let slot = Int(event.value)
            let isValid = self.bodies[slot].withUnsafeBytes {
                flow.sender.receivedAck($0, at: Instant(nanoseconds: self.now))
            }
            precondition(isValid)
            self.freeBodies.append(slot)
            self.drain(flow)
            self.transmit(event.flow)
        case .ackTimer:
            guard flow.ackTimerAt == event.time else { return }
            flow.ackTimerAt = .max
            self.acknowledgeIfDue(event.flow)
        }
    }

    private func drain(_ flow: BenchFlow) {
        while flow.sender.nextAcknowledged() != nil { flow.acknowledgedReported += 1 }
        while flow.sender.nextLost() != nil { flow.lostReported += 1 }
    }

    private func transmit(_ index: Int) {
        let flow = self.flows[index]
        let time = Instant(nanoseconds: self.now)
        while flow.sender.probesDue > 0 {
            self.sendOne(index)
            flow.sender.probeSent()
        }
        var blocked = false
        while flow.sentPackets < flow.limit {
            var allowance = flow.sender.sendAllowance(at: time)
            if allowance == 0 {
                blocked = true
                break
            }
            while allowance >= Self.packetSize || allowance > 0 && flow.sentPackets == 0 {
                self.sendOne(index)
                allowance -= Self.packetSize
                if flow.sentPackets >= flow.limit { break }
            }
        }
        if blocked {
            flow.sender.wasHeldBack(at: time)
        } else {
            flow.sender.becameApplicationLimited(at: time)
        }
        var wake = flow.sender.deadline
        if blocked { wake = min(wake, flow.sender.pacingDeadline) }
        guard wake != .never else {
            flow.timerAt = .max
            return
        }
        var at = max(wake.nanoseconds, self.now + 1)
        if self.path.timerLatenessMicroseconds > 0 {
            at += self.random.below(self.path.timerLatenessMicroseconds * 1000)
        }
        flow.timerAt = at
        self.push(at, .sender, index, 0)
    }

    private func sendOne(_ index: Int) {
        let flow = self.flows[index]
        flow.sender.sent(
            number: flow.nextNumber,
            byteCount: Self.packetSize,
            firstFrame: flow.nextNumber,
            frameCount: 1,
            flags: .data,
            at: Instant(nanoseconds: self.now)
        )
        let backlog = (self.queue.count - self.queueHead) * Self.wireSize
        self.queueDelaySum += Double(backlog * 8) / Double(self.rate(at: self.now)) * 1000
        self.queueSamples += 1
        if backlog + Self.wireSize <= self.path.queueBytes {
            self.queue.append((index, flow.nextNumber))
            if !self.isServing { self.startService() }
        } else {
            self.dropped += 1
        }
        flow.nextNumber += 1
        flow.sentPackets += 1
    }

    private func startService() {
        self.isServing = true
        let time = UInt64(Self.wireSize) * 8_000_000_000 / self.rate(at: self.now)
        let start = self.path.stallsService ? self.stalled(self.now) : self.now
        self.push(start + time, .served, 0, 0)
    }

    private func serve() {
        let (index, number) = self.queue[self.queueHead]
        self.queueHead += 1
        if self.queueHead > 4096 {
            self.queue.removeFirst(self.queueHead)
            self.queueHead = 0
        }
        if self.queueHead < self.queue.count { self.startService() } else { self.isServing = false }
        if !self.isLost(0) {
            let arrival = self.now + self.delay()
            let handled = self.path.stallsService ? arrival : self.stalled(arrival)
            self.push(handled, .arrival, index, number)
        }
    }

    /// One way, jitter included.
    private func delay() -> UInt64 {
        let jitter = self.path.jitterMicroseconds
        return (self.path.roundTripMicroseconds / 2) * 1000
            + (jitter > 0 ? self.random.below(jitter * 1000) : 0)
    }

    private func stalled(_ time: UInt64) -> UInt64 {
        guard self.path.stallEveryMicroseconds > 0 else { return time }
        let period = self.path.stallEveryMicroseconds * 1000
        let phase = time % period
        let stall = self.path.stallMicroseconds * 1000
        return phase < stall ? time - phase + stall : time
    }

    /// Independent losses, or black-outs of the wanted mean length and share.
    private func isLost(_ direction: Int) -> Bool {
        guard self.path.lossPerMille > 0 else { return false }
        guard self.path.burstMicroseconds > 0 else {
            return self.random.chance(self.path.lossPerMille, in: 1000)
        }
        while self.now >= self.weatherUntil[direction] {
            self.isBad[direction].toggle()
            let bad = self.path.burstMicroseconds * 1000
            let loss = self.path.lossPerMille
            let mean = self.isBad[direction] ? bad : bad * (1000 - loss) / loss
            self.weatherUntil[direction] += 1 + self.random.below(2 * mean)
        }
        return self.isBad[direction]
    }

    private func arrive(_ index: Int, _ number: UInt64) {
        let flow = self.flows[index]
        flow.deliveredPackets += 1
        flow.measuredPackets += 1
        flow.receiver.adapt(
            roundTrip: flow.sender.smoothedRTT,
            at: Instant(nanoseconds: self.now)
        )
        flow.receiver.received(
            number,
            isAckEliciting: true,
            isUrgent: false,
            at: Instant(nanoseconds: self.now)
        )
        self.acknowledgeIfDue(index)
    }

    private func acknowledgeIfDue(_ index: Int) {
        let flow = self.flows[index]
        let time = Instant(nanoseconds: self.now)
        if flow.receiver.isAckDue(at: time) {
            let length = flow.receiver.writeAck(into: self.scratch, capacity: 1200, at: time)
            if !self.isLost(1) {
                let body = Array(UnsafeRawBufferPointer(start: self.scratch, count: length))
                let slot: Int
                if let free = self.freeBodies.popLast() {
                    slot = free
                    self.bodies[slot] = body
                } else {
                    slot = self.bodies.count
                    self.bodies.append(body)
                }
                self.push(self.now + self.delay(), .ack, index, UInt64(slot))
            }
        }
        let deadline = flow.receiver.ackDeadline
        if deadline != .never, deadline.nanoseconds != flow.ackTimerAt {
            flow.ackTimerAt = max(deadline.nanoseconds, self.now)
            self.push(flow.ackTimerAt, .ackTimer, index, 0)
        }
    }

    // MARK: The event heap

    private func push(_ time: UInt64, _ kind: Kind, _ flow: Int, _ value: UInt64) {
        let event = Event(time: time, order: self.order, kind: kind, flow: flow, value: value)
        self.order += 1
        self.heap.append(event)
        var child = self.heap.count - 1
        while child > 0 {
            let parent = (child - 1) / 2
            guard Self.precedes(event, self.heap[parent]) else { break }
            self.heap[child] = self.heap[parent]
            child = parent
        }
        self.heap[child] = event
    }

    private func pop() {
        let last = self.heap.removeLast()
        guard !self.heap.isEmpty else { return }
        var parent = 0
        while true {
            var child = 2 * parent + 1
            guard child < self.heap.count else { break }
            if child + 1 < self.heap.count, Self.precedes(self.heap[child + 1], self.heap[child]) {
                child += 1
            }
            guard Self.precedes(self.heap[child], last) else { break }
            self.heap[parent] = self.heap[child]
            parent = child
        }
        self.heap[parent] = last
    }

    private static func precedes(_ a: Event, _ b: Event) -> Bool {
        a.time < b.time || a.time == b.time && a.order < b.order
    }
}
