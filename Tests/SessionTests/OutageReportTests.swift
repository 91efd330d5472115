import Primitives
import Testing

@testable import Session

@Suite struct OutageReportTests {
    private func told(_ seconds: ClosedRange<UInt64>, _ reports: inout OutageReports) -> [UInt64] {
        seconds.filter { second in
            reports.isNews(.serverSilent, at: Instant(nanoseconds: second * 1_000_000_000))
        }
    }

    @Test func tellsTheFirstAtOnceAndThenEverLessOften() {
        var reports = OutageReports()
        #expect(self.told(3...300, &reports) == [3, 8, 18, 38, 78, 138, 198, 258])
        reports.end()
        #expect(self.told(301...310, &reports) == [301, 306])
    }

    @Test func tellsAnotherReasonAtOnce() {
        var reports = OutageReports()
        let failures: [ConnectFailure] = [.serverSilent, .serverSilent, .unknownKey, .serverSilent]
        var told: [Bool] = []
        for failure in failures {
            told.append(reports.isNews(failure, at: Instant(nanoseconds: UInt64(told.count))))
        }
        #expect(told == [true, false, true, true])
    }
}
