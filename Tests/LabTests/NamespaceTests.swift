import Foundation
import Primitives
import Testing

@testable import Lab

/// The whole laboratory for a second or two; needs root and `/dev/net/tun`.
@Suite(
    .serialized,
    .enabled(if: geteuid() == 0 && access("/dev/net/tun", R_OK | W_OK) == 0, "needs root and TUN")
)
struct NamespaceTests {
    static func scenario(_ stacks: String, _ link: String) throws -> Scenario {
        try Scenario.parse(
            """
            stacks = [\(stacks)]
            measures = ["echo"]
            duration = "1s"
            warm_up = "200ms"
            [link]
            \(link)
            """,
            name: "smoke"
        )
    }

    static func options() -> LabOptions {
        var options = LabOptions()
        let bundle = URL(fileURLWithPath: CommandLine.arguments[0]).resolvingSymlinksInPath()
        options.binaries = bundle.deletingLastPathComponent().path
        options.isUrgent = false
        return options
    }

    static func namespaces() throws -> [String] {
        let own = "fllab\(getpid())-"
        let names = (try? FileManager.default.contentsOfDirectory(atPath: "/var/run/netns")) ?? []
        return names.filter { $0.hasPrefix(own) }
    }

    @Test func theLinkDelaysAndCountsAndLeavesNothing() throws {
        let laboratory = try Laboratory(Self.options()) { _ in }
        let scenario = try Self.scenario("\"udp\", \"tcp-cubic\"", "delay = \"5ms\"")
        let report = try laboratory.run(scenario)
        #expect(report.failures == [])
        for result in report.results {
            let pooled = PooledResult(stack: result.stack, runs: [result])
            #expect(pooled.sent == 60)
            #expect(pooled.undelivered == 0)
            let median = try #require(pooled.answered.median)
            #expect(median >= 10 && median < 20, "\(result.stack): \(median) ms")
        }
        // 100 bytes, 8 of UDP and 20 of IP, there and back.
        #expect(report.results.first?.wireBytesPerMessage == 256)
        #expect(try Self.namespaces().isEmpty)
    }

    @Test func fairleadCarriesAnExchange() throws {
        let laboratory = try Laboratory(Self.options()) { _ in }
        let scenario = try Self.scenario("\"fairlead-udp\", \"fairlead-tcp\"", "delay = \"2ms\"")
        let report = try laboratory.run(scenario)
        #expect(report.failures == [])
        #expect(report.results.count + report.skipped.count == 2)
        for result in report.results {
            #expect(PooledResult(stack: result.stack, runs: [result]).undelivered == 0)
        }
    }

    @Test func theBackendSeesThePlayer() throws {
        let laboratory = try Laboratory(Self.options()) { _ in }
        let stacks = Stack.allCases.filter(\.restoresOrigin).map { "\"\($0.rawValue)\"" }
        let scenario = try Self.scenario(stacks.joined(separator: ","), "delay = \"2ms\"")
        let report = try laboratory.run(scenario)
        #expect(report.failures == [])
        #expect(report.results.count + report.skipped.count == stacks.count)
        for result in report.results {
            #expect(PooledResult(stack: result.stack, runs: [result]).undelivered == 0)
        }
    }

    @Test func plainKCPCarriesBothWays() throws {
        let laboratory = try Laboratory(Self.options()) { _ in }
        var scenario = try Self.scenario("\"plain-kcp\"", "delay = \"2ms\"\nrate = \"50 mbps\"")
        scenario.measures = [.echo, .bulk, .upload]
        scenario.idleStreams = 2
        scenario.stalledReaders = 1
        let report = try laboratory.run(scenario)
        #expect(report.failures == [])
        try #require(report.results.count == 3)
        #expect(report.results[0].roundTrips.allSatisfy { $0 != nil })
        #expect(report.results.dropFirst().allSatisfy { $0.goodput ?? 0 > 0 })
    }

    @Test func whatIsLostIsLost() throws {
        let laboratory = try Laboratory(Self.options()) { _ in }
        let scenario = try Self.scenario("\"udp\"", "loss = \"100%\"")
        let result = try #require(try laboratory.run(scenario).results.first)
        #expect(result.roundTrips.count == 60)
        #expect(result.roundTrips.allSatisfy { $0 == nil })
    }
}
