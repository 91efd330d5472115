import Names
import Primitives
import Testing

@testable import Runtime

@Suite struct NameBookTests {
    private let start = Instant(nanoseconds: 1_000_000_000_000)
    private let question = NameQuestion.host("a.example", port: 1)

    private func answer(_ last: UInt32, seconds: UInt64) -> NameLookup.Outcome {
        let place = NameAnswer.Place(SocketAddress(ipv4: last, port: 1), target: "a.example")
        return .found(NameAnswer([place], timeToLive: .seconds(seconds)))
    }

    private func book() -> NameBook {
        var book = NameBook()
        book.want(["a": self.question], at: self.start)
        #expect(book.nextDue(at: self.start)?.name == "a")
        #expect(book.nextDue(at: self.start) == nil)
        return book
    }

    private func isChanged(_ news: NameBook.News) -> Bool {
        if case .changed = news { true } else { false }
    }

    private func isNothing(_ news: NameBook.News) -> Bool {
        if case .nothing = news { true } else { false }
    }

    @Test func asksAgainWhenTheTimeEndsWithinBounds() {
        for (seconds, wait) in [(0, 1_500), (1, 1_500), (30, 30_000), (999_999, 3_600_000)] {
            var book = self.book()
            #expect(book.deadline == .never)
            let news = book.settle("a", self.answer(1, seconds: UInt64(seconds)), at: self.start)
            #expect(self.isChanged(news))
            #expect(book.deadline == self.start + .milliseconds(UInt64(wait)))
        }
    }

    @Test func theSameAddressesInAnotherOrderAreNoNews() {
        var book = self.book()
        let (one, two) = (SocketAddress(ipv4: 1, port: 1), SocketAddress(ipv4: 2, port: 1))
        #expect(self.isChanged(book.settle("a", .found(NameAnswer([one, two])), at: self.start)))
        let later = self.start + .seconds(2)
        #expect(book.nextDue(at: later) != nil)
        #expect(self.isNothing(book.settle("a", .found(NameAnswer([two, one])), at: later)))
    }

    @Test func aFailureIsToldOnceAMinuteAndTriedAgainSoon() {
        var book = self.book()
        var told: [UInt64] = []
        for second in stride(from: UInt64(0), to: 130, by: 5) {
            let now = self.start + .seconds(second)
            if second > 0 { #expect(book.nextDue(at: now) != nil) }
            if case .failed = book.settle("a", .failed(cause: "x"), at: now) { told.append(second) }
            #expect(book.deadline == now + .seconds(5))
        }
        #expect(told == [0, 60, 120])
    }

    @Test func doubtAsksAtOnceButNotMoreThanOnceASecond() {
        var book = self.book()
        // What is being asked needs no other question.
        book.doubt("a", at: self.start)
        #expect(book.deadline == .never)
        _ = book.settle("a", self.answer(1, seconds: 600), at: self.start)
        book.doubt("a", at: self.start + .milliseconds(300))
        #expect(book.deadline == self.start + .seconds(1))
        let later = self.start + .seconds(20)
        book.doubt("a", at: later)
        book.doubt("unknown", at: later)
        #expect(book.deadline == self.start + .seconds(1))
        #expect(book.nextDue(at: later) != nil)
        #expect(self.isChanged(book.settle("a", self.answer(2, seconds: 600), at: later)))
        book.doubt("a", at: later + .seconds(9))
        #expect(book.deadline == later + .seconds(9))
    }

    @Test func whatIsWantedNoMoreIsForgottenAndTheRestKept() {
        var book = self.book()
        _ = book.settle("a", self.answer(1, seconds: 600), at: self.start)
        book.want(["a": self.question, "b": .service("_x._udp.b")], at: self.start)
        #expect(book.nextDue(at: self.start)?.name == "b")
        book.want(["a": self.question], at: self.start)
        #expect(self.isNothing(book.settle("b", self.answer(1, seconds: 1), at: self.start)))
        #expect(book.deadline == self.start + .seconds(600))
    }
}
