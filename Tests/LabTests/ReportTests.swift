import Foundation
import Testing

@testable import Lab

@Suite struct ReportTests {
    static func report() throws -> Report {
        let text = """
            title = "a < b & c"
            stacks = ["udp", "kcptun"]
            measures = ["echo", "bulk"]
            [link]
            delay = "10ms"
            rate = "100 mbps"
            """
        var report = Report(scenario: try Scenario.parse(text, name: "a<b"))
        for seed in [UInt64(1), 2] {
            var echo = RunResult(stack: .udp, measure: .echo, seed: seed)
            echo.roundTrips = (0..<500).map { index -> Double? in
                if index % 50 == 0 { return nil }
                return 20 + Double(index) / 100
            }
            var bulk = RunResult(stack: .kcptun, measure: .bulk, seed: seed)
            bulk.goodput = 40 + Double(seed)
            bulk.wirePerGoodput = 1.5
            report.results += [echo, bulk]
        }
        report.skipped[.tcpBBR] = "this kernel has no bbr"
        return report
    }

    @Test func tablesPoolTheSeeds() throws {
        let text = try Self.report().markdown
        #expect(text.contains("| udp | udp | 1000 | 22.5 |"))
        #expect(text.contains("20 (2.00 %)"))
        #expect(text.contains("| kcptun | 41.5 (41.0–42.0) | 1.50 |"))
        #expect(text.contains("* tcp-bbr: this kernel has no bbr"))
    }

    @Test func plotsAreWellFormed() throws {
        let plots = try Self.report().plots
        #expect(plots.map(\.name) == ["latency-echo.svg", "goodput-bulk.svg"])
        for plot in plots {
            #expect(plot.text.hasPrefix("<svg xmlns=\"http://www.w3.org/2000/svg\""))
            #expect(plot.text.hasSuffix("</svg>\n"))
            #expect(plot.text.contains("a&lt;b"))
            #expect(plot.text.utf8.count < 40_000)
            // Every element but the root and the texts closes itself.
            let lines = plot.text.split(separator: "\n").dropFirst().dropLast()
            #expect(lines.allSatisfy { $0.hasSuffix("/>") || $0.hasSuffix("</text>") })
        }
    }

    @Test func severalLossesArePlottedOverTheLoss() throws {
        let text = """
            stacks = ["udp", "fairlead-tcp"]
            measures = ["echo", "bulk"]
            losses = ["0%", "2.5%"]
            [link]
            delay = "10ms"
            """
        var report = Report(scenario: try Scenario.parse(text, name: "sweep"))
        #expect(report.scenario.losses == [0, 25_000])
        for (loss, goodput) in [(UInt32(0), 48.0), (25_000, 44.0)] {
            var bulk = RunResult(stack: .fairleadTCP, measure: .bulk, seed: 1, loss: loss)
            bulk.goodput = goodput
            var echo = RunResult(stack: .udp, measure: .echo, seed: 1, loss: loss)
            echo.roundTrips = [20, nil]
            echo.wireBytesPerMessage = 256
            report.results += [bulk, echo]
        }
        #expect(report.markdown.contains("## One download, 2.50 % loss"))
        #expect(report.markdown.contains("| fairlead-tcp | 44.0 |"))
        let plots = report.plots
        #expect(
            plots.map(\.name) == [
                "redundancy-over-loss.svg", "tail-over-loss.svg", "undelivered-over-loss.svg",
                "goodput-over-loss-bulk.svg",
            ]
        )
        // The curve of the download falls: y grows downwards from left to right.
        let curve = try #require(
            plots.last?.text.split(separator: "\n").first { $0.hasPrefix("<polyline") }
        )
        let points = curve.split(separator: "\"")[1].split(separator: " ").map {
            $0.split(separator: ",").compactMap { Double($0) }
        }
        #expect(points.count == 2 && points[0][0] < points[1][0] && points[0][1] < points[1][1])
    }

    @Test func jsonIsJSON() throws {
        let text = try Self.report().json.description
        let object = try JSONSerialization.jsonObject(with: Data(text.utf8))
        let root = try #require(object as? [String: Any])
        #expect(root["scenario"] as? String == "a<b")
        let runs = try #require(root["runs"] as? [[String: Any]])
        #expect(runs.count == 4)
        let trips = try #require(runs[0]["round_trips_ms"] as? [Any])
        #expect(trips.count == 500 && trips[0] is NSNull)
        #expect(runs[1]["goodput_mbps"] as? Double == 41)
    }

    @Test(arguments: [(0.0...1.0, 11), (0.0...100.0, 11), (18.0...42.0, 9), (3.0...3.0, 1)])
    func axesHaveFewRoundMarks(range: ClosedRange<Double>, atMost: Int) {
        let ticks = Axis.ticks(range)
        #expect(!ticks.isEmpty && ticks.count <= atMost + 2)
        #expect(ticks.allSatisfy { $0 >= range.lowerBound - 1e-9 })
    }
}
