import CPoison
import Erasure
import Primitives
import Testing

/// One flow through a lossy channel: encoder, decoder, and what both know for certain.
struct CodedFlow {
    let limit: Int
    let encoder: SlidingWindowEncoder
    let decoder: SlidingWindowDecoder
    var generator: SeededGenerator
    var sent: [UInt32: [UInt8]] = [:]
    var arrived: Set<UInt32> = []
    var recovered: Set<UInt32> = []
    var next: UInt32

    init(
        seed: UInt64,
        limit: Int = 120,
        from: UInt32 = 0,
        window: Int = 128,
        galois: Galois = .best
    ) {
        self.limit = limit
        self.encoder = SlidingWindowEncoder(maximumMessageByteCount: limit, galois: galois)
        self.decoder = SlidingWindowDecoder(
            from: from,
            window: window,
            maximumMessageByteCount: limit,
            galois: galois
        )
        self.generator = SeededGenerator(seed: seed)
        self.next = from
    }

    /// Makes and remembers the next message.
    mutating func send() -> UInt32 {
        let number = self.next
        let message = self.generator.message(number, upTo: self.limit)
        self.sent[number] = message
        message.withUnsafeBytes { self.encoder.sent(number, $0) }
        self.next &+= 1
        return number
    }

    mutating func deliver(_ number: UInt32) {
        self.arrived.insert(number)
        self.sent[number]?.withUnsafeBytes { self.decoder.received(number, $0) }
        self.drain()
    }

    func repair(window: Int) -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: self.limit + 16)
        let count = bytes.withUnsafeMutableBytes { self.encoder.repair(window: window, into: $0) }
        return Array(bytes[..<(count ?? 0)])
    }

    @discardableResult
    mutating func deliver(repair bytes: [UInt8]) -> SlidingWindowDecoder.Verdict {
        let verdict = bytes.withUnsafeBytes { self.decoder.received(repair: $0) }
        self.drain()
        return verdict
    }

    /// Every recovered message is right, was lost, and comes once.
    mutating func drain() {
        while let (number, message) = self.decoder.nextRecovered() {
            #expect(!self.arrived.contains(number))
            #expect(self.recovered.insert(number).inserted)
            #expect(Array(message) == self.sent[number])
        }
    }
}

@Suite struct SlidingWindowTests {
    /// As many repairs as losses bring everything back, whatever was lost (a random system of few
    /// equations over GF(256) is singular once in 255 times: then one more repair does).
    @Test(arguments: Galois.available)
    func everyPatternOfLossIsDecoded(galois: Galois) {
        for pattern in 0..<256 {
            var flow = CodedFlow(seed: UInt64(pattern), from: 0xFFFF_FFFA, galois: galois)
            let numbers = (0..<8).map { _ in flow.send() }
            for (index, number) in numbers.enumerated() where (pattern >> index) & 1 == 0 {
                flow.deliver(number)
            }
            var repairs = 0
            while flow.recovered.count < pattern.nonzeroBitCount {
                #expect(flow.deliver(repair: flow.repair(window: 8)) != .outdated)
                repairs += 1
                guard repairs < 16 else { break }
            }
            #expect(repairs <= pattern.nonzeroBitCount + 1)
            #expect(flow.deliver(repair: flow.repair(window: 8)) == .redundant)
            #expect(flow.decoder.unknownCount == 0)
        }
    }

    @Test func aRepairIsTheCombinationTheHeaderSays() {
        var flow = CodedFlow(seed: 3)
        for _ in 0..<5 { _ = flow.send() }
        let bytes = flow.repair(window: 3)
        #expect(Array(bytes[..<7]) == [4, 0, 0, 0, 3, 0, 0])
        var generator = SeededGenerator(seed: 4)
        let draw = generator.next()
        let factors = (0..<3).map { max(1, UInt8(truncatingIfNeeded: draw >> UInt64(8 * $0))) }
        let symbols = (2...4).map { number -> [UInt8] in
            let message = flow.sent[UInt32(number)] ?? []
            return [UInt8(message.count), 0] + message
        }
        let longest = symbols.map(\.count).max() ?? 0
        #expect(Array(bytes[7...]) == ReferenceField.combine(factors, symbols, count: longest))
    }

