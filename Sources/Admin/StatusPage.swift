import Primitives

/// The report as JSON for programs and as a table for people.
public enum StatusPage {
    public static let contentType = "application/json"

    /// `{version, role, uptime_s, sessions: […], services: […]}` on one line.
    public static func json(_ report: ProcessReport) -> String {
        let sessions = report.sessions.map { session in
            JSON.object([
                ("peer", JSON.string(session.peer)),
                ("address", JSON.string(session.address.description)),
                ("rtt_ms", Decimal.text(session.roundTrip.microseconds, scale: 3)),
                ("loss", JSON.number(session.lossRate)),
                ("cipher", JSON.string(session.cipher)),
                ("streams", "\(session.streams)"),
                ("flows", "\(session.flows)"),
            ])
        }
        let services = report.services.map { service in
            JSON.object([
                ("name", JSON.string(service.name)),
                ("backends", JSON.array(service.backends.map(Self.json))),
            ])
        }
        return JSON.object([
            ("version", JSON.string(report.version)),
            ("role", JSON.string(report.role.rawValue)),
            ("uptime_s", "\(report.uptime.milliseconds / 1000)"),
            ("sessions", JSON.array(sessions)),
            ("services", JSON.array(services)),
        ]) + "\n"
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
            let rows = report.sessions.map { session in
                [
                    JSON.plain(session.peer), session.address.description,
                    "\(Decimal.text(session.roundTrip.microseconds / 100, scale: 1)) ms",
                    Self.percent(session.lossRate), session.cipher, "\(session.streams)",
                    "\(session.flows)",
                ]
            }
            let titles = ["PEER", "ADDRESS", "RTT", "LOSS", "CIPHER", "STREAMS", "FLOWS"]
            text += Self.table([titles] + rows)
        }
        return text + Self.services(report)
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
