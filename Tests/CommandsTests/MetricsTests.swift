import Foundation
import LinuxIO
import Primitives
import Sealing
import Testing

@testable import Admin
@testable import Commands
@testable import Daemons
@testable import Runtime
@testable import Session

@Suite struct MetricsTests {
    @Test func theNamesOfTheContractStay() {
        let lines = Self.page(ProcessSample.status).split(separator: "\n").map(String.init)
        let expected = [
            "fairlead_build_info{version=\"\(Release.version)\",role=\"server\"} 1",
            "fairlead_sessions 1",
            "fairlead_sessions_post_quantum 1",
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
            "fairlead_drops_total{reason=\"replayed\"} 1",
            "fairlead_drops_total{reason=\"malformed\"} 0",
            "fairlead_rtt_seconds 0.012345",
            "fairlead_backend_up{service=\"voice\",backend=\"10.0.0.5:1\"} 1",
            "fairlead_backend_up{service=\"voice\",backend=\"[2001:db8::6]:1\"} 0",
            "fairlead_backend_draining{service=\"voice\",backend=\"10.0.0.5:1\"} 1",
            "fairlead_session_rtt_seconds{peer=\"edge\",address=\"192.0.2.1:4600\"} 0.012345",
        ]
        for line in expected { #expect(lines.contains(line), "\(line)") }
    }

    /// Every sample stands under the TYPE and HELP of its own name, each told once.
    @Test func thePageIsWellFormed() {
        let page = Self.page(ProcessSample.status)
        #expect(page.hasSuffix("\n"))
        var current = ""
        var (seen, labels): (Set<String>, Set<String>) = ([], [])
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
                let sample = line.split(separator: " ").dropLast().joined()
                #expect(labels.insert(sample).inserted, "\(line)")
            }
        }
    }

    /// A total that nobody wrote into a table would be counted and never seen.
    @Test func everyNumberThatIsCountedReachesThePage() {
        let status = ProcessSample.status
        Self.expect(EngineCounters.metrics, toHold: EngineCounters(), but: ["drops"])
        Self.expect(UDPCounters.metrics, toHold: UDPCounters())
        Self.expect(SessionSnapshot.metrics, toHold: status.sessions[0], but: SessionSnapshot.words)
        Self.expect(ServiceTally.metrics, toHold: status.services[0], but: ["name", "backends"])
        // Whoever is gone is left out.
        let backend = status.services[0].backends[0]
        Self.expect(BackendTally.metrics, toHold: backend, but: ["address", "isGone"])
        // Lists have metrics of their own; `flows` are those of all services.
        let elsewhere = [
            "role", "reason", "listen", "sessions", "services", "counters", "tunnelSockets",
            "drops", "refusals", "flows",
        ]
        Self.expect(ProcessStatus.metrics, toHold: status, but: elsewhere)
        let shown = Set(ProcessSample.status.drops.map(\.reason))
        #expect(shown == Set(ProcessStatus.dropReasons.map(\.label)))
    }

    /// The names of `source`'s stored properties are those of the table's fields and of `others`.
    private static func expect<Source>(
        _ table: MetricTable<Source>,
        toHold source: Source,
        but others: [String] = [],
        at location: SourceLocation = #_sourceLocation
    ) {
        let paths = table.rows.flatMap(\.fields).map { "\($0.field.path)" }
        let fields = Set(paths.map { $0.split(separator: ".").last.map(String.init) ?? $0 })
        let stored = Set(Mirror(reflecting: source).children.compactMap(\.label))
        let lost = stored.subtracting(fields).subtracting(others)
        #expect(lost.isEmpty, "\(Source.self) counts what no page shows", sourceLocation: location)
        let gone = Set(others).subtracting(stored)
        #expect(gone.isEmpty, "\(Source.self) no longer has", sourceLocation: location)
    }

    /// Each number is set to one of its own, and is found again under its name.
    @Test func eachNumberIsShownUnderItsOwnName() {
        var status = ProcessSample.status
        var expected: [String] = []
        var number: UInt64 = 770_000_000
        func fill<Source>(
            _ table: MetricTable<Source>,
            _ labels: String,
            _ at: WritableKeyPath<ProcessStatus, Source>
        ) {
            for (row, descriptor) in zip(table.rows, table.descriptors) {
                for (value, field) in row.fields {
                    number += 1
                    switch field {
                    case .total(let path): status[keyPath: at][keyPath: path] = number
                    case .level(let path): status[keyPath: at][keyPath: path] = Int(number)
                    default: continue
                    }
                    let split = value.map { "\(descriptor.split ?? "")=\"\($0)\"" }
                    let all = [labels, split ?? ""].filter { !$0.isEmpty }.joined(separator: ",")
                    let name = "fairlead_\(descriptor.name)" + (all.isEmpty ? "" : "{\(all)}")
                    expected.append("\(name) \(number)")
                }
            }
        }
        fill(EngineCounters.metrics, "", \.counters)
        fill(UDPCounters.metrics, "", \.tunnelSockets)
        fill(
            SessionSnapshot.metrics,
            "peer=\"edge\",address=\"192.0.2.1:4600\"",
            \.sessions[0]
        )
        fill(ServiceTally.metrics, "service=\"voice\"", \.services[0])
        fill(
            BackendTally.metrics,
            "service=\"voice\",backend=\"10.0.0.5:1\"",
            \.services[0].backends[0]
        )
        #expect(expected.count == 19)
        let lines = Set(Self.page(status).split(separator: "\n").map(String.init))
        for line in expected { #expect(lines.contains(line), "\(line)") }
        let json = StatusPage.json(ProcessReport(status))
        #expect(json.contains("\"send_refused\":\(status.tunnelSockets.sendRefused),"))
    }

    @Test func addsUpWhatWorkersSay() {
        var sum = ProcessSample.status
        sum.add(ProcessSample.snapshot)
        #expect(sum.counters.packetsSent == 20)
        #expect(sum.tunnelSockets.sendTooLarge == 12)
        #expect(sum.services[0].portsChanged == 8)
        #expect(sum.services[0].backends[0].flows == 4)
        #expect(sum.heldByteCount == 2 * 4_096)
        #expect(sum.drops.first { $0.reason == "replayed" }?.count == 2)
        // Two samples with the same labels are one too many for Prometheus.
        sum.sessions[1].silence = .milliseconds(1)
        sum.sessions[1].congestionWindow = 5
        let lines = Self.page(sum).split(separator: "\n").filter {
            $0.hasPrefix("fairlead_session_congestion_window_bytes{")
        }
        #expect(lines.count == 1)
        #expect(lines.first?.hasSuffix(" 5") == true)
    }

    @Test func thePageOfTheDocumentsIsMadeOfTheTables() throws {
        let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
            .deletingLastPathComponent().deletingLastPathComponent()
        let file = root.appendingPathComponent("docs/METRICS.md")
        let page = try String(contentsOf: file, encoding: .utf8)
        #expect(page == MetricsReference.markdown, "stale: run make docs")
        for descriptor in ProcessStatus.descriptors {
            #expect(page.contains("| `fairlead_\(descriptor.name)` |"), "\(descriptor.name)")
            #expect(descriptor.help.last == ".")
        }
    }

    @Test(.enabled(if: Promtool.path != nil, "needs promtool: apt-get install prometheus"))
    func promtoolAgrees() throws {
        let answer = try Promtool.check(Self.page(ProcessSample.status))
        #expect(answer.status == 0, "\(answer.errors)")
        #expect(answer.errors.isEmpty)
        let wrong = try Promtool.check("# TYPE fairlead_x counter\nfairlead_x 1\n")
        #expect(wrong.status != 0)
    }

    private static func page(_ status: ProcessStatus) -> String {
        MetricsPage.render(ProcessReport(status).metrics)
    }
}

