import Netem
import Primitives

extension Report {
    /// The plots with the names of their files.
    var plots: [(name: String, text: String)] {
        self.scenario.losses.isEmpty
            ? self.latencyPlots + self.goodputPlots : self.plotsOverLoss
    }

    private var latencyPlots: [(name: String, text: String)] {
        [(Measure.echo, "alone"), (.beside, "beside a download")].compactMap { measure, words in
            let pooled = self.pooled(measure)
            guard pooled.contains(where: { !$0.answered.sorted.isEmpty }) else { return nil }
            let curves = pooled.map {
                LatencyPlot.Curve(name: $0.stack.rawValue, samples: $0.answered, sent: $0.sent)
            }
            let plot = LatencyPlot(
                title: "\(self.scenario.name): round trip of a game's messages, \(words)",
                curves: curves,
                floor: self.scenario.baseRoundTrip
            )
            return ("latency-\(measure.rawValue).svg", plot.svg)
        }
    }

    private var goodputPlots: [(name: String, text: String)] {
        [Measure.bulk, .upload, .beside].compactMap { measure in
            let bars = self.pooled(measure).compactMap { pooled in
                pooled.median(\.goodput).map {
                    BarPlot.Bar(
                        name: pooled.stack.rawValue,
                        value: $0,
                        note: "wire/goodput " + Decimal.text(pooled.median(\.wirePerGoodput), 2)
                    )
                }
            }
            guard !bars.isEmpty else { return nil }
            let link = measure == .upload ? self.scenario.up : self.scenario.down
            let plot = BarPlot(
                title: "\(self.scenario.name): goodput of one \(Self.noun(measure)), Mbit/s",
                bars: bars,
                limit: link.bitsPerSecond > 0 ? Double(link.bitsPerSecond) / 1e6 : nil
            )
            return ("goodput-\(measure.rawValue).svg", plot.svg)
        }
    }

    private static func noun(_ measure: Measure) -> String {
        measure == .upload ? "upload" : "download"
    }

    /// Goodput, tail, losses and bytes of the measures over the random loss of the link.
    private var plotsOverLoss: [(name: String, text: String)] {
        var plots: [(name: String, text: String)] = []
        for measure in self.scenario.measures {
            let rows: [(String, String, (PooledResult) -> Double?)] =
                switch measure {
                case .bulk, .upload, .beside:
                    [
                        (
                            "goodput-over-loss-\(measure.rawValue)",
                            "goodput of one \(Self.noun(measure)), Mbit/s",
                            { $0.median(\.goodput) }
                        )
                    ]
                case .echo:
                    [
                        (
                            "redundancy-over-loss", "IP bytes for a message and its answer",
                            { $0.median(\.wireBytesPerMessage) }
                        ),
                        (
                            "tail-over-loss", "p99 of the round trip, ms",
                            { $0.answered.quantile(0.99) }
                        ),
                        (
                            "undelivered-over-loss", "undelivered, %",
                            { Double($0.undelivered) / Double(max(1, $0.sent)) * 100 }
                        ),
                    ]
                case .setup, .lookups: []
                }
            for (name, title, value) in rows {
                plots.append(("\(name).svg", self.plot(measure, title, value).svg))
            }
        }
        return plots
    }

    private func plot(
        _ measure: Measure,
        _ title: String,
        _ value: (PooledResult) -> Double?
    ) -> LinePlot {
        var lines: [LinePlot.Line] = []
        for stack in self.scenario.stacks where stack.supports(measure) {
            var line = LinePlot.Line(name: stack.rawValue, points: [])
            for loss in self.scenario.losses {
                let pooled = self.pooled(measure, loss: loss).first { $0.stack == stack }
                guard let y = pooled.flatMap(value) else { continue }
                line.points.append((Double(loss) / 10_000, y))
            }
            if !line.points.isEmpty { lines.append(line) }
        }
        return LinePlot(
            title: "\(self.scenario.name): \(title)",
            abscissa: "random loss each way, %",
            lines: lines
        )
    }
}
