import Testing

@testable import Lab

@Suite struct SamplesTests {
    @Test func quantilesAreNearestRanks() {
        let samples = Samples((1...1_000).map(Double.init).shuffled())
        #expect(samples.quantile(0) == 1)
        #expect(samples.quantile(0.5) == 500)
        #expect(samples.quantile(0.99) == 990)
        #expect(samples.quantile(0.999) == 999)
        #expect(samples.quantile(1) == 1_000)
    }
}
