/// Lines over time in panels above each other, as SVG.
struct LinePlot {
    struct Line {
        var name: String
        var colour: String
        /// Seconds, and the panel's unit.
        var points: [(x: Double, y: Double)]
    }

    struct Panel {
        var label: String
        var height: Double
        var lines: [Line]
    }

    var title: String
    /// Seconds.
    var end: Double
    var panels: [Panel]

    private static let width = 760.0
    private static let left = 56.0
    private static let right = 16.0
    private static let gap = 28.0

    var svg: String {
        var top = 44.0
        var body = ""
        for panel in self.panels {
            body += self.draw(panel, top: top)
            top += panel.height + Self.gap
        }
        let height = Self.text(top + 8)
        return """
            <svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 760 \(height)" width="760" \
            height="\(height)" font-family="sans-serif" font-size="12">
            <title>\(self.title)</title>
            <rect width="100%" height="100%" fill="white"/>
            <text x="56" y="20" font-size="14">\(self.title)</text>
            \(body)<text x="744" y="\(Self.text(top))" text-anchor="end">seconds</text>
            </svg>

            """
    }

    private func draw(_ panel: Panel, top: Double) -> String {
        let peak = panel.lines.flatMap(\.points).map(\.y).max() ?? 0
        let step = Self.step(for: peak)
        let most = max(step, (peak / step).rounded(.up) * step)
        let bottom = top + panel.height
        let high = { (value: Double) in bottom - value / most * panel.height }
        let across = { (time: Double) in
            Self.left + time / self.end * (Self.width - Self.left - Self.right)
        }
        var text = ""
        for number in 0...Int(most / step) {
            let (value, y) = (Double(number) * step, Self.text(high(Double(number) * step)))
            text += "<path d=\"M\(Self.text(Self.left)) \(y)H744\" stroke=\"#e5e5e5\"/>\n"
            text += "<text x=\"50\" y=\"\(y)\" dy=\"4\" text-anchor=\"end\">"
            text += "\(Self.text(value))</text>\n"
        }
        let tick = Self.step(for: self.end)
        for number in 0...Int(self.end / tick) {
            let time = Double(number) * tick
            text += "<text x=\"\(Self.text(across(time)))\" y=\"\(Self.text(bottom + 14))\" "
            text += "text-anchor=\"middle\">\(Self.text(time))</text>\n"
        }
        text += "<text x=\"62\" y=\"\(Self.text(top - 4))\">\(panel.label)</text>\n"
        var legend = 744.0
        for line in panel.lines.reversed() {
            let points = line.points.map { point in
                "\(Self.text(across(point.x))),\(Self.text(high(point.y)))"
            }
            text += "<polyline fill=\"none\" stroke=\"\(line.colour)\" stroke-width=\"1.5\" "
            text += "points=\"\(points.joined(separator: " "))\"/>\n"
            guard !line.name.isEmpty else { continue }
            text += "<text x=\"\(Self.text(legend))\" y=\"\(Self.text(top - 4))\" "
            text += "text-anchor=\"end\" fill=\"\(line.colour)\">\(line.name)</text>\n"
            legend -= Double(line.name.count) * 7 + 16
        }
        return text
    }

    /// A round number of which three to seven reach `most`.
    private static func step(for most: Double) -> Double {
        var scale = 0.1
        while scale * 10 <= most { scale *= 10 }
        return [0.2, 0.5, 1, 2].map { $0 * scale }.first { most / $0 <= 6 } ?? scale
    }

    /// One digit after the point, or none.
    private static func text(_ value: Double) -> String {
        let tenths = Int((value * 10).rounded())
        return tenths % 10 == 0 ? "\(tenths / 10)" : "\(tenths / 10).\(abs(tenths % 10))"
    }
}