    /// Step by step, in any order of arrival, recovers what one big system would at the end.
    @Test(arguments: 0..<40 as Range<UInt64>)
    func agreesWithAReferenceThatSolvesEverythingAtOnce(seed: UInt64) {
        let limit = 24
        var flow = CodedFlow(seed: seed, limit: limit, from: UInt32.max - 20)
        var chance = SeededGenerator(seed: seed ^ 0x5EED)
        var repairs: [[UInt8]] = []
        var waiting: [UInt32] = []
        for _ in 0..<60 {
            waiting.append(flow.send())
            if chance.chance(1, in: 3) {
                repairs.append(flow.repair(window: 1 + Int(chance.below(20))))
                flow.deliver(repair: repairs[repairs.count - 1])
            }
            while waiting.count > Int(chance.below(6)) {
                let number = waiting.remove(at: Int(chance.below(UInt64(waiting.count))))
                let isLost = chance.chance(1, in: 4) || flow.recovered.contains(number)
                if !isLost { flow.deliver(number) }
            }
        }
        let lost = flow.sent.keys.filter { !flow.arrived.contains($0) }.sorted()
        let equations = repairs.map { self.equation($0, flow: flow, lost: lost) }
        let solved = ReferenceField.solve(equations)
        #expect(flow.recovered == Set(solved.keys.map { lost[$0] }))
        for (index, symbol) in solved {
            #expect(Array(symbol[2..<2 + Int(symbol[0])]) == flow.sent[lost[index]])
        }
    }

    /// A repair as the receiver sees it, by the documented layout alone.
    private func equation(
        _ repair: [UInt8],
        flow: CodedFlow,
        lost: [UInt32]
    ) -> ReferenceField.Equation {
        let last = repair[..<4].reversed().reduce(UInt32(0)) { $0 << 8 | UInt32($1) }
        let key = UInt64(repair[5]) | UInt64(repair[6]) << 8
        var generator = SeededGenerator(seed: key << 32 | UInt64(last))
        var factors = [UInt8](repeating: 0, count: lost.count)
        var sum = [UInt8](repeating: 0, count: flow.limit + 2)
        for (index, byte) in repair[7...].enumerated() { sum[index] = byte }
        var draw: UInt64 = 0
        for step in 0..<Int(repair[4]) {
            if step % 8 == 0 { draw = generator.next() }
            let factor = max(1, UInt8(truncatingIfNeeded: draw))
            draw >>= 8
            let number = last &- UInt32(repair[4]) &+ 1 &+ UInt32(step)
            if let index = lost.firstIndex(of: number) {
                factors[index] = factor
            } else if let message = flow.sent[number] {
                let symbol = [UInt8(message.count), 0] + message
                let known = ReferenceField.combine([factor], [symbol], count: sum.count)
                sum = zip(sum, known).map { $0 ^ $1 }
            }
        }
        return ReferenceField.Equation(factors: factors, sum: sum)
    }

    /// Loss, reordering, duplicates and late originals over a long run.
    @Test(arguments: 0..<12 as Range<UInt64>)
    func longRunsNeverErrAndLoseLittle(seed: UInt64) {
        var flow = CodedFlow(seed: seed, from: UInt32(truncatingIfNeeded: 0 &- seed * 100))
        var chance = SeededGenerator(seed: seed ^ 0xC0DE)
        var late: [UInt32] = []
        for round in 0..<600 {
            let number = flow.send()
            switch chance.below(100) {
            case 0..<6: break
            case 6..<10: late.append(number)
            case 10..<12:
                flow.deliver(number)
                flow.deliver(number)
            default: flow.deliver(number)
            }
            if round % 4 == 3, !chance.chance(6, in: 100) {
                flow.deliver(repair: flow.repair(window: 32))
            }
            if late.count > 2 {
                let number = late.removeFirst()
                if !flow.recovered.contains(number) { flow.deliver(number) }
            }
            #expect(flow.decoder.unknownCount <= 64)
        }
        let lost = flow.sent.keys.filter { !flow.arrived.contains($0) }
        #expect(lost.count > 20)
        #expect(flow.recovered.count * 100 >= lost.count * 90)
    }

