import Netem
import Primitives

extension Report {
    /// The tables, each with its conditions.
    public var markdown: String {
        var parts = ["# \(self.scenario.name): \(self.scenario.title)", self.conditions]
        for measure in self.scenario.measures {
            for loss in self.losses {
                let pooled = self.pooled(measure, loss: loss)
                guard !pooled.isEmpty else { continue }
                let share = loss.map { ", \(Self.percent($0)) loss" } ?? ""
                parts += ["## \(Self.heading(measure))\(share)", Self.table(measure, pooled)]
            }
        }
        let missing =
            self.skipped.map { "* \($0.key.rawValue): \($0.value)" }.sorted()
            + self.failures.map { "* \($0)" }
        if !missing.isEmpty { parts += ["## Not measured", missing.joined(separator: "\n")] }
        return parts.joined(separator: "\n\n") + "\n"
    }

    private static func heading(_ measure: Measure) -> String {
        switch measure {
        case .echo: "A game's messages, alone"
        case .bulk: "One download"
        case .upload: "One upload"
        case .beside: "A game's messages beside a download"
        case .setup: "New connections"
        case .lookups: "Single questions, each from a new port"
        }
    }

    private static func table(_ measure: Measure, _ pooled: [PooledResult]) -> String {
        switch measure {
        case .echo, .lookups: self.echoTable(pooled)
        case .bulk, .upload: self.bulkTable(pooled)
        case .beside: self.besideTable(pooled)
        case .setup: self.setupTable(pooled)
        }
    }

    static func percent(_ partsPerMillion: UInt32) -> String {
        let places = partsPerMillion % 10_000 == 0 ? 0 : 2
        return Decimal.text(Double(partsPerMillion) / 10_000, places) + " %"
    }

    private var conditions: String {
        let seconds = { (interval: Instant.Interval) in
            Decimal.text(Double(interval.nanoseconds) / 1e9) + " s"
        }
        var lines = [
            "* up: \(Self.describe(self.scenario.up))",
            "* down: \(Self.describe(self.scenario.down))",
            "* measured \(seconds(self.scenario.duration)) after \(seconds(self.scenario.warmUp)), "
                + "seeds \(self.scenario.seeds) (an exchange alone: after at most 1 s)",
            "* \(self.scenario.echo.messagesPerSecond) messages a second of "
                + "\(self.scenario.echo.byteCount) bytes",
        ]
        for outage in self.scenario.timeline.outages {
            let length = outage.upperBound - outage.lowerBound
            lines.append(
                "* nothing passes for \(seconds(length)) after \(seconds(outage.lowerBound))"
            )
        }
        lines += self.scenario.timeline.changes.map { change in
            var words: [String] = []
            if let rate = change.bitsPerSecond {
                words.append("\(Decimal.text(Double(rate) / 1e6)) Mbit/s")
            }
            if let size = change.maximumPacketByteCount {
                words.append("packets up to \(size) bytes")
            }
            if change.rebinds { words.append("the NAT forgets its mappings") }
            return "* from \(seconds(change.at)) on: \(words.joined(separator: ", "))"
        }
        if self.scenario.idleStreams + self.scenario.stalledReaders > 0 {
            lines.append(
                "* meanwhile \(self.scenario.idleStreams) idle connections and "
                    + "\(self.scenario.stalledReaders) whose reader stalls"
            )
        }
        if self.scenario.stacks.contains(where: \.restoresOrigin) {
            lines.append(
                "* in the rows of `mmproxy` and `fairlead-origin` the backend checked that everyone"
            )
            lines.append("  came from the player's address")
        }
        lines += self.machine.map { "* \($0.0): \($0.1)" }
        let late = self.results.map(\.linkLatenessP99).max() ?? 0
        lines.append(
            "* the link released packets late by at most \(Decimal.text(late, 0)) µs (p99 of"
        )
        lines.append("  the worst run)")
        return lines.joined(separator: "\n")
    }

    private static func describe(_ link: Impairment) -> String {
        let milliseconds = { (interval: Instant.Interval) in
            Decimal.text(Double(interval.nanoseconds) / 1e6) + " ms"
        }
        let percent = { (parts: UInt32) in Decimal.text(Double(parts) / 10_000, 2) + " %" }
        var words = ["delay \(milliseconds(link.delay))"]
        if link.jitter > .zero {
            let order = link.jitterReorders ? "reordering" : "in order"
            words.append("jitter 0 to \(milliseconds(link.jitter)), \(order)")
        }
        if link.lossPartsPerMillion > 0 {
            words.append("loss \(percent(link.lossPartsPerMillion))")
        }
        if let bursts = link.bursts {
            words.append(
                "dead \(milliseconds(bursts.meanLength)) in \(milliseconds(bursts.meanGap))"
            )
        }
        if let chain = link.gilbertElliott {
            words.append("Gilbert-Elliott, \(percent(chain.toBadPartsPerMillion)) to bad")
            words.append("\(percent(chain.toGoodPartsPerMillion)) to good")
        }
        if link.duplicationPartsPerMillion > 0 {
            words.append("duplicates \(percent(link.duplicationPartsPerMillion))")
        }
        if link.reorderPartsPerMillion > 0 {
            words.append("reorders \(percent(link.reorderPartsPerMillion))")
        }
        if link.corruptionPartsPerMillion > 0 {
            words.append("corrupts \(percent(link.corruptionPartsPerMillion))")
        }
        if link.bitsPerSecond > 0 {
            words.append("\(Decimal.text(Double(link.bitsPerSecond) / 1e6)) Mbit/s")
            words.append("queue \(link.queueByteCount / 1_000) kB")
        }
        if link.maximumPacketByteCount < 65_535 {
            words.append("packets up to \(link.maximumPacketByteCount) bytes")
        }
        return words.joined(separator: ", ")
    }

