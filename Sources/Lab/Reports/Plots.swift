import Glibc

/// Distribution functions of round trips, with the tail pulled apart.
///
/// Equal steps upwards are 90 %, 99 % and 99.9 % of all messages sent. A curve that ends early ends
/// at its share of answers.
struct LatencyPlot {
    struct Curve {
        var name: String
        var samples: Samples
        /// Messages sent, answered or not.
        var sent: Int
    }

    var title: String
    var curves: [Curve]
    /// The round trip of the empty path, in milliseconds.
    var floor: Double

    private static let shares = [0.0, 0.5, 0.9, 0.99, 0.999]
    private static let left = 60.0
    private static let right = 700.0
    private static let top = 40.0
    private static let bottom = 360.0

    /// −log₁₀ of what is still missing, cut at three nines.
    private static func height(_ share: Double) -> Double {
        let nines = min(3, -log10(max(1 - share, 1e-9)))
        return Self.bottom - nines / 3 * (Self.bottom - Self.top)
    }

    /// From the path's own round trip to the worst 99.9th percentile, at most eight times as long.
    private var range: ClosedRange<Double> {
        let worst = self.curves.compactMap { $0.samples.quantile(0.999) }.max() ?? self.floor
        let least = (self.floor * 0.9).rounded(.down)
        return least...max(least + 5, min(worst * 1.05, max(self.floor * 8, 50)))
    }

    var svg: String {
        let range = self.range
        let place = { (value: Double) in
            let share = (value - range.lowerBound) / (range.upperBound - range.lowerBound)
            return Self.left + share * (Self.right - Self.left)
        }
        var drawing = Drawing(width: 860, height: 410)
        drawing.text(self.title, x: Self.left, y: 24, size: 14)
        for share in Self.shares {
            let y = Self.height(share)
            drawing.line(from: (Self.left, y), to: (Self.right, y), stroke: "#dddddd")
            let label = Decimal.text(share * 100, share == 0.999 ? 1 : 0) + " %"
            drawing.text(label, x: Self.left - 6, y: y + 4, size: 11, anchor: .end)
        }
        for tick in Axis.ticks(range) {
            let x = place(tick)
            drawing.line(from: (x, Self.top), to: (x, Self.bottom), stroke: "#eeeeee")
            let label = Decimal.text(tick, tick == tick.rounded() ? 0 : 1)
            drawing.text(label, x: x, y: Self.bottom + 16, size: 11, anchor: .middle)
        }
        drawing.text("round trip, ms", x: Self.right, y: Self.bottom + 34, size: 11, anchor: .end)
        for (index, curve) in self.curves.enumerated() {
            let colour = Drawing.colour(index)
            drawing.curve(Self.points(curve, range).map { (place($0.x), $0.y) }, stroke: colour)
            let y = Self.top + 18 * Double(index) + 8
            drawing.line(from: (Self.right + 12, y), to: (Self.right + 32, y), stroke: colour)
            drawing.rectangle(x: Self.right + 12, y: y - 2, width: 20, height: 4, fill: colour)
            drawing.text(curve.name, x: Self.right + 38, y: y + 4, size: 12)
        }
        return drawing.svg
    }

    /// At most about two hundred points, closer together towards the tail.
    private static func points(
        _ curve: Curve,
        _ range: ClosedRange<Double>
    ) -> [(x: Double, y: Double)] {
        let values = curve.samples.sorted
        guard curve.sent > 0, let first = values.first else { return [] }
        var points = [(x: min(max(first, range.lowerBound), range.upperBound), y: Self.height(0))]
        var lastHeight = Double.infinity
        for (index, value) in values.enumerated() {
            let height = Self.height(Double(index + 1) / Double(curve.sent))
            let isLast = index == values.count - 1 || value > range.upperBound
            guard isLast || lastHeight - height >= 1.6 else { continue }
            lastHeight = height
            let x = min(max(value, range.lowerBound), range.upperBound)
            points.append((x, height))
            if value > range.upperBound { break }
        }
        return points
    }
}