    /// A window of 64 with a repair after every third message repairs bursts of up to eight.
    @Test(arguments: [(6, 4, 1), (30, 6, 1)] as [(UInt64, UInt64, UInt64)])
    func burstsShorterThanTheWindowComeBack(perMille: UInt64, length: UInt64, seed: UInt64) {
        var flow = CodedFlow(seed: seed, limit: 40)
        var chance = SeededGenerator(seed: seed)
        var lossesLeft: UInt64 = 0
        var lost = 0
        for round in 0..<4000 {
            let number = flow.send()
            if lossesLeft == 0, chance.chance(perMille, in: 1000) {
                lossesLeft = 1 + chance.below(2 * length - 1)
                if perMille == 30 { lossesLeft = 1 }
            }
            if lossesLeft > 0 { lost += 1 } else { flow.deliver(number) }
            if round % 3 == 2, lossesLeft == 0 {
                flow.deliver(repair: flow.repair(window: 64))
            }
            if lossesLeft > 0 { lossesLeft -= 1 }
        }
        #expect(lost > 50)
        #expect(lost - flow.recovered.count <= lost / 50)
    }

    @Test func aGapOrALargeMessageStartsTheWindowAnew() {
        let encoder = SlidingWindowEncoder(maximumMessageByteCount: 10)
        let small = [UInt8](repeating: 1, count: 10)
        let large = [UInt8](repeating: 1, count: 11)
        for number in 0..<5 as Range<UInt32> { small.withUnsafeBytes { encoder.sent(number, $0) } }
        #expect(encoder.count == 5)
        small.withUnsafeBytes { encoder.sent(6, $0) }
        #expect(encoder.count == 1)
        large.withUnsafeBytes { encoder.sent(7, $0) }
        #expect(encoder.count == 0 && encoder.repairByteCount(window: 5) == 0)
        var buffer = [UInt8](repeating: 0, count: 64)
        #expect(buffer.withUnsafeMutableBytes { encoder.repair(window: 5, into: $0) } == nil)
        small.withUnsafeBytes { encoder.sent(8, $0) }
        #expect(encoder.repairByteCount(window: 5) == 7 + 12)
        let tight = buffer.withUnsafeMutableBytes {
            encoder.repair(window: 5, into: UnsafeMutableRawBufferPointer(rebasing: $0[..<18]))
        }
        #expect(tight == nil)
    }

    @Test func whatCameBeforeTheDecoderIsNotRecovered() {
        var flow = CodedFlow(seed: 5)
        for _ in 0..<10 { _ = flow.send() }
        let decoder = SlidingWindowDecoder(from: 8, maximumMessageByteCount: 120)
        let outdated = flow.repair(window: 4).withUnsafeBytes { decoder.received(repair: $0) }
        #expect(outdated == .outdated)
        let useful = flow.repair(window: 2).withUnsafeBytes { decoder.received(repair: $0) }
        #expect(useful == .useful)
    }

    /// Losses leave the memory before they are repaired, over and over, and what is recovered in
    /// between is right all the same.
    @Test(arguments: [2, 4, 8, 40], 0..<8 as Range<UInt64>)
    func forgettingLossesDoesNotSpoilTheOthers(window: Int, seed: UInt64) {
        var flow = CodedFlow(seed: seed, limit: 20, window: window)
        var chance = SeededGenerator(seed: seed ^ 0xF06E)
        for _ in 0..<500 {
            let number = flow.send()
            if chance.chance(55, in: 100) { flow.deliver(number) }
            if chance.chance(1, in: 2) {
                flow.deliver(repair: flow.repair(window: 1 + Int(chance.below(UInt64(window)))))
            }
        }
        #expect(flow.recovered.count > 20)
    }

