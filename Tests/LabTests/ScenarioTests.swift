import Foundation
import Netem
import Primitives
import Testing

@testable import Lab

@Suite struct ScenarioTests {
    static let examples = URL(fileURLWithPath: #filePath)
        .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
        .appendingPathComponent("examples/lab").path

    @Test func everyExampleIsAScenario() throws {
        let scenarios = try Laboratory.scenarios(in: Self.examples)
        let names = scenarios.map(\.name)
        for name in [
            "gaming-clean", "gaming-1pct", "gaming-3pct-bursty", "far-5pct", "bulk-clean-20ms",
            "bulk-3pct-60ms", "jitter-reorder", "game-beside-bulk", "origin-3pct-60ms",
            "goodput-over-loss", "redundancy-over-loss",
        ] {
            #expect(names.contains(name))
        }
        for scenario in scenarios {
            #expect(scenario.title != scenario.name)
            for measure in scenario.measures {
                #expect(scenario.stacks.contains { $0.supports(measure) })
            }
        }
    }

    @Test func aLinkIsReadWhole() throws {
        let scenario = try Scenario.parse(
            """
            stacks = ["udp"]
            measures = ["echo"]
            duration = "7s"
            seeds = [4, 5]
            messages_per_second = 30
            outages = [{ start = "2s", length = "300ms" }]
            changes = [{ at = "4s", mtu = 1280 }, { at = "1s", rate = "2 mbps", rebind = true }]
            [link]
            delay = "12500us"
            loss = "0.5%"
            chain = { loss = "3%", mean_packets = 4 }
            rate = "1.5 mbps"
            queue = "20 kB"
            mtu = 1400
            [up]
            loss = "1%"
            [down]
            bursts = { loss = "2%", mean = "50ms" }
            """,
            name: "x"
        )
        #expect(scenario.up.delay == .microseconds(12_500))
        #expect(scenario.up.lossPartsPerMillion == 10_000)
        #expect(scenario.down.lossPartsPerMillion == 5_000)
        #expect(scenario.up.bursts == nil)
        #expect(scenario.down.bursts?.meanLength == .milliseconds(50))
        #expect(scenario.down.gilbertElliott?.toGoodPartsPerMillion == 250_000)
        #expect(scenario.up.bitsPerSecond == 1_500_000)
        #expect(scenario.up.queueByteCount == 20_000)
        #expect(scenario.up.headerByteCount == 0)
        #expect(scenario.up.maximumPacketByteCount == 1_400)
        let timeline = scenario.timeline
        #expect(timeline.outages == [.seconds(2)..<(.seconds(2) + .milliseconds(300))])
        #expect(timeline.changes.map(\.at) == [.seconds(1), .seconds(4)])
        #expect(timeline.changes.map(\.bitsPerSecond) == [2_000_000, nil])
        #expect(timeline.changes.map(\.maximumPacketByteCount) == [nil, 1_280])
        #expect(timeline.changes.map(\.rebinds) == [true, false])
        #expect(scenario.duration == .seconds(7))
        #expect(scenario.seeds == [4, 5])
        #expect(scenario.baseRoundTrip == 25)
        #expect(scenario.shortened().seeds == [4])
    }

    @Test(arguments: [
        ("stacks = [\"quic\"]\nmeasures = [\"echo\"]", "stacks"),
        ("stacks = [\"udp\"]\nmeasures = []", "measures"),
        ("stacks = [\"udp\"]\nmeasures = [\"echo\"]\nspeed = 1", "speed"),
        ("stacks = [\"udp\"]\nmeasures = [\"echo\"]\n[link]\nloss = \"120%\"", "link.loss"),
        ("stacks = [\"udp\"]\nmeasures = [\"echo\"]\n[up]\ndelay = 3", "up.delay"),
        ("stacks = [\"udp\"]\nmeasures = [\"echo\"]\nclass = \"fast\"", "class"),
        ("stacks = [\"udp\"]\nmeasures = [\"echo\"]\nlosses = [\"1\"]", "losses"),
        ("stacks = [\"udp\"]\nmeasures = [\"echo\"]\nidle_streams = 5000", "idle_streams"),
        ("stacks = [", "TOML"),
    ])
    func mistakesAreNamed(text: String, word: String) {
        #expect {
            try Scenario.parse(text, name: "x")
        } throws: { error in
            "\(error)".contains(word)
        }
    }
}
