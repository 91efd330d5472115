import Erasure
import Foundation
import Primitives
import Testing

@testable import Trials

/// What a game may lose, wait and cost, held against the shipped engines.
///
/// `FAIRLEAD_ECHO_SESSIONS` sessions of `FAIRLEAD_ECHO_SECONDS` each; few and short by default,
/// and then without streams, whose tails need more of them. Tables: `testkit echo`.
@Suite struct EchoBarTests {
    private static func number(_ name: String, or value: UInt64) -> UInt64 {
        ProcessInfo.processInfo.environment[name].flatMap { UInt64($0) } ?? value
    }

    private static let sessions = Self.number("FAIRLEAD_ECHO_SESSIONS", or: 2)
    private static let seconds = Self.number("FAIRLEAD_ECHO_SECONDS", or: 20)

    private static let isFull = Self.sessions >= 10
    private static let bars = EchoBar.all.filter { bar in
        Self.isFull || !bar.settings.isStream && !bar.settings.hasBulk
    }

    private func pooled(_ bar: EchoBar, flows: Int, sessions: UInt64) -> EchoResult {
        var settings = bar.settings
        settings.flows = flows
        settings.seconds = Self.seconds
        // Video is ten times the packets.
        if settings.messageByteCount > 1000 { settings.seconds = max(8, Self.seconds / 3) }
        var result = EchoResult()
        for seed in 1...sessions { result.add(EchoTrial(settings, seed: seed).run()) }
        return result
    }

    /// Each session begins cold, on a path that is bad from the first packet on.
    @Test(arguments: Self.bars)
    func sessionsHoldTheirBar(bar: EchoBar) {
        let result = self.pooled(bar, flows: 1, sessions: Self.sessions)
        let misses = bar.misses(result)
        #expect(misses == [], "\(bar.name): \(result.summary)")
    }

    @Test(arguments: Self.bars.prefix(6) + Self.bars.filter { $0.redundancy == 0 })
    func flowsOfOneSessionHoldTheirBar(bar: EchoBar) {
        let result = self.pooled(bar, flows: Int(2 * Self.sessions), sessions: 1)
        let misses = bar.misses(result)
        #expect(misses == [], "\(bar.name): \(result.summary)")
    }

    /// The test of the test: without redundancy the same path misses its bar.
    @Test func withoutRedundancyTheBarIsMissed() throws {
        let bar = try #require(EchoBar.all.first)
        var settings = bar.settings
        settings.redundancy = .off
        settings.seconds = 10
        let misses = bar.misses(EchoTrial(settings, seed: 1).run())
        #expect(misses.contains("undelivered") && misses.contains("p99"))
    }

    @Test func theSameSeedGivesTheSameFigures() throws {
        let bar = try #require(EchoBar.all.dropFirst().first)
        var settings = bar.settings
        settings.seconds = 5
        let results = (0..<2).map { _ in EchoTrial(settings, seed: 3).run() }
        #expect(results[0].roundTrips == results[1].roundTrips)
        #expect(results[0].bytes == results[1].bytes)
    }
}
