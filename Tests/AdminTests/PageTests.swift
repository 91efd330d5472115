import Foundation
import Primitives
import Testing

@testable import Admin

@Suite struct PageTests {
    @Test func metricsCarryTheNamesOfTheContract() {
        let lines = MetricsPage.render(Samples.report).split(separator: "\n").map(String.init)
        let expected = [
            "fairlead_build_info{version=\"1.2.3\",role=\"server\"} 1",
            "fairlead_sessions 1",
            "fairlead_streams 3",
            "fairlead_flows{service=\"voice\"} 2",
            "fairlead_bytes_total{service=\"voice\",direction=\"up\"} 1234567",
            "fairlead_bytes_total{service=\"voice\",direction=\"down\"} 89",
            "fairlead_wire_bytes_total{direction=\"sent\"} 1000",
            "fairlead_wire_bytes_total{direction=\"received\"} 2000",
            "fairlead_packets_total{direction=\"sent\"} 10",
            "fairlead_packets_total{direction=\"received\"} 20",
            "fairlead_packets_lost_total 1",
            "fairlead_packets_recovered_total 2",
            "fairlead_redundancy_bytes_total 300",
            "fairlead_drops_total{reason=\"replayed\"} 5",
            "fairlead_drops_total{reason=\"malformed\"} 0",
            "fairlead_rtt_seconds 0.012345",
            "fairlead_session_rtt_seconds{peer=\"edge \\\"1\\\"\\n\\\\\","
                + "address=\"192.0.2.1:4600\"} 0.012345",
            "fairlead_backend_up{service=\"voice\",backend=\"10.0.0.5:1\"} 1",
            "fairlead_backend_up{service=\"voice\",backend=\"[2001:db8::6]:1\"} 0",
        ]
        for line in expected { #expect(lines.contains(line), "\(line)") }
    }

    /// Every sample stands under the TYPE and HELP of its own name, each told once.
    @Test func metricsAreWellFormed() {
        let page = MetricsPage.render(Samples.report)
        #expect(page.hasSuffix("\n"))
        var current = ""
        var seen: Set<String> = []
        for line in page.split(separator: "\n") {
            if line.hasPrefix("# HELP ") {
                current = String(line.split(separator: " ")[2])
                #expect(seen.insert(current).inserted, "\(current)")
            } else if line.hasPrefix("# TYPE ") {
                let words = line.split(separator: " ")
                #expect(words[2] == current)
                #expect(words[3] == (current.hasSuffix("_total") ? "counter" : "gauge"))
            } else {
                #expect(line.prefix { $0 != "{" && $0 != " " } == current)
                #expect(line.split(separator: " ").last.flatMap { Double($0) } != nil)
            }
        }
    }

    @Test func statusHasTheShapeOfTheContract() throws {
        let text = StatusPage.json(Samples.report)
        #expect(text.count { $0 == "\n" } == 1)
        let object = try JSONSerialization.jsonObject(with: Data(text.utf8))
        let root = try #require(object as? [String: Any])
        let contract = ["role", "services", "sessions", "uptime_s", "version"]
        let more = ["counters", "flows", "ready", "reason", "refusals", "streams"]
        #expect(root.keys.sorted() == (contract + more).sorted())
        #expect(root["ready"] as? Bool == true)
        let counters = try #require(root["counters"] as? [String: Any])
        #expect(counters["wire_bytes_received"] as? Int == 2_000)
        #expect((counters["drops"] as? [String: Int])?["replayed"] == 5)
        #expect(root["uptime_s"] as? Int == 93_784)
        let session = try #require((root["sessions"] as? [[String: Any]])?.first)
        #expect(session["peer"] as? String == "edge \"1\"\n\\")
        #expect(session["rtt_ms"] as? Double == 12.345)
        #expect(session["loss"] as? Double == 0.025)
        for key in ["address", "cipher", "flows", "peer", "streams"] {
            #expect(session[key] != nil, "\(key)")
        }
        #expect(session["last_heard_ms"] as? Int == 5_250)
        #expect(session["mtu"] as? Int == 1_452)
        #expect(session["post_quantum"] as? Bool == true)
        #expect(session["bytes_sent"] as? Int == 3_000_000)
        let service = try #require((root["services"] as? [[String: Any]])?.first)
        #expect(service["streams"] as? Int == 1)
        #expect(service["flows"] as? Int == 2)
        #expect(service["bytes_up"] as? Int == 1_234_567)
        let refusal = try #require((root["refusals"] as? [[String: Any]])?.first)
        #expect(refusal["reason"] as? String == "unknown-key")
        #expect(refusal["from"] as? String == "192.0.2.7:99")
        #expect(refusal["count"] as? Int == 7)
        #expect(refusal["peer"] is NSNull)
        let backends = try #require(service["backends"] as? [[String: Any]])
        #expect(backends.map { $0["up"] as? Bool } == [true, false])
        #expect(backends[0].keys.sorted() == ["address", "flows", "streams", "up"])
    }

    @Test func statusTellsPeopleWhomItTurnedAwayAndWhatLetsThemIn() {
        let text = StatusPage.text(Samples.report)
        #expect(text.contains("unknown-key"))
        #expect(text.contains("192.0.2.7:99"))
        let key = Samples.report.refusals[0].key
        #expect(text.contains("[[peer]]\nname = \"NAME\"\npublic_key = \"\(key)\"\n"))
        var known = Samples.report
        known.refusals[0].peer = "edge"
        known.refusals[0].reason = "limit"
        #expect(!StatusPage.text(known).contains("[[peer]]"))
    }

    @Test func everyPageShowsADrainingBackend() {
        var report = Samples.report
        report.services[0].backends[0].isDraining = true
        let label = "fairlead_backend_draining{service=\"\(report.services[0].name)\""
        let metrics = MetricsPage.render(report).split(separator: "\n")
        #expect(metrics.contains { $0.hasPrefix(label) && $0.hasSuffix(" 1") })
        #expect(StatusPage.json(report).contains("\"draining\":true"))
        #expect(StatusPage.text(report).contains("draining"))
    }

    @Test func statusSurvivesNumbersThatAreNone() throws {
        var report = Samples.report
        for rate in [Double.nan, .infinity, -1, 1e300] {
            report.sessions[0].lossRate = rate
            _ = StatusPage.text(report)
            let text = StatusPage.json(report)
            #expect((try? JSONSerialization.jsonObject(with: Data(text.utf8))) != nil, "\(text)")
        }
    }

    @Test func statusIsATableForPeople() {
        let text = StatusPage.text(Samples.report)
        let lines = text.split(separator: "\n", omittingEmptySubsequences: false)
        #expect(lines[0] == "fairlead server 1.2.3, up 1 d 2 h, ready")
        #expect(lines[2].hasPrefix("PEER"))
        #expect(lines[3].contains("12.3 ms") && lines[3].contains("2.5 %"))
        #expect(text.contains("DOWN"))
        #expect(text.contains("1.2 MB"))
        #expect(lines[3].contains("5 s ago") && lines[3].contains("1452"))
        #expect(lines[3].contains("3 MB"))
    }

    @Test func writesDecimalsExactly() {
        #expect(Decimal.text(0, scale: 9) == "0")
        #expect(Decimal.text(1, scale: 9) == "0.000000001")
        #expect(Decimal.text(1_500_000_000, scale: 9) == "1.5")
        #expect(Decimal.text(.max, scale: 9) == "18446744073.709551615")
        #expect(Decimal.text(25, scale: 1) == "2.5")
    }
}
