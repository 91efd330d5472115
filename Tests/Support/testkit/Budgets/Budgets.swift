import ArgumentParser
import CMallocCount
import Glibc
import Session

/// Counts how often the engine's steady state asks for memory; the budget is never.
struct Budgets: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "budgets",
        abstract: "How often the engine's steady state asks for memory; the budget is never.",
        discussion: "Ends with `budgets: P passed, F failed, S skipped`."
    )

    /// Allocations that may happen per thousand packets.
    private static let budget: UInt64 = 0

    func run() throws {
        // The gate has to be able to close: an array that grows is seen.
        var failed = Self.countsAnything ? 0 : 1
        var passed = 1 - failed
        if failed > 0 { print("the counter counts nothing") }
        print("path                          packets   mallocs   per 1000")
        let rows: [(String, () -> (packets: UInt64, mallocs: UInt64)?)] = [
            ("stream, 64 KiB writes", { Self.stream(writing: 65_536, turns: 2_000) }),
            ("stream, 100-byte writes", { Self.stream(writing: 100, turns: 5_000) }),
            ("datagrams of 64 bytes", { Self.datagrams(of: 64, turns: 5_000) }),
            ("datagrams of 1,200 bytes", { Self.datagrams(of: 1_200, turns: 5_000) }),
            ("datagrams of 9,000 bytes", { Self.datagrams(of: 9_000, turns: 2_000) }),
            ("datagrams with copies", { Self.lossy(of: 100, .auto, every: 16) }),
            ("datagrams with repairs", { Self.lossy(of: 1_000, .realtime, every: 4) }),
            ("idle", { Self.idle(turns: 60_000) }),
        ]
        for (name, measure) in rows {
            guard let (packets, mallocs) = measure(), packets > 0 else {
                print("\(name): nothing moved")
                failed += 1
                continue
            }
            // Rounded up: a single allocation is not nothing.
            let rate = (mallocs * 1_000 + packets - 1) / packets
            print(Self.row(name, packets, mallocs, rate))
            if rate > Self.budget { failed += 1 } else { passed += 1 }
        }
        print("budgets: \(passed) passed, \(failed) failed, 0 skipped")
        if failed > 0 { throw ExitCode.failure }
    }

    private static func row(
        _ name: String,
        _ packets: UInt64,
        _ mallocs: UInt64,
        _ rate: UInt64
    ) -> String {
        let padded = { (text: String, width: Int) in
            String(repeating: " ", count: max(0, width - text.count)) + text
        }
        let title = name + String(repeating: " ", count: max(0, 28 - name.count))
        return title + padded("\(packets)", 9) + padded("\(mallocs)", 10) + padded("\(rate)", 11)
    }

    private static var countsAnything: Bool {
        let before = CMallocCount_total()
        var array: [Int] = []
        for element in 0..<100 { array.append(element) }
        return CMallocCount_total() - before > 3 && array.count == 100
    }

    /// Warms up until rings and tables have their size, then counts.
    private static func measure(
        _ pair: BudgetPair,
        turns: Int,
        _ turn: () -> Void
    ) -> (packets: UInt64, mallocs: UInt64)? {
        for _ in 0..<turns { turn() }
        let packets = pair.packets
        let before = CMallocCount_total()
        for _ in 0..<turns { turn() }
        let mallocs = CMallocCount_total() - before  // Read before anything is printed.
        return (pair.packets - packets, mallocs)
    }

    private static func stream(
        writing count: Int,
        turns: Int
    ) -> (packets: UInt64, mallocs: UInt64)? {
        let pair = BudgetPair()
        guard let stream = pair.openStream() else { return nil }
        let result = Self.measure(pair, turns: turns) { pair.write(count, to: stream) }
        // Pacing may let less through than was offered, but hardly anything would be a fault.
        return pair.bytes > UInt64(count) * UInt64(turns) / 20 ? result : nil
    }

    private static func datagrams(
        of count: Int,
        turns: Int
    ) -> (packets: UInt64, mallocs: UInt64)? {
        let pair = BudgetPair()
        guard let flow = pair.openFlow() else { return nil }
        let result = Self.measure(pair, turns: turns) { pair.send(count, on: flow) }
        return pair.datagrams > UInt64(turns) ? result : nil
    }

    /// A game's or a video's datagrams on a path that loses, with all that follows from it.
    private static func lossy(
        of count: Int,
        _ trafficClass: TrafficClass,
        every interval: Int
    ) -> (packets: UInt64, mallocs: UInt64)? {
        let pair = BudgetPair()
        guard let flow = pair.openFlow(trafficClass) else { return nil }
        pair.send(count, on: flow)
        pair.lossInterval = 37
        var step = 0
        let result = Self.measure(pair, turns: 40_000) {
            step += 1
            if step % interval == 0 { pair.send(count, on: flow) } else { pair.turn() }
        }
        let redundancy = pair.client.snapshot(at: pair.now).counters.redundancyBytes
        return redundancy > 0 ? result : nil
    }

    private static func idle(turns: Int) -> (packets: UInt64, mallocs: UInt64)? {
        let pair = BudgetPair()
        guard pair.openStream() != nil else { return nil }
        return Self.measure(pair, turns: turns) { pair.turn() }
    }
}
