import Primitives

/// The report as JSON for programs and as a table for people.
public enum StatusPage {
    /// The media type of ``json(_:)``.
    public static let contentType = "application/json"

    /// `{version, role, uptime_s, ready, reason, sessions: […], services: […], …}` on one line.
    public static func json(_ report: ProcessReport) -> String {
        JSON.object([
            ("version", JSON.string(report.version)),
            ("role", JSON.string(report.role.rawValue)),
            ("uptime_s", "\(report.uptime.milliseconds / 1000)"),
            ("ready", report.isReady ? "true" : "false"),
            ("reason", JSON.string(report.reason)),
            ("streams", "\(report.streams)"),
            ("flows", "\(report.flows)"),
            ("sessions", JSON.array(report.sessions.map(Self.json))),
            ("services", JSON.array(report.services.map(Self.json))),
            ("refusals", JSON.array(report.refusals.map(Self.json))),
            ("counters", Self.counters(report.metrics)),
        ]) + "\n"
    }

    private static func json(_ session: ProcessReport.Session) -> String {
        JSON.object([
            ("peer", JSON.string(session.peer)),
            ("address", JSON.string(session.address.description)),
            ("age_s", "\(session.age.milliseconds / 1000)"),
            ("last_heard_ms", "\(session.silence.milliseconds)"),
            ("rtt_ms", Decimal.text(session.roundTrip.microseconds, scale: 3)),
            ("loss", JSON.number(session.lossRate)),
            ("mtu", "\(session.packetSize)"),
            ("congestion_window", "\(session.congestionWindow)"),
            ("pacing_bytes_per_s", "\(session.pacingRate)"),
            ("cipher", JSON.string(session.cipher)),
            ("post_quantum", session.isPostQuantum ? "true" : "false"),
            ("streams", "\(session.streams)"),
            ("flows", "\(session.flows)"),
            ("bytes_sent", "\(session.wireBytesSent)"),
            ("bytes_received", "\(session.wireBytesReceived)"),
        ])
    }

    private static func json(_ service: ProcessReport.Service) -> String {
        JSON.object([
            ("name", JSON.string(service.name)),
            ("streams", "\(service.streams)"),
            ("flows", "\(service.flows)"),
            ("bytes_up", "\(service.bytesUp)"),
            ("bytes_down", "\(service.bytesDown)"),
            ("backends", JSON.array(service.backends.map(Self.json))),
        ])
    }

    private static func json(_ refusal: ProcessReport.Refusal) -> String {
        JSON.object([
            ("reason", JSON.string(refusal.reason)),
            ("key", JSON.string(refusal.key)),
            ("peer", refusal.peer.map(JSON.string) ?? "null"),
            ("from", JSON.string(refusal.from.description)),
            ("count", "\(refusal.count)"),
            ("last", JSON.string(refusal.last)),
        ])
    }

    /// The process' totals, and those with a reason as an object of their own.
    private static func counters(_ metrics: [MetricFamily]) -> String {
        let totals = metrics.filter {
            $0.descriptor.kind == .counter && $0.descriptor.subject.isEmpty
        }
        return JSON.object(
            totals.flatMap { family in
                let stem = family.descriptor.name.dropLast("_total".count)
                let numbers = family.samples.map { ($0.labels.last ?? "", "\($0.value.number)") }
                return family.descriptor.split == "reason"
                    ? [("\(stem)", JSON.object(numbers))]
                    : numbers.map { ($0.0.isEmpty ? "\(stem)" : "\(stem)_\($0.0)", $0.1) }
            }
        )
    }

    private static func json(_ backend: ProcessReport.Backend) -> String {
        let state = [
            ("address", JSON.string(backend.address)), ("up", backend.isUp ? "true" : "false"),
        ]
        // Only where it says something: most backends never are.
        let order = backend.isDraining ? [("draining", "true")] : []
        return JSON.object(
            state + order + [("streams", "\(backend.streams)"), ("flows", "\(backend.flows)")]
        )
    }

    /// Tables of sessions and backends under one line about the process.
    public static func text(_ report: ProcessReport) -> String {
        let state = report.isReady ? "ready" : "not ready: \(JSON.plain(report.reason))"
        var text = "fairlead \(report.role.rawValue) \(report.version), up"
        text += " \(Self.age(report.uptime)), \(state)\n\n"
        if report.sessions.isEmpty {
            text += "no session\n"
        } else {
            text += Self.table([Self.sessionTitles] + report.sessions.map(Self.row))
        }
        return text + Self.services(report) + Self.refusals(report)
    }

    private static let sessionTitles = [
        "PEER", "ADDRESS", "UP", "HEARD", "RTT", "LOSS", "MTU", "SENT", "RECEIVED", "STREAMS",
        "FLOWS", "CIPHER", "PQ",
    ]

