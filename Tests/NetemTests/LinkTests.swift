import Primitives
import Testing

@testable import Netem

/// Sends numbered packets at a fixed spacing and collects what arrives.
struct Rig {
    let link: Link
    var arrivals: [(serial: UInt32, at: UInt64)] = []

    init(_ impairment: Impairment, seed: UInt64 = 1, capacity: Int = 4_096) {
        self.link = Link(impairment: impairment, seed: seed, capacity: capacity)
    }

    mutating func send(_ serial: UInt32, byteCount: Int = 100, at now: Instant) {
        var bytes = [UInt8](repeating: 0x5A, count: max(4, byteCount))
        for index in 0..<4 { bytes[index] = UInt8(truncatingIfNeeded: serial >> (8 * index)) }
        bytes.withUnsafeBytes { self.link.send($0, tag: UInt64(serial), at: now) }
    }

    mutating func collect(until now: Instant = Instant(nanoseconds: .max - 1)) {
        while let delivery = self.link.nextDelivery(at: now) {
            self.arrivals.append((UInt32(delivery.tag), delivery.due.nanoseconds))
        }
    }

    /// One packet every `spacing`, collecting meanwhile.
    mutating func stream(count: UInt32, spacing: Instant.Interval, byteCount: Int = 100) {
        for serial in 0..<count {
            let now = Instant(nanoseconds: UInt64(serial) * spacing.nanoseconds)
            self.send(serial, byteCount: byteCount, at: now)
            self.collect(until: now)
        }
        self.collect()
    }
}

@Suite struct LinkTests {
    @Test func anUnimpairedLinkDeliversEverythingAtOnce() {
        var rig = Rig(Impairment())
        rig.stream(count: 1_000, spacing: .microseconds(10))
        #expect(rig.arrivals.map(\.serial) == Array(0..<1_000))
        #expect(rig.arrivals.allSatisfy { $0.at == UInt64($0.serial) * 10_000 })
    }

    @Test func delayIsExactAndHoldsUntilDue() {
        var impairment = Impairment()
        impairment.delay = .milliseconds(30)
        var rig = Rig(impairment)
        rig.send(0, at: Instant(nanoseconds: 5))
        #expect(rig.link.deadline == Instant(nanoseconds: 30_000_005))
        rig.collect(until: Instant(nanoseconds: 30_000_004))
        #expect(rig.arrivals.isEmpty)
        rig.collect(until: Instant(nanoseconds: 30_000_005))
        #expect(rig.arrivals.count == 1)
        #expect(rig.link.deadline == .never)
    }

    @Test(arguments: [false, true])
    func jitterKeepsOrderUnlessToldOtherwise(reorders: Bool) {
        var impairment = Impairment()
        impairment.delay = .milliseconds(20)
        impairment.jitter = .milliseconds(10)
        impairment.jitterReorders = reorders
        var rig = Rig(impairment)
        rig.stream(count: 2_000, spacing: .milliseconds(1))
        let serials = rig.arrivals.map(\.serial)
        #expect(serials.sorted() == Array(0..<2_000))
        #expect((serials == serials.sorted()) != reorders)
        for arrival in rig.arrivals {
            let transit = arrival.at - UInt64(arrival.serial) * 1_000_000
            #expect((20_000_000...30_000_000).contains(transit))
        }
        let isInTimeOrder = zip(rig.arrivals, rig.arrivals.dropFirst()).allSatisfy {
            $0.at <= $1.at
        }
        #expect(isInTimeOrder)
    }

    @Test func theBottleneckServesItsRateAndDropsTheTail() {
        var impairment = Impairment()
        impairment.bitsPerSecond = 8_000_000  // One byte a microsecond.
        impairment.queueByteCount = 10_240
        var rig = Rig(impairment)
        for serial in 0..<20 as Range<UInt32> {
            rig.send(serial, byteCount: 996, at: Instant(nanoseconds: 0))
        }
        rig.collect()
        // 1,024 bytes with headers each; ten fit the queue.
        #expect(rig.arrivals.map(\.serial) == Array(0..<10))
        #expect(rig.arrivals.map(\.at) == (1...10).map { $0 * 1_024_000 })
        #expect(rig.link.counters.droppedByQueue == 10)
        rig.send(99, byteCount: 996, at: Instant(nanoseconds: 20_000_000))
        rig.collect()
        #expect(rig.arrivals.last?.at == 21_024_000)
    }

    @Test func theQueueDrainsWhileOthersArrive() {
        var impairment = Impairment()
        impairment.bitsPerSecond = 80_000_000
        impairment.queueByteCount = 20_000
        var rig = Rig(impairment)
        // Twice the rate for a second: half must go, and the wire is never idle.
        rig.stream(count: 20_000, spacing: .microseconds(50), byteCount: 972)
        #expect((9_990...10_025).contains(rig.arrivals.count))
    }

    @Test func aBottleneckThatHasJustSlowedDownDoesNotOverflow() {
        var impairment = Impairment()
        impairment.bitsPerSecond = 1
        var rig = Rig(impairment)
        rig.send(0, byteCount: 65_535, at: Instant(nanoseconds: 0))
        rig.link.impairment.bitsPerSecond = .max
        rig.send(1, at: Instant(nanoseconds: 1))
        #expect(rig.link.counters.droppedByQueue == 1)
    }

    @Test func largePacketsVanish() {
        var impairment = Impairment()
        impairment.maximumPacketByteCount = 1_200
        var rig = Rig(impairment)
        rig.send(0, byteCount: 1_200, at: Instant(nanoseconds: 0))
        rig.send(1, byteCount: 1_201, at: Instant(nanoseconds: 0))
        rig.collect()
        #expect(rig.arrivals.map(\.serial) == [0])
        #expect(rig.link.counters.droppedTooLarge == 1)
    }

    @Test func outagesLoseWhatTheyCover() {
        var impairment = Impairment()
        let milliseconds = { (count: UInt64) in Instant(nanoseconds: count * 1_000_000) }
        impairment.outages = [
            milliseconds(10)..<milliseconds(20), milliseconds(50)..<milliseconds(51),
        ]
        var rig = Rig(impairment)
        rig.stream(count: 100, spacing: .milliseconds(1))
        let expected = (0..<100 as Range<UInt32>).filter { !(10..<20).contains($0) && $0 != 50 }
        #expect(rig.arrivals.map(\.serial) == expected)
        #expect(rig.link.counters.lostInOutages == 11)
    }

    @Test func storageIsBounded() {
        var impairment = Impairment()
        impairment.delay = .seconds(1)
        var rig = Rig(impairment, capacity: 16)
        for serial in 0..<20 as Range<UInt32> { rig.send(serial, at: Instant(nanoseconds: 0)) }
        rig.collect()
        #expect(rig.arrivals.map(\.serial) == Array(0..<16))
        #expect(rig.link.counters.droppedByStorage == 4)
    }

    @Test func bytesArriveAsSentIncludingNone() {
        let link = Link(seed: 1)
        for byteCount in [0, 1, 2_047, 2_048, 2_049, 65_507] {
            let bytes = (0..<byteCount).map { UInt8(truncatingIfNeeded: $0 &* 31) }
            bytes.withUnsafeBytes { link.send($0, tag: 7, at: Instant(nanoseconds: 0)) }
            let delivery = link.nextDelivery(at: Instant(nanoseconds: 0))
            #expect(delivery.map { Array($0.bytes) } == bytes)
            #expect(delivery?.tag == 7)
        }
    }
}