extension SessionSnapshot {
    /// What is not a number.
    fileprivate static let words = ["peer", "address", "cipher"]
}

/// Prometheus' own check, where it is installed.
private enum Promtool {
    static let path = ["/usr/bin/promtool", "/usr/local/bin/promtool"].first {
        FileManager.default.isExecutableFile(atPath: $0)
    }

    static func check(_ page: String) throws -> (status: Int32, errors: String) {
        let folder = try TemporaryFolder()
        try folder.write(page, to: "page")
        let process = Process()
        process.executableURL = URL(fileURLWithPath: try #require(Self.path))
        process.arguments = ["check", "metrics"]
        process.standardInput = FileHandle(forReadingAtPath: folder.file("page"))
        let errors = Pipe()
        process.standardError = errors
        process.standardOutput = errors
        try process.run()
        let text = try errors.fileHandleForReading.readToEnd() ?? Data()
        process.waitUntilExit()
        return (process.terminationStatus, String(decoding: text, as: UTF8.self))
    }
}

/// A server with one session, one service and two backends.
enum ProcessSample {
    static let snapshot: WorkerSnapshot = {
        var counters = EngineCounters()
        counters.packetsSent = 10
        counters.packetsReceived = 20
        counters.wireBytesSent = 1_000
        counters.wireBytesReceived = 2_000
        counters.packetsLost = 1
        counters.packetsRecovered = 2
        counters.redundancyBytes = 300
        counters.drops.count(.replayed)
        var sockets = UDPCounters()
        sockets.sendRefused = 5
        sockets.sendTooLarge = 6
        sockets.receiveErrors = 7
        var voice = ServiceTally(name: "voice")
        voice.streams = 1
        voice.flows = 2
        voice.bytesUp = 1_234_567
        voice.bytesDown = 89
        voice.portsChanged = 4
        voice.backends = ["10.0.0.5:1", "[2001:db8::6]:1"].map { BackendTally(address: $0) }
        voice.backends[0].isDraining = true
        voice.backends[0].flows = 2
        voice.backends[1].isUp = false
        let engine = EngineSnapshot(
            sessions: [Self.session],
            counters: counters,
            streams: 3,
            flows: 2,
            bufferedByteCount: 8_192,
            heldByteCounts: [4_096],
            unaccountedByteCounts: [0]
        )
        return WorkerSnapshot(
            engine: engine,
            services: [voice],
            tunnelSockets: sockets,
            isSessionUp: true,
            isSessionInDoubt: false,
            drops: Tallies().drops
        )
    }()

    private static let session = SessionSnapshot(
        peer: "edge",
        address: SocketAddress(ipv4: 0xC000_0201, port: 4600),
        roundTrip: .microseconds(12_345),
        lossRate: 0.025,
        cipher: .aes256GCM,
        streams: 3,
        flows: 2,
        packetSize: 1_452,
        congestionWindow: 65_536,
        pacingRate: 1_000_000,
        age: .seconds(60),
        silence: .milliseconds(5_250),
        wireBytesSent: 3_000_000,
        wireBytesReceived: 4_000_000,
        isPostQuantum: true
    )

    static let status: ProcessStatus = {
        var status = ProcessStatus(role: .server, uptime: .seconds(93_784), listen: [])
        status.add(Self.snapshot)
        status.isReady = true
        status.reason = "ok"
        return status
    }()
}
