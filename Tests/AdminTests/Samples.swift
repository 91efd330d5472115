import Admin
import Primitives

enum Samples {
    static let report: ProcessReport = {
        var report = ProcessReport(
            version: "1.2.3",
            role: .server,
            uptime: .milliseconds(93_784_000)
        )
        report.isReady = true
        report.sessions = [
            ProcessReport.Session(
                peer: "edge \"1\"\n\\",
                address: SocketAddress(ipv4: 0xC000_0201, port: 4600),
                roundTrip: .microseconds(12_345),
                lossRate: 0.025,
                cipher: "aes-256-gcm",
                streams: 3,
                flows: 4
            )
        ]
        var voice = ProcessReport.Service(name: "voice")
        voice.streams = 1
        voice.flows = 2
        voice.bytesUp = 1_234_567
        voice.bytesDown = 89
        voice.backends = [
            ProcessReport.Backend(address: "10.0.0.5:1", isUp: true, flows: 2),
            ProcessReport.Backend(address: "[2001:db8::6]:1", isUp: false),
        ]
        report.services = [voice]
        report.sessions[0].silence = .milliseconds(5_250)
        report.sessions[0].isPostQuantum = true
        report.sessions[0].packetSize = 1_452
        report.sessions[0].wireBytesSent = 3_000_000
        report.refusals = [
            ProcessReport.Refusal(
                reason: "unknown-key",
                key: "c3RyYW5nZXJzdHJhbmdlcnN0cmFuZ2Vyc3RyYW5nZTA=",
                peer: nil,
                from: SocketAddress(ipv4: 0xC000_0207, port: 99),
                count: 7,
                last: "2026-11-27T18:00:00Z"
            )
        ]
        report.streams = 3
        report.flows = 4
        report.metrics = Self.metrics
        return report
    }()

    static let metrics = [
        Self.family("rtt_seconds", [], .none, kind: .gauge, subject: []),
        Self.family(
            "session_rtt_seconds",
            ["edge \"1\"\n\\", "192.0.2.1:4600"],
            .seconds(.microseconds(12_345)),
            kind: .gauge,
            subject: ["peer", "address"]
        ),
        Self.family("bytes_total", ["voice", "up"], .count(7), subject: ["service"], "direction"),
        Self.family("wire_bytes_total", ["received"], .count(2_000), subject: [], "direction"),
        Self.family("packets_lost_total", [], .count(1), subject: []),
        Self.family("drops_total", ["replayed"], .count(5), subject: [], "reason"),
    ]

    private static func family(
        _ name: String,
        _ labels: [String],
        _ value: MetricValue,
        kind: MetricDescriptor.Kind = .counter,
        subject: [String],
        _ split: String? = nil
    ) -> MetricFamily {
        let descriptor = MetricDescriptor(
            name: name,
            kind: kind,
            unit: .count,
            subject: subject,
            split: split,
            help: "What \(name) counts."
        )
        return MetricFamily(descriptor, [MetricFamily.Sample(labels: labels, value: value)])
    }
}
