/// A picture in SVG 1.1, written element by element.
struct Drawing {
    let width: Double
    let height: Double
    private var elements: [String] = []

    init(width: Double, height: Double) {
        self.width = width
        self.height = height
        self.rectangle(x: 0, y: 0, width: width, height: height, fill: "#ffffff")
    }

    enum Anchor: String {
        case start
        case middle
        case end
    }

    mutating func rectangle(x: Double, y: Double, width: Double, height: Double, fill: String) {
        self.elements.append(
            "<rect x=\"\(Self.place(x))\" y=\"\(Self.place(y))\" width=\"\(Self.place(width))\""
                + " height=\"\(Self.place(height))\" fill=\"\(fill)\"/>"
        )
    }

    mutating func line(
        from start: (x: Double, y: Double),
        to end: (x: Double, y: Double),
        stroke: String,
        isDashed: Bool = false
    ) {
        let dashes = isDashed ? " stroke-dasharray=\"4 3\"" : ""
        self.elements.append(
            "<line x1=\"\(Self.place(start.x))\" y1=\"\(Self.place(start.y))\""
                + " x2=\"\(Self.place(end.x))\" y2=\"\(Self.place(end.y))\""
                + " stroke=\"\(stroke)\"\(dashes)/>"
        )
    }

    mutating func curve(_ points: [(x: Double, y: Double)], stroke: String) {
        let text = points.map { "\(Self.place($0.x)),\(Self.place($0.y))" }
        self.elements.append(
            "<polyline points=\"\(text.joined(separator: " "))\" fill=\"none\""
                + " stroke=\"\(stroke)\" stroke-width=\"1.8\"/>"
        )
    }

    mutating func text(
        _ text: String,
        x: Double,
        y: Double,
        size: Double = 12,
        anchor: Anchor = .start
    ) {
        self.elements.append(
            "<text x=\"\(Self.place(x))\" y=\"\(Self.place(y))\" font-size=\"\(Self.place(size))\""
                + " text-anchor=\"\(anchor.rawValue)\">\(Self.escaped(text))</text>"
        )
    }

    var svg: String {
        let size = "width=\"\(Self.place(self.width))\" height=\"\(Self.place(self.height))\""
        let box = "viewBox=\"0 0 \(Self.place(self.width)) \(Self.place(self.height))\""
        let head = "<svg xmlns=\"http://www.w3.org/2000/svg\" \(size) \(box)"
        return "\(head) font-family=\"sans-serif\" fill=\"#222222\">\n"
            + self.elements.joined(separator: "\n") + "\n</svg>\n"
    }

    /// Colours that stay apart for most kinds of colour blindness (Okabe and Ito, 2008; the last
    /// four from Paul Tol's muted scheme).
    static func colour(_ index: Int) -> String {
        let colours = [
            "#000000", "#e69f00", "#56b4e9", "#009e73", "#cc79a7", "#0072b2", "#d55e00", "#999999",
            "#882255", "#44aa99", "#ddcc77", "#332288",
        ]
        return colours[index % colours.count]
    }

    private static func place(_ value: Double) -> String {
        let text = Decimal.text(value, 1)
        return text.hasSuffix(".0") ? String(text.dropLast(2)) : text
    }

    private static func escaped(_ text: String) -> String {
        var result = ""
        for character in text {
            switch character {
            case "<": result += "&lt;"
            case ">": result += "&gt;"
            case "&": result += "&amp;"
            case "\"": result += "&quot;"
            default: result.append(character)
            }
        }
        return result
    }
}

/// Marks of an axis at round numbers.
enum Axis {
    /// Steps of 1, 2 or 5 times a power of ten that cut `range` into at most ten.
    static func ticks(_ range: ClosedRange<Double>) -> [Double] {
        let length = range.upperBound - range.lowerBound
        guard length > 0 else { return [range.lowerBound] }
        var step = 1e-3
        let factors = [2.0, 2.5, 2.0]
        var turn = 0
        while length / step > 10 {
            step *= factors[turn % 3]
            turn += 1
        }
        var ticks: [Double] = []
        var tick = (range.lowerBound / step).rounded(.up) * step
        while tick <= range.upperBound + step * 1e-6 {
            ticks.append(tick)
            tick += step
        }
        return ticks
    }
}
