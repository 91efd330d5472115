import Netem
import Primitives
import Recovery
import Session

/// Others on the same bottleneck, and bottlenecks that change.
extension Bar {
    static let rivals: [Self] = {
        var bars: [Self] = []
        let rivals: [(String, CongestionChoice)] = [("cubic", .cubic), ("bbr", .bbr)]
        let paths: [(UInt64, UInt64)] = [(20, 60), (50, 40), (50, 100)]
        for (name, rival) in rivals {
            for (megabits, roundTrip) in paths {
                for products in [1, 2] as [UInt64] {
                    for isSecond in [false, true] {
                        bars.append(
                            Self.rival(name, rival, megabits, roundTrip, products, isSecond)
                        )
                    }
                }
            }
        }
        bars += paths.map { Self.ofOurs(2, $0, $1, queue: $1 * 3 / 2) }
        bars.append(Self.ofOurs(2, 20, 60, queue: 100))
        bars.append(Self.ofOurs(5, 40, 40, queue: 100))
        return bars
    }()

    /// Flows of ours alone, half a second apart.
    private static func ofOurs(
        _ count: UInt64,
        _ megabits: UInt64,
        _ roundTrip: UInt64,
        queue: UInt64
    ) -> Self {
        let tunnels = (0..<count).map { number in
            var download = Trial.Load.download
            download.startsAt = .milliseconds(500 * number)
            return Trial.Tunnel(.auto, [download])
        }
        var trial = Trial(
            "\(count) of ours \(megabits) \(roundTrip) ms, queue \(queue) ms",
            path: .link(megabits: megabits, roundTrip: roundTrip, queue: queue),
            tunnels: tunnels
        )
        trial.warmUp = .seconds(5)
        trial.duration = .seconds(20)
        let checks: [Check] = [
            .least("Jain", 0.95) { $0.fairness },
            .most("mean queue", 20) { $0.meanQueue[1] },
            .least("together", 0.9) { outcome in
                outcome.tallies.indices.reduce(0) { $0 + outcome.share(tunnel: $1) }
            },
        ]
        return Self(group: "rivals", trial: trial, checks: checks)
    }

    private static func rival(
        _ name: String,
        _ choice: CongestionChoice,
        _ megabits: UInt64,
        _ roundTrip: UInt64,
        _ products: UInt64,
        _ isSecond: Bool
    ) -> Self {
        var late = Trial.Load.download
        late.startsAt = .seconds(2)
        var trial = Trial(
            "\(name) \(isSecond ? "first" : "second") \(megabits) \(roundTrip) ms \(products) BDP",
            path: .link(megabits: megabits, roundTrip: roundTrip, queue: roundTrip * products),
            tunnels: [
                .init(.auto, [isSecond ? late : .download]),
                .init(choice, [isSecond ? .download : late]),
            ]
        )
        trial.warmUp = .seconds(8)
        trial.duration = .seconds(30)
        let ours: @Sendable (Outcome) -> Double = { outcome in
            let (mine, other) = (outcome.share(tunnel: 0), outcome.share(tunnel: 1))
            return mine / (mine + other)
        }
        return Self(
            group: "rivals",
            trial: trial,
            checks: [.least("ours", 0.25, ours), .most("ours", 0.75, ours)]
        )
    }

    static let steps: [Self] = {
        var bars: [Self] = []
        for length in [4, 7, 10] as [UInt64] {
            for perMille in [0, 30] as [UInt32] {
                for roundTrip in [20, 60] as [UInt64] {
                    bars.append(Self.steps(length, perMille, roundTrip))
                }
            }
        }
        return bars
    }()

    private static func steps(_ length: UInt64, _ perMille: UInt32, _ roundTrip: UInt64) -> Self {
        let loads: [Trial.Load] = [.download, .game(over: nil), .game(over: .datagram)]
        var trial = Trial(
            "steps of \(length) s \(roundTrip) ms \(perMille / 10) %",
            path: .link(megabits: 50, roundTrip: roundTrip, lossPerMille: perMille),
            tunnels: [.init(.auto, loads)]
        )
        trial.path.queueByteCount = 625_000
        trial.warmUp = .seconds(1)
        trial.duration = .seconds(length * 8)
        let rates: [UInt64] = [50, 15, 80, 30]
        for number in 1..<8 {
            let at = Instant.Interval.seconds(1 + UInt64(number) * length)
            trial.steps.append(Trial.Step(at: at, megabits: rates[number % 4]))
        }
        let checks: [Check] = [
            .least("share", 0.8) { $0.share() },
            .most("tcp p99", 300) { $0.tallies[0][1].quantile(0.99) },
            .most("udp p99", 300) { $0.tallies[0][2].quantile(0.99) },
        ]
        return Self(group: "steps", trial: trial, checks: checks)
    }