    private static func table(_ head: [String], _ rows: [[String]]) -> String {
        let line = { (cells: [String]) in "| " + cells.joined(separator: " | ") + " |" }
        let rule = "|" + String(repeating: "---|", count: head.count)
        return ([line(head), rule] + rows.map(line)).joined(separator: "\n")
    }

    private static func latencies(_ pooled: PooledResult) -> [String] {
        let share = Double(pooled.undelivered) / Double(max(1, pooled.sent)) * 100
        return [0.5, 0.95, 0.99, 0.999].map { Decimal.text(pooled.answered.quantile($0)) } + [
            Decimal.text(pooled.answered.sorted.last),
            "\(pooled.undelivered) (\(Decimal.text(share, 2)) %)",
        ]
    }

    private static let latencyHead = ["p50 ms", "p95", "p99", "p99.9", "max", "undelivered"]

    private static func echoTable(_ pooled: [PooledResult]) -> String {
        let head =
            ["stack", "over", "n"] + self.latencyHead + ["wire B/msg", "CPU %", "link late µs"]
        return self.table(
            head,
            pooled.map { row in
                [row.stack.rawValue, row.stack.transport.rawValue, "\(row.sent)"]
                    + self.latencies(row) + [
                        Decimal.text(row.median(\.wireBytesPerMessage), 0),
                        Decimal.text(row.median(\.processorShare)),
                        Decimal.text(row.runs.map(\.linkLatenessP99).max(), 0),
                    ]
            }
        )
    }

    private static func bulkCells(_ row: PooledResult) -> [String] {
        [
            row.range { $0.goodput }, Decimal.text(row.median(\.wirePerGoodput), 2),
            Decimal.text(row.median(\.queueDrops).map { $0 * 100 }, 2),
            Decimal.text(row.median(\.longestGap), 0),
            Decimal.text(row.median(\.processorSecondsPerGB)),
        ]
    }

    private static let bulkHead = [
        "Mbit/s", "wire/goodput", "queue drops %", "longest gap ms", "CPU s/GB",
    ]

    private static func bulkTable(_ pooled: [PooledResult]) -> String {
        self.table(
            ["stack"] + self.bulkHead + ["link late µs"],
            pooled.map { row in
                [row.stack.rawValue] + self.bulkCells(row)
                    + [Decimal.text(row.runs.map(\.linkLatenessP99).max(), 0)]
            }
        )
    }

    private static func besideTable(_ pooled: [PooledResult]) -> String {
        self.table(
            ["stack", "over", "n"] + self.latencyHead + self.bulkHead,
            pooled.map { row in
                [row.stack.rawValue, row.stack.transport.rawValue, "\(row.sent)"]
                    + self.latencies(row) + self.bulkCells(row)
            }
        )
    }

    private static func setupTable(_ pooled: [PooledResult]) -> String {
        self.table(
            ["stack", "n", "failed", "p50 ms", "max", "from the start of its client, ms"],
            pooled.map { row in
                let all = row.runs.flatMap(\.setups)
                let samples = Samples(all.compactMap { $0 })
                return [
                    row.stack.rawValue, "\(all.count)", "\(all.count - samples.count)",
                    Decimal.text(samples.median), Decimal.text(samples.sorted.last),
                    row.range { $0.coldStart },
                ]
            }
        )
    }
}

extension Report {
    /// Everything, with the round trips of every message in the order they were sent.
    var json: JSONValue {
        let machine = self.machine.map { ($0.0, JSONValue.text($0.1)) }
        let skipped = self.skipped.map { ($0.key.rawValue, JSONValue.text($0.value)) }
        return .object([
            ("scenario", .text(self.scenario.name)), ("title", .text(self.scenario.title)),
            ("up", .text(Self.describe(self.scenario.up))),
            ("down", .text(Self.describe(self.scenario.down))),
            ("seconds", .number(Double(self.scenario.duration.nanoseconds) / 1e9)),
            ("machine", .object(machine)),
            ("skipped", .object(skipped.sorted { $0.0 < $1.0 })),
            ("failures", .list(self.failures.map { .text($0) })),
            ("runs", .list(self.results.map(Self.json))),
        ])
    }

    private static func json(_ run: RunResult) -> JSONValue {
        .object([
            ("stack", .text(run.stack.rawValue)), ("measure", .text(run.measure.rawValue)),
            ("seed", .integer(run.seed)),
            ("loss", .optional(run.loss.map { Double($0) / 1e6 })),
            ("load_average", .text(run.loadAverage)),
            ("link_late_p99_us", .number(run.linkLatenessP99)),
            ("link_late_max_us", .number(run.linkLatenessMaximum)),
            ("duplicates", .integer(UInt64(run.duplicates))),
            ("wire_bytes_per_message", .optional(run.wireBytesPerMessage)),
            ("goodput_mbps", .optional(run.goodput)),
            ("wire_per_goodput", .optional(run.wirePerGoodput)),
            ("queue_drops", .optional(run.queueDrops)),
            ("longest_gap_ms", .optional(run.longestGap)),
            ("cpu_s_per_gb", .optional(run.processorSecondsPerGB)),
            ("cpu_percent", .optional(run.processorShare)),
            ("cold_start_ms", .optional(run.coldStart)),
            ("setup_ms", .list(run.setups.map { .optional($0) })),
            ("round_trips_ms", .list(run.roundTrips.map { .optional($0) })),
        ])
    }
}
