import Primitives
import Testing

@testable import Lab

@Suite struct SamplesTests {
    @Test func quantilesAreNearestRanks() {
        let samples = Samples((1...1_000).reversed().map(Double.init))
        #expect(samples.quantile(0) == 1)
        #expect(samples.quantile(0.5) == 500)
        #expect(samples.quantile(0.99) == 990)
        #expect(samples.quantile(0.999) == 999)
        #expect(samples.quantile(1) == 1_000)
        #expect(samples.median == 500.5)
    }

    @Test func noValuesHaveNoQuantile() {
        #expect(Samples([]).quantile(0.5) == nil)
        #expect(Samples([]).median == nil)
        #expect(Samples([7]).quantile(0.999) == 7)
    }

    /// The definition, counted out: the least value that a share of all does not exceed.
    @Test func quantilesAgreeWithCounting() {
        var random = SeededGenerator(seed: 5)
        for _ in 0..<200 {
            let count = 1 + Int(random.below(50))
            let values = (0..<count).map { _ in Double(random.below(20)) }
            let share = Double(random.below(1_001)) / 1_000
            let expected = values.sorted().first { candidate in
                Double(values.count { $0 <= candidate }) >= share * Double(count)
            }
            #expect(Samples(values).quantile(share) == expected)
        }
    }

    @Test(arguments: [
        (0.0, 1, "0.0"), (0.05, 1, "0.1"), (-1.25, 1, "-1.3"), (12.3456, 2, "12.35"),
        (999.96, 1, "1000.0"), (3.7, 0, "4"), (0.004, 2, "0.00"), (-0.001, 2, "0.00"),
    ])
    func decimals(value: Double, places: Int, text: String) {
        #expect(Decimal.text(value, places) == text)
    }

    @Test func latenessIsCountedInSteps() {
        var histogram = LatenessHistogram()
        for _ in 0..<99 { histogram.add(microseconds: 12) }
        histogram.add(microseconds: 1_000_000)
        #expect(histogram.quantileMicroseconds(0.5) == 15)
        #expect(histogram.quantileMicroseconds(0.99) == 15)
        #expect(histogram.quantileMicroseconds(1) == 100_000)
        #expect(histogram.maximumMicroseconds == 1_000_000)
    }
}
