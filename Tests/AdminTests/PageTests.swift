import Foundation
import Primitives
import Testing

@testable import Admin

@Suite struct PageTests {
    @Test func metricsAreInPrometheusFormat() {
        #expect(
            MetricsPage.render(Samples.metrics) == """
                # HELP fairlead_rtt_seconds What rtt_seconds counts.
                # TYPE fairlead_rtt_seconds gauge
                fairlead_rtt_seconds NaN
                # HELP fairlead_session_rtt_seconds What session_rtt_seconds counts.
                # TYPE fairlead_session_rtt_seconds gauge
                fairlead_session_rtt_seconds{peer="edge \\"1\\"\\n\\\\",address="192.0.2.1:4600"} \
                0.012345
                # HELP fairlead_bytes_total What bytes_total counts.
                # TYPE fairlead_bytes_total counter
                fairlead_bytes_total{service="voice",direction="up"} 7
                # HELP fairlead_wire_bytes_total What wire_bytes_total counts.
                # TYPE fairlead_wire_bytes_total counter
                fairlead_wire_bytes_total{direction="received"} 2000
                # HELP fairlead_packets_lost_total What packets_lost_total counts.
                # TYPE fairlead_packets_lost_total counter
                fairlead_packets_lost_total 1
                # HELP fairlead_drops_total What drops_total counts.
                # TYPE fairlead_drops_total counter
                fairlead_drops_total{reason="replayed"} 5

                """
        )
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
        #expect(counters.keys.sorted() == ["drops", "packets_lost", "wire_bytes_received"])
        #expect(counters["packets_lost"] as? Int == 1)
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

    @Test func statusShowsADrainingBackend() {
        var report = Samples.report
        report.services[0].backends[0].isDraining = true
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