    private static func row(_ session: ProcessReport.Session) -> [String] {
        [
            JSON.plain(session.peer), session.address.description, Self.age(session.age),
            "\(Self.age(session.silence)) ago",
            "\(Decimal.text(session.roundTrip.microseconds / 100, scale: 1)) ms",
            Self.percent(session.lossRate), "\(session.packetSize)",
            Self.bytes(session.wireBytesSent), Self.bytes(session.wireBytesReceived),
            "\(session.streams)", "\(session.flows)", session.cipher,
            session.isPostQuantum ? "yes" : "no",
        ]
    }

    /// Whom the server turned away, and what lets in the latest key it does not know.
    private static func refusals(_ report: ProcessReport) -> String {
        guard !report.refusals.isEmpty else { return "" }
        let titles = ["REFUSED", "PEER", "FROM", "TIMES", "LAST", "KEY"]
        let rows = report.refusals.map { refusal in
            [
                refusal.reason, JSON.plain(refusal.peer ?? "-"), refusal.from.description,
                "\(refusal.count)", refusal.last, JSON.plain(refusal.key),
            ]
        }
        let text = "\n" + Self.table([titles] + rows)
        let stranger = report.refusals.first { $0.peer == nil && $0.reason == "unknown-key" }
        guard let stranger else { return text }
        return text + """

            To let in the unknown key from \(stranger.from), if it is yours, add to the file:

            [[peer]]
            name = "NAME"
            public_key = "\(JSON.plain(stranger.key))"
            services = ["SERVICE"]

            """
    }

    private static func services(_ report: ProcessReport) -> String {
        guard !report.services.isEmpty else { return "" }
        var rows = [["SERVICE", "BACKEND", "STATE", "STREAMS", "FLOWS", "UP", "DOWN"]]
        for service in report.services {
            let bytes = [Self.bytes(service.bytesUp), Self.bytes(service.bytesDown)]
            rows.append(
                [JSON.plain(service.name), "", "", "\(service.streams)", "\(service.flows)"] + bytes
            )
            for backend in service.backends {
                let state = backend.isUp ? backend.isDraining ? "draining" : "up" : "DOWN"
                let counts = ["\(backend.streams)", "\(backend.flows)", "", ""]
                rows.append(["", JSON.plain(backend.address), state] + counts)
            }
        }
        return "\n" + Self.table(rows)
    }

    /// Columns as wide as their widest cell, two spaces apart.
    private static func table(_ rows: [[String]]) -> String {
        let count = rows.first?.count ?? 0
        let widths = (0..<count).map { column in rows.map { $0[column].count }.max() ?? 0 }
        return rows.reduce(into: "") { text, row in
            var line = ""
            for (cell, width) in zip(row, widths) {
                line += cell + String(repeating: " ", count: width - cell.count + 2)
            }
            while line.last == " " { line.removeLast() }
            text += line + "\n"
        }
    }

    private static func age(_ interval: Instant.Interval) -> String {
        let seconds = interval.milliseconds / 1000
        let (days, hours) = (seconds / 86_400, seconds / 3_600 % 24)
        let minutes = seconds / 60 % 60
        if days > 0 { return "\(days) d \(hours) h" }
        if hours > 0 { return "\(hours) h \(minutes) min" }
        return minutes > 0 ? "\(minutes) min \(seconds % 60) s" : "\(seconds) s"
    }

    private static func percent(_ rate: Double) -> String {
        guard rate.isFinite, rate > 0 else { return "0 %" }
        return "\(Decimal.text(UInt64(min(rate, 1) * 10_000), scale: 2)) %"
    }

    private static func bytes(_ count: UInt64) -> String {
        for (unit, size) in [("GB", 1_000_000_000), ("MB", 1_000_000), ("kB", 1_000)]
            as [(_, UInt64)]
        where count >= size {
            return "\(Decimal.text(count / (size / 10), scale: 1)) \(unit)"
        }
        return "\(count) B"
    }
}

/// RFC 8259, writing only.
enum JSON {
    static func string(_ text: String) -> String { "\"\(Self.plain(text))\"" }

    /// `text` with everything escaped that JSON forbids or a terminal would obey.
    static func plain(_ text: String) -> String { PlainText.escaped(text) }

    /// JSON has no infinities; a rate that is none is 0.
    static func number(_ value: Double) -> String { value.isFinite ? "\(value)" : "0" }

    static func array(_ items: [String]) -> String { "[\(items.joined(separator: ","))]" }

    static func object(_ pairs: [(String, String)]) -> String {
        "{\(pairs.map { "\"\($0.0)\":\($0.1)" }.joined(separator: ","))}"
    }
}
