import Primitives
import Erasure
import Netem
import Session

/// What a game may lose and wait on one kind of path, with what it may cost.
public struct EchoBar: Sendable, CustomStringConvertible {
    /// What reports call the bar.
    public let name: String
    public var description: String { self.name }
    /// The path and the traffic that are judged.
    public let settings: EchoSettings
    /// Share of messages without an echo.
    public let undelivered: Double
    /// Milliseconds above the round trip that 99 of 100 echoes stay below.
    public let lateness: Double
    /// kbit/s of a flow and direction.
    public let redundancy: Double
    /// IP bytes, as a multiple of what plain UDP sends.
    public let expansion: Double

    /// IP bytes of a message over plain UDP.
    private var plain: Double { Double(28 + self.settings.messageByteCount) }

    /// Says which figures miss the bar.
    public func misses(_ result: EchoResult) -> [String] {
        var misses: [String] = []
        if result.undelivered > self.undelivered { misses.append("undelivered") }
        if self.late(result) > self.lateness { misses.append("p99") }
        if result.redundancyRate > self.redundancy { misses.append("redundancy") }
        if self.expansion(result) > self.expansion { misses.append("bytes") }
        if result.duplicates > 0 { misses.append("duplicates") }
        return misses
    }

    /// The IP bytes of a message as a multiple of what plain UDP sends for it.
    public func expansion(_ result: EchoResult) -> Double { result.bytesPerMessage / self.plain }

    private func late(_ result: EchoResult) -> Double {
        guard self.lateness < .infinity else { return 0 }
        return result.quantile(0.99) - Double(self.settings.roundTrip.microseconds) / 1000
    }

    /// A path's name, round trip, and what it does.
    private typealias Path = (name: String, roundTrip: UInt64, impairment: Impairment)

    private static func random(_ roundTrip: UInt64, percent: UInt32) -> Path {
        var impairment = Impairment()
        impairment.lossPartsPerMillion = percent * 10_000
        return ("\(roundTrip) ms, \(percent) %", roundTrip, impairment)
    }

    private static func bursts(_ roundTrip: UInt64, percent: UInt32, length: UInt64) -> Path {
        var impairment = Impairment()
        impairment.bursts = .averaging(
            lossPartsPerMillion: percent * 10_000,
            meanLength: .milliseconds(length)
        )
        return ("\(roundTrip) ms, \(percent) % by \(length) ms", roundTrip, impairment)
    }

    private static func bar(
        _ label: String,
        _ path: Path,
        undelivered percent: Double,
        lateness: Double = .infinity,
        redundancy: Double = 500,
        expansion: Double = .infinity,
        _ adapt: (inout EchoSettings) -> Void = { _ in }
    ) -> Self {
        var settings = EchoSettings()
        settings.roundTrip = .milliseconds(path.roundTrip)
        settings.impairment = path.impairment
        adapt(&settings)
        return Self(
            name: "\(label): \(path.name)",
            settings: settings,
            undelivered: percent / 100,
            lateness: lateness,
            redundancy: redundancy,
            expansion: expansion
        )
    }

    /// The bars of game traffic: three paths by four ways to protect it, and what must stay quiet.
    public static var all: [Self] {
        let near = Self.random(30, percent: 1)
        let bursty = Self.bursts(60, percent: 3, length: 8)
        let far = Self.random(150, percent: 5)
        let low: (inout EchoSettings) -> Void = { $0.redundancy = .low }
        let deadline: (inout EchoSettings) -> Void = {
            $0.delivery = .deadline
            $0.maximumAge = .milliseconds(150)
        }
        var list = [
            Self.bar("auto", near, undelivered: 0.05, lateness: 10),
            Self.bar("auto", bursty, undelivered: 0.5, lateness: 30),
            Self.bar("auto", far, undelivered: 0.2, lateness: 30),
            Self.bar("low", near, undelivered: 0.1, expansion: 3, low),
            Self.bar("low", bursty, undelivered: 1.2, expansion: 3, low),
            Self.bar("low", far, undelivered: 0.5, expansion: 3, low),
            Self.bar("deadline", near, undelivered: 0.02, deadline),
            Self.bar("deadline", bursty, undelivered: 0.1, deadline),
            Self.bar("deadline", far, undelivered: 0.05) {
                deadline(&$0)
                $0.maximumAge = .milliseconds(300)
            },
        ]
        list += Self.quiet + Self.deadTimes
        list += [near, bursty, far].map { path in
            Self.bar("stream", path, undelivered: 0, lateness: 45) {
                $0.isStream = true
                $0.warmUp = 5
            }
        }
        var busy = bursty
        busy.impairment.bitsPerSecond = 50_000_000
        var link = Impairment()
        link.bitsPerSecond = 50_000_000
        list.append(
            Self.bar("beside bulk", ("60 ms, clean", 60, link), undelivered: 0, lateness: 20) {
                $0.hasBulk = true
                $0.warmUp = 5
            }
        )
        list.append(
            Self.bar("beside bulk", busy, undelivered: 0.5, lateness: 30) {
                $0.hasBulk = true
                $0.warmUp = 5
            }
        )
        list.append(
            Self.bar("stream beside bulk", busy, undelivered: 0, lateness: 45) {
                $0.hasBulk = true
                $0.warmUp = 5
                $0.isStream = true
            }
        )
        return list
    }

    /// Paths on which nothing may be added.
    private static var quiet: [Self] {
        var jitter = Impairment()
        jitter.jitter = .milliseconds(15)
        jitter.jitterReorders = true
        let clean = ("60 ms, clean", UInt64(60), Impairment())
        return [
            Self.bar("auto", clean, undelivered: 0, lateness: 1, redundancy: 0, expansion: 1.65),
            Self.bar(
                "auto",
                ("60 ms, jitter", 60, jitter),
                undelivered: 0,
                lateness: 31,
                redundancy: 0,
                expansion: 1.8
            ),
        ]
    }

    /// Silences longer than a game's gap, and a flow too fast for copies.
    private static var deadTimes: [Self] {
        let long = Self.bursts(60, percent: 3, length: 50)
        let video: (inout EchoSettings) -> Void = {
            $0.trafficClass = .realtime
            $0.messagesPerSecond = 200
            $0.messageByteCount = 1100
        }
        let short = Self.bursts(60, percent: 2, length: 20)
        return [
            Self.bar("auto", long, undelivered: 1),
            Self.bar("deadline", long, undelivered: 0.8) { $0.delivery = .deadline },
            Self.bar("realtime", short, undelivered: 0.5, lateness: 125, redundancy: 4000, video),
        ]
    }
}
