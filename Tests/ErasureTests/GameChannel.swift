import Erasure
import Foundation
import Primitives

/// Loses packets at random, or all of them while it is bad, and is bad in bursts of random length.
struct GameChannel {
    private var generator: SeededGenerator
    private let lossShare: Double
    private let burst: Double
    private var isBad = false
    private var changesAt = 0.0

    /// `burst` in milliseconds; 0: every packet on its own.
    init(lossShare: Double, burst: Double, seed: UInt64) {
        self.generator = SeededGenerator(seed: seed)
        self.lossShare = lossShare
        self.burst = burst
    }

    private mutating func uniform() -> Double {
        (Double(self.generator.next() >> 11) + 0.5) / 9_007_199_254_740_992
    }

    mutating func passes(at now: Instant) -> Bool {
        guard self.burst > 0 else { return self.uniform() >= self.lossShare }
        let time = Double(now.nanoseconds) / 1e6
        while self.changesAt <= time {
            self.isBad.toggle()
            let good = self.burst * (1 - self.lossShare) / self.lossShare
            self.changesAt += -log(self.uniform()) * (self.isBad ? self.burst : good)
        }
        return !self.isBad
    }
}

/// 60 messages a second of 100 bytes, their copies, and what comes of them.
struct CopiedFlow {
    var residual = 0.0
    /// Milliseconds that 99 and 99.9 of 100 messages were late at most; infinite if lost.
    var late99 = 0.0
    var late999 = 0.0
    /// Wire bytes of all packets by those of the messages alone.
    var expansion = 0.0
    var duplicates = 0

    static let gap = Instant.Interval(nanoseconds: 16_666_667)

    init(plan: CopyPlan?, channel: GameChannel, messages: Int) {
        var channel = channel
        let schedule = CopySchedule()
        schedule.follow(plan)
        var filter = DuplicateFilter()
        var latenesses = [Double](repeating: .infinity, count: messages)
        var sentAt: [Instant] = []
        var wireBytes = 0
        var now = Instant(nanoseconds: 0)
        let body = [UInt8](repeating: 7, count: 100)
        func arrived(_ number: UInt32, _ duplicates: inout Int) {
            guard filter.admit(number) else {
                duplicates += 1
                return
            }
            latenesses[Int(number)] = Double(now.since(sentAt[Int(number)]).microseconds) / 1000
        }
        for number in 0..<UInt32(messages) {
            let next = Instant(nanoseconds: UInt64(number) * Self.gap.nanoseconds)
            while schedule.deadline < next {
                now = schedule.deadline
                while var batch = schedule.nextBatch(at: now, room: 1200) {
                    wireBytes += 64 + batch.byteCount
                    guard channel.passes(at: now) else { continue }
                    while let (number, _) = batch.popFirst() { arrived(number, &self.duplicates) }
                }
            }
            now = next
            sentAt.append(now)
            // Copies that may ride leave with this message.
            var riders: [UInt32] = []
            if var batch = schedule.nextBatch(at: now, room: 1200) {
                wireBytes += 7 + batch.byteCount
                while let (number, _) = batch.popFirst() { riders.append(number) }
            }
            body.withUnsafeBytes { schedule.sent(number, $0, at: now) }
            wireBytes += 64 + body.count
            guard channel.passes(at: now) else { continue }
            for number in riders { arrived(number, &self.duplicates) }
            arrived(number, &self.duplicates)
        }
        let settled = latenesses.dropLast(10).sorted()
        self.residual = Double(settled.count { $0.isInfinite }) / Double(settled.count)
        self.late99 = settled[settled.count * 99 / 100]
        self.late999 = settled[settled.count * 999 / 1000]
        self.expansion = Double(wireBytes) / Double(messages * (64 + body.count))
    }
}
