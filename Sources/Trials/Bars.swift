import Netem
import Primitives
import Recovery
import Session

/// What must hold on a bad network, each as a trial and the figures it is judged by.
public struct Bar: Sendable {
    /// A figure of an outcome, and the bound it must keep.
    public struct Check: Sendable {
        /// What reports call the figure.
        public var label: String
        /// Otherwise the figure must not be below the bound.
        public var isCeiling: Bool
        /// What the figure must reach, or may reach, in the figure's own unit.
        public var bound: Double
        /// Reads the figure from an outcome.
        public var figure: @Sendable (Outcome) -> Double

        /// A figure that must not be below `bound`.
        public static func least(
            _ label: String,
            _ bound: Double,
            _ figure: @escaping @Sendable (Outcome) -> Double
        ) -> Self {
            Self(label: label, isCeiling: false, bound: bound, figure: figure)
        }

        /// A figure that must not be above `bound`.
        public static func most(
            _ label: String,
            _ bound: Double,
            _ figure: @escaping @Sendable (Outcome) -> Double
        ) -> Self {
            Self(label: label, isCeiling: true, bound: bound, figure: figure)
        }

        /// Whether `value` is on the right side; the bound itself is.
        public func isKept(by value: Double) -> Bool {
            self.isCeiling ? value <= self.bound : value >= self.bound
        }
    }

    /// Which bars are run together, such as `bulk`.
    public var group: String
    /// What is run.
    public var trial: Trial
    /// What its outcome has to keep, all of it.
    public var checks: [Check]
}

extension Bar: CustomStringConvertible {
    public var description: String { self.trial.name }
}

extension Bar {
    /// All bars, in the order of the table.
    public static var all: [Self] {
        Self.bulk + Self.beside + Self.jitter + Self.rivals + Self.steps + Self.narrowing
            + Self.policers + Self.video + Self.lossy + Self.crowd
    }

    /// What the wire may carry for a byte that arrives, where a packet is lost with `loss`.
    private static func wire(_ loss: Double, isUpload: Bool) -> Check {
        .most("wire/goodput", 1.06 / (1 - loss) + 0.02) {
            Double($0.wireBytes[isUpload ? 0 : 1]) / Double($0.tallies[0][0].byteCount)
        }
    }

    private static let bulk: [Self] = {
        var bars: [Self] = []
        for megabits in [50, 100] as [UInt64] {
            for roundTrip in [20, 60, 150] as [UInt64] {
                bars.append(Self.bulk(megabits, roundTrip, perMille: 0, least: 0.92))
                bars.append(Self.bulk(megabits, roundTrip, perMille: 30, least: 0.88))
                bars.append(Self.bulk(megabits, roundTrip, perMille: 50, least: 0.84))
                bars.append(Self.bulk(megabits, roundTrip, perMille: 100, least: 0.74))
            }
        }
        return bars
    }()

    private static func bulk(
        _ megabits: UInt64,
        _ roundTrip: UInt64,
        perMille: UInt32,
        least: Double
    ) -> Self {
        let isUpload = roundTrip == 60
        var trial = Trial(
            "bulk \(megabits) \(roundTrip) ms \(perMille / 10) %",
            path: .link(megabits: megabits, roundTrip: roundTrip, lossPerMille: perMille),
            tunnels: [.init(.auto, [isUpload ? .upload : .download])]
        )
        // What is lost several times is late by as many round trips: a far start lasts longer.
        trial.warmUp = .milliseconds(max(2_000, 20 * roundTrip))
        trial.duration = .seconds(12)
        let checks: [Check] = [
            .least("share", least) { $0.share() },
            Self.wire(Double(perMille) / 1000, isUpload: isUpload),
        ]
        return Self(group: "bulk", trial: trial, checks: checks)
    }

    private static let beside: [Self] = {
        let paths: [(UInt64, UInt64)] = [(20, 10), (50, 20), (50, 60), (100, 60), (100, 150)]
        var bars = paths.map { Self.beside($0, $1, isFromStart: false) }
        bars += [30, 60].map { Self.beside(50, $0, isFromStart: true) }
        return bars
    }()

    /// With `isFromStart` the download starts while the echo is watched: a queue at start-up is a
    /// queue.
    private static func beside(
        _ megabits: UInt64,
        _ roundTrip: UInt64,
        isFromStart: Bool
    ) -> Self {
        var download = Trial.Load.download
        if isFromStart { download.startsAt = .milliseconds(3_000) }
        let name = isFromStart ? "start beside echo" : "echo beside"
        var trial = Trial(
            "\(name) \(megabits) \(roundTrip) ms",
            path: .link(megabits: megabits, roundTrip: roundTrip),
            tunnels: [.init(.auto, [download, .game(over: nil), .game(over: .datagram)])]
        )
        trial.warmUp = .seconds(isFromStart ? 2 : 1)
        var checks = Self.echoes(base: Double(roundTrip), over: 20, 20)
        checks.append(.most("mean queue", 10) { $0.meanQueue[1] })
        checks.append(.most("greatest", 100) { $0.greatestQueue[1] })
        if !isFromStart { checks.append(.least("share", 0.9) { $0.share() }) }
        return Self(group: "beside", trial: trial, checks: checks)
    }

    /// The second load echoes in a stream, the third in datagrams.
    static func echoes(base: Double, over stream: Double, _ datagram: Double) -> [Check] {
        [
            .most("tcp p99 +", stream) { $0.tallies[0][1].quantile(0.99) - base },
            .most("udp p99 +", datagram) { $0.tallies[0][2].quantile(0.99) - base },
        ]
    }

    private static let jitter: [Self] = ([20, 60, 120] as [UInt64]).map { roundTrip in
        let spread: UInt64 = roundTrip > 20 ? 20 : 10
        var path = Impairment.link(megabits: 50, roundTrip: roundTrip, lossPerMille: 30)
        path.delay = .microseconds((roundTrip - spread) * 500)
        path.jitter = .milliseconds(spread)
        path.jitterReorders = true
        let trial = Trial(
            "jitter \(roundTrip) ms 3 %",
            path: path,
            tunnels: [.init(.auto, [.download])]
        )
        let checks: [Check] = [.least("share", 0.85) { $0.share() }]
        return Self(group: "jitter", trial: trial, checks: checks)
    }
}