/// Horizontal bars of one quantity.
struct BarPlot {
    struct Bar {
        var name: String
        var value: Double
        var note: String
    }

    var title: String
    var bars: [Bar]
    /// Drawn as a line: what the path could carry.
    var limit: Double?

    var svg: String {
        let (left, right, top, step) = (130.0, 640.0, 44.0, 28.0)
        let bottom = top + step * Double(self.bars.count)
        let most = max(self.bars.map(\.value).max() ?? 1, self.limit ?? 0, 1e-6)
        let place = { (value: Double) in left + value / (most * 1.02) * (right - left) }
        var drawing = Drawing(width: 860, height: bottom + 36)
        drawing.text(self.title, x: left, y: 24, size: 14)
        for tick in Axis.ticks(0...most) {
            let x = place(tick)
            drawing.line(from: (x, top), to: (x, bottom), stroke: "#eeeeee")
            let label = Decimal.text(tick, tick == tick.rounded() ? 0 : 1)
            drawing.text(label, x: x, y: bottom + 16, size: 11, anchor: .middle)
        }
        for (index, bar) in self.bars.enumerated() {
            let y = top + step * Double(index)
            drawing.rectangle(
                x: left,
                y: y + 4,
                width: place(bar.value) - left,
                height: step - 8,
                fill: Drawing.colour(index)
            )
            drawing.text(bar.name, x: left - 8, y: y + 18, anchor: .end)
            let label = "\(Decimal.text(bar.value)), \(bar.note)"
            drawing.text(label, x: right + 12, y: y + 18, size: 11)
        }
        if let limit = self.limit {
            let x = place(limit)
            drawing.line(from: (x, top - 6), to: (x, bottom), stroke: "#555555", isDashed: true)
        }
        return drawing.svg
    }
}

/// One quantity of several stacks over another.
struct LinePlot {
    struct Line {
        var name: String
        var points: [(x: Double, y: Double)]
    }

    var title: String
    var abscissa: String
    var lines: [Line]

    var svg: String {
        let (left, right, top, bottom) = (60.0, 660.0, 40.0, 360.0)
        let all = self.lines.flatMap(\.points)
        let mostX = max(all.map(\.x).max() ?? 1, 1e-6)
        let mostY = max(all.map(\.y).max() ?? 1, 1e-6) * 1.05
        let place = { (point: (x: Double, y: Double)) in
            (
                left + point.x / mostX * (right - left),
                bottom - point.y / mostY * (bottom - top)
            )
        }
        var drawing = Drawing(width: 860, height: 410)
        drawing.text(self.title, x: left, y: 24, size: 14)
        for tick in Axis.ticks(0...mostY) {
            let y = place((0, tick)).1
            drawing.line(from: (left, y), to: (right, y), stroke: "#dddddd")
            drawing.text(Self.label(tick), x: left - 6, y: y + 4, size: 11, anchor: .end)
        }
        for tick in Axis.ticks(0...mostX) {
            let x = place((tick, 0)).0
            drawing.line(from: (x, top), to: (x, bottom), stroke: "#eeeeee")
            drawing.text(Self.label(tick), x: x, y: bottom + 16, size: 11, anchor: .middle)
        }
        drawing.text(self.abscissa, x: right, y: bottom + 34, size: 11, anchor: .end)
        for (index, line) in self.lines.enumerated() {
            let colour = Drawing.colour(index)
            let points = line.points.map(place)
            drawing.curve(points.map { (x: $0.0, y: $0.1) }, stroke: colour)
            for point in points {
                let corner = (point.0 - 2.5, point.1 - 2.5)
                drawing.rectangle(x: corner.0, y: corner.1, width: 5, height: 5, fill: colour)
            }
            let y = top + 18 * Double(index) + 8
            drawing.rectangle(x: right + 12, y: y - 2, width: 20, height: 4, fill: colour)
            drawing.text(line.name, x: right + 38, y: y + 4, size: 12)
        }
        return drawing.svg
    }

    private static func label(_ tick: Double) -> String {
        Decimal.text(tick, tick == tick.rounded() ? 0 : 1)
    }
}
