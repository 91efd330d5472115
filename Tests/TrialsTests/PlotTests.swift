import Foundation
import Testing
import Trials

@Suite struct PlotTests {
    /// A change of the controller shows in what docs/CONGESTION.md shows.
    @Test func thePageShowsThisController() throws {
        let drawn = try Self.text("docs/plots/start.svg")
        #expect(drawn == CoursePlot.start.svg(), "stale: run make plots")
        #expect(drawn != CoursePlot.start.svg(seed: 2))
    }

    private static func text(_ path: String) throws -> String {
        let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
            .deletingLastPathComponent().deletingLastPathComponent()
        return try String(contentsOf: root.appendingPathComponent(path), encoding: .utf8)
    }

    @Test func everyPlotIsShown() throws {
        let page = try Self.text("docs/CONGESTION.md")
        for plot in CoursePlot.all { #expect(page.contains("(plots/\(plot.name).svg)")) }
    }
}
