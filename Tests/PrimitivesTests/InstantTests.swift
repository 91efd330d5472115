import Primitives
import Testing

/// Times end at the bounds of their type; none wraps to the other end.
@Suite struct InstantTests {
    private let longest = Instant.Interval(nanoseconds: .max)

    @Test func sumsEndAtTheEndOfTime() {
        #expect(Instant(nanoseconds: .max - 1) + .seconds(1) == .never)
        #expect(self.longest + .seconds(1) == self.longest)
        #expect(.seconds(1) + self.longest == self.longest)
        #expect(Instant.Interval.seconds(1) + .milliseconds(1) == .microseconds(1_001_000))
    }

    @Test func productsEndAtTheLongestInterval() {
        #expect(Instant.Interval(nanoseconds: 1 << 40) * (1 << 30) == self.longest)
        #expect(Instant.Interval.seconds(2) * 3 == .seconds(6))
    }

    @Test func differencesEndAtZero() {
        let start = Instant(nanoseconds: 5)
        #expect(start - .seconds(1) == Instant(nanoseconds: 0))
        #expect(start - Instant.Interval(nanoseconds: 2) == Instant(nanoseconds: 3))
        #expect(Instant.Interval.seconds(1) - .seconds(2) == .zero)
        #expect(start.since(start + .seconds(1)) == .zero)
    }
}
