import Primitives

/// The report in Prometheus' text format 0.0.4.
public enum MetricsPage {
    public static let contentType = "text/plain; version=0.0.4; charset=utf-8"

    public static func render(_ report: ProcessReport) -> String {
        var page = Page()
        Self.describe(report, on: &page)
        Self.traffic(report, on: &page)
        Self.wire(report.counters, on: &page)
        Self.backends(report, on: &page)
        return page.text
    }

    private static func describe(_ report: ProcessReport, on page: inout Page) {
        page.begin("build_info", "gauge", "Always 1; the labels say what runs.")
        page.sample("1", ("version", report.version), ("role", report.role.rawValue))
        page.begin("uptime_seconds", "gauge", "Time since the process started.")
        page.sample(Self.seconds(report.uptime))
        page.begin("ready", "gauge", "1 when /ready answers 200.")
        page.sample(report.isReady ? "1" : "0")
        page.begin("sessions", "gauge", "Tunnel sessions that are up.")
        page.sample("\(report.sessions.count)")
        page.begin("sessions_post_quantum", "gauge", "Those whose keys are post-quantum.")
        page.sample("\(report.sessions.count { $0.isPostQuantum })")
        page.begin("rtt_seconds", "gauge", "Smoothed round trip of the slowest session.")
        page.sample(report.sessions.map(\.roundTrip).max().map(Self.seconds) ?? "NaN")
        page.begin("session_rtt_seconds", "gauge", "Smoothed round trip of a session.")
        for session in report.sessions {
            page.sample(
                Self.seconds(session.roundTrip),
                ("peer", session.peer),
                ("address", session.address.description)
            )
        }
    }

    private static func traffic(_ report: ProcessReport, on page: inout Page) {
        page.begin("streams", "gauge", "TCP streams open now.")
        page.sample("\(report.streams)")
        page.begin("flows", "gauge", "UDP flows open now.")
        for service in report.services {
            page.sample("\(service.flows)", ("service", service.name))
        }
        page.begin(
            "bytes_total",
            "counter",
            "Payload bytes; up is from players to backends, down is back."
        )
        for service in report.services {
            let name = ("service", service.name)
            page.sample("\(service.bytesUp)", name, ("direction", "up"))
            page.sample("\(service.bytesDown)", name, ("direction", "down"))
        }
        guard report.role == .server else { return }
        page.begin(
            "source_ports_changed_total",
            "counter",
            "Players shown to a backend with another port, because theirs was taken."
        )
        for service in report.services {
            page.sample("\(service.portsChanged)", ("service", service.name))
        }
    }

    private static func wire(_ counters: ProcessReport.Counters, on page: inout Page) {
        let sent = ("direction", "sent")
        let received = ("direction", "received")
        page.begin("wire_bytes_total", "counter", "Bytes of the tunnel's UDP payloads.")
        page.sample("\(counters.wireBytesSent)", sent)
        page.sample("\(counters.wireBytesReceived)", received)
        page.begin("packets_total", "counter", "Packets of the tunnel.")
        page.sample("\(counters.packetsSent)", sent)
        page.sample("\(counters.packetsReceived)", received)
        page.begin("packets_lost_total", "counter", "Sent packets declared lost.")
        page.sample("\(counters.packetsLost)")
        page.begin("packets_recovered_total", "counter", "Losses that redundancy made good.")
        page.sample("\(counters.packetsRecovered)")
        page.begin("redundancy_bytes_total", "counter", "Bytes spent on redundancy.")
        page.sample("\(counters.redundancyBytes)")
        page.begin("drops_total", "counter", "Packets, datagrams and openings thrown away.")
        for drop in counters.drops { page.sample("\(drop.count)", ("reason", drop.reason)) }
    }

    private static func backends(_ report: ProcessReport, on page: inout Page) {
        page.begin("backend_up", "gauge", "1 while a backend is alive, as far as is known.")
        Self.each(report, on: &page) { $0.isUp ? "1" : "0" }
        page.begin("backend_draining", "gauge", "1 while a backend gets nobody new by order.")
        Self.each(report, on: &page) { $0.isDraining ? "1" : "0" }
    }

    private static func each(
        _ report: ProcessReport,
        on page: inout Page,
        _ value: (ProcessReport.Backend) -> String
    ) {
        for service in report.services {
            for backend in service.backends {
                page.sample(
                    value(backend),
                    ("service", service.name),
                    ("backend", backend.address)
                )
            }
        }
    }

    private static func seconds(_ interval: Instant.Interval) -> String {
        Decimal.text(interval.nanoseconds, scale: 9)
    }

    /// A page as it grows, one metric after the other.
    private struct Page {
        var text = ""
        private var name = ""

        mutating func begin(_ name: String, _ kind: String, _ help: String) {
            self.name = "fairlead_\(name)"
            self.text += "# HELP \(self.name) \(help)\n# TYPE \(self.name) \(kind)\n"
        }

        mutating func sample(_ value: String, _ labels: (String, String)...) {
            self.text += self.name
            if !labels.isEmpty {
                let pairs = labels.map { "\($0.0)=\"\(Self.escaped($0.1))\"" }
                self.text += "{\(pairs.joined(separator: ","))}"
            }
            self.text += " \(value)\n"
        }

        /// What the format asks for: backslash, double quote and line feed.
        private static func escaped(_ text: String) -> String {
            var result = ""
            for scalar in text.unicodeScalars {
                switch scalar {
                case "\\": result += "\\\\"
                case "\"": result += "\\\""
                case "\n": result += "\\n"
                // The format knows no other escape: a backslash and what JSON would write.
                case _ where !PlainText.isPlain(scalar):
                    result += "\\" + PlainText.escaped(String(scalar))
                default: result.unicodeScalars.append(scalar)
                }
            }
            return result
        }
    }
}

/// Decimal fractions out of integers, exactly.
enum Decimal {
    /// `number` times 10 to the power of minus `scale`, without trailing zeros.
    static func text(_ number: UInt64, scale: Int) -> String {
        var digits = Array(String(number))
        if digits.count <= scale {
            digits.insert(
                contentsOf: String(repeating: "0", count: scale + 1 - digits.count),
                at: 0
            )
        }
        let whole = String(digits.dropLast(scale))
        var fraction = digits.suffix(scale)
        while fraction.last == "0" { fraction.removeLast() }
        return fraction.isEmpty ? whole : "\(whole).\(String(fraction))"
    }
}