    /// A long silence must not leave the equations full of what nobody can repair any more.
    @Test func recoversAfterABlackout() {
        var flow = CodedFlow(seed: 6, limit: 30)
        for _ in 0..<70 { _ = flow.send() }
        for round in 0..<200 {
            let number = flow.send()
            if round % 10 != 5 { flow.deliver(number) }
            if round % 3 == 0 { flow.deliver(repair: flow.repair(window: 40)) }
        }
        let last = (70 + 60..<70 + 190).filter { ($0 - 70) % 10 == 5 }
        #expect(last.allSatisfy { flow.recovered.contains(UInt32($0)) })
    }

    /// Mutated, truncated and invented repairs: no trap, bounded state, nothing handed out twice.
    @Test(arguments: 0..<30 as Range<UInt64>)
    func hostileRepairsAreWeather(seed: UInt64) {
        var flow = CodedFlow(seed: seed, limit: 60)
        var chance = SeededGenerator(seed: seed ^ 0xBAD)
        var given: Set<UInt32> = []
        for _ in 0..<400 {
            let number = flow.send()
            if !chance.chance(1, in: 3), let message = flow.sent[number] {
                message.withUnsafeBytes { flow.decoder.received(number, $0) }
                given.insert(number)
            }
            var bytes = flow.repair(window: 1 + Int(chance.below(128)))
            switch chance.below(5) {
            case 0: bytes = chance.bytes(Int(chance.below(90)))
            case 1: bytes[Int(chance.below(UInt64(bytes.count)))] ^= UInt8(1 + chance.below(255))
            case 2: bytes.removeLast(Int(chance.below(UInt64(bytes.count))))
            case 3: bytes[4] = UInt8(truncatingIfNeeded: chance.next())
            default: bytes[1 - Int(chance.below(2))] ^= 3
            }
            _ = bytes.withUnsafeBytes { flow.decoder.received(repair: $0) }
            while let (number, message) = flow.decoder.nextRecovered() {
                #expect(!given.contains(number) && message.count <= 60)
                given.insert(number)
            }
            #expect(flow.decoder.unknownCount <= 64)
        }
    }

    /// What repairs give back is made of what the peer sent: the same bytes come out, whatever the
    /// memory of the decoder held before.
    @Test("gives nothing out that nobody sent", arguments: 0..<20 as Range<UInt64>)
    func whatMemoryHeldBeforeDoesNotMatter(seed: UInt64) {
        defer { CPoison_stop() }
        var given: [[UInt8]] = []
        for poison in [0x5A, 0xA7] as [Int32] {
            CPoison_fill(poison)
            var dice = SeededGenerator(seed: seed)
            let decoder = SlidingWindowDecoder(from: 0, maximumMessageByteCount: 60)
            var bytes: [UInt8] = []
            for number in 0..<600 as Range<UInt32> {
                if !dice.chance(1, in: 3) {
                    dice.bytes(Int(dice.below(61))).withUnsafeBytes { decoder.received(number, $0) }
                }
                // Often enough, the right shape around any combination.
                let last = number &- UInt32(dice.below(3))
                let window = UInt8(1 + dice.below(dice.chance(1, in: 9) ? 200 : 6))
                let head = (0..<4).map { UInt8(truncatingIfNeeded: last >> ($0 * 8)) }
                let length = [UInt8(dice.below(64)), 0]
                let repair = head + [window, 9, 0] + length + dice.bytes(Int(dice.below(61)))
                _ = repair.withUnsafeBytes { decoder.received(repair: $0) }
                while let (number, message) = decoder.nextRecovered() {
                    bytes.append(UInt8(truncatingIfNeeded: number))
                    bytes += message
                }
            }
            given.append(bytes)
        }
        #expect(given[0] == given[1])
        #expect(given[0].count > 200)
    }
}