    static let narrowing: [Self] = ([10, 60, 150] as [UInt64]).map { roundTrip in
        let large = Trial.Load.Kind.echo(perSecond: 60, byteCount: 1_300)
        let loads: [Trial.Load] = [
            .download, .upload, .init(large, over: .datagram), .game(over: nil),
            .init(large, over: .reliable),
        ]
        var trial = Trial(
            "narrowing \(roundTrip) ms",
            path: .link(megabits: 50, roundTrip: roundTrip),
            tunnels: [.init(.auto, loads)]
        )
        trial.narrowing = (.milliseconds(5_000), 1_252)
        let checks = loads.indices.map { load in
            Check.most("gap \(load) ms", 3_000) { $0.tallies[0][load].longestGap }
        }
        return Self(group: "narrowing", trial: trial, checks: checks)
    }

    /// Policers drop at once what exceeds their rate: a queue that holds almost nothing.
    static let policers: [Self] = {
        let paths: [(UInt64, UInt64)] = [(20, 40), (50, 60), (50, 20)]
        return paths.map { megabits, roundTrip in
            let trial = Trial(
                "policer \(megabits) \(roundTrip) ms",
                path: .link(megabits: megabits, roundTrip: roundTrip, queue: 3),
                tunnels: [.init(.auto, [.download])]
            )
            let checks: [Check] = [
                .least("share", 0.85) { $0.share() },
                .most("lost", 0.04) { outcome in
                    Double(outcome.packetsLost[1]) * 1450 / Double(outcome.wireBytes[1])
                },
            ]
            return Self(group: "policers", trial: trial, checks: checks)
        }
    }()

    static let video: [Self] = {
        let kind = Trial.Load.Kind.echo(perSecond: 200, byteCount: 1_100)
        let loads: [(String, Trial.Load)] = [
            ("auto", .init(kind, class: .auto)), ("realtime", .init(kind, class: .realtime)),
            ("messages", .init(kind, over: .reliable)), ("bulk", .init(kind, class: .bulk)),
        ]
        return loads.map { name, load in
            var trial = Trial(
                "video \(name)",
                path: .link(megabits: 20, roundTrip: 60, queue: 60),
                tunnels: [.init(.auto, [load])]
            )
            trial.path.bursts = .averaging(
                lossPartsPerMillion: 20_000,
                meanLength: .milliseconds(20)
            )
            trial.duration = .seconds(40)
            let checks: [Check] = [
                .most("p99", 222) { $0.tallies[0][0].quantile(0.99) },
                .most("p95", 155) { $0.tallies[0][0].quantile(0.95) },
                .most("p50", 70) { $0.tallies[0][0].quantile(0.5) },
                .most("p99.9", 600) { $0.tallies[0][0].quantile(0.999) },
                .most("undelivered", 0) { Double($0.tallies[0][0].undelivered) },
                .most("wire Mbit/s", 6) { Double($0.wireBytes[1]) * 8 / 40e6 },
            ]
            return Self(group: "video", trial: trial, checks: checks)
        }
    }()

    /// The game beside our own bulk on a lossy link; with short dead times, and with random loss.
    static let lossy: [Self] = [true, false].map { isBursty in
        let loads: [Trial.Load] = [.download, .game(over: nil), .game(over: .datagram)]
        var trial = Trial(
            "echo beside \(isBursty ? "8 ms bursts" : "random") 3 %",
            path: .link(megabits: 50, roundTrip: 60, lossPerMille: isBursty ? 0 : 30),
            tunnels: [.init(.auto, loads)]
        )
        if isBursty {
            trial.path.bursts = .averaging(
                lossPartsPerMillion: 30_000,
                meanLength: .milliseconds(8)
            )
        }
        trial.duration = .seconds(30)
        var checks = Self.echoes(base: 60, over: 45, 30)
        checks.append(.most("tcp max", 600) { $0.tallies[0][1].quantile(1) })
        checks.append(.least("share", 0.86) { $0.share() })
        return Self(group: "lossy", trial: trial, checks: checks)
    }

    static let crowd: [Self] = ([0, 30] as [UInt32]).map { perMille in
        let isClean = perMille == 0
        var loads: [Trial.Load] = [.download, .game(over: nil), .game(over: .datagram)]
        loads += [Trial.Load](repeating: .init(.idle), count: 18)
        loads += [Trial.Load](repeating: .init(.stalled), count: 4)
        let trial = Trial(
            "crowd \(perMille / 10) %",
            path: .link(megabits: 50, roundTrip: 60, lossPerMille: perMille),
            tunnels: [.init(.auto, loads)]
        )
        var checks = Self.echoes(base: 60, over: isClean ? 20 : 45, isClean ? 20 : 30)
        checks.append(.least("share", isClean ? 0.91 : 0.87) { $0.share() })
        return Self(group: "crowd", trial: trial, checks: checks)
    }
}
