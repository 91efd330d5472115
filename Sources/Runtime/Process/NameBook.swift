import Names
import Primitives

/// Which names are wanted, what is known of them, and when each is asked for again: a state machine
/// without a clock.
struct NameBook {
    /// What is true for less is asked for again after this long: twice a second is what an idle
    /// process may wake up for.
    static let shortest = Instant.Interval.milliseconds(1_500)
    /// What is true for longer is asked for again after this long all the same.
    static let longest = Instant.Interval.seconds(3_600)
    /// From a question without an answer to the next.
    static let retry = Instant.Interval.seconds(5)
    /// From one question to the next where somebody is in need.
    static let leastPause = Instant.Interval.seconds(1)
    /// How often the same failure is told.
    private static let reminder = Instant.Interval.seconds(60)

    private struct Entry {
        let question: NameQuestion
        var answer: NameAnswer?
        /// ``Instant/never`` while it is being asked.
        var due: Instant
        var askedAt: Instant?
        var told: (cause: String, at: Instant)?
    }

    /// What came of a question.
    enum News {
        case nothing
        case changed(NameAnswer)
        /// Not found, which is worth a line in the log; the last answer stays in use.
        case failed(cause: String)
    }

    private var entries: [String: Entry] = [:]

    var names: [String] { Array(self.entries.keys) }

    var deadline: Instant { self.entries.values.reduce(.never) { min($0, $1.due) } }

    /// Wants these names from now on, and no others; those wanted before keep their answers.
    mutating func want(_ questions: [String: NameQuestion], at now: Instant) {
        let old = self.entries
        self.entries = questions.reduce(into: [:]) { entries, wanted in
            let before = old[wanted.key]
            entries[wanted.key] =
                before?.question == wanted.value
                ? before : Entry(question: wanted.value, due: now)
        }
    }

    /// Somebody found what `name` leads to dead.
    mutating func doubt(_ name: String, at now: Instant) {
        guard let entry = self.entries[name], entry.due != .never else { return }
        let soonest = entry.askedAt.map { $0 + Self.leastPause } ?? now
        self.entries[name]?.due = min(entry.due, max(now, soonest))
    }

    /// A name to ask for now; call until `nil`, and answer each with ``settle(_:_:at:)``.
    mutating func nextDue(at now: Instant) -> (name: String, question: NameQuestion)? {
        guard let (name, entry) = self.entries.first(where: { $0.value.due <= now }) else {
            return nil
        }
        self.entries[name]?.due = .never
        self.entries[name]?.askedAt = now
        return (name, entry.question)
    }

    /// What came of a question asked before; of a name that is wanted no more it is nothing.
    mutating func settle(
        _ name: String,
        _ outcome: NameLookup.Outcome,
        at now: Instant
    ) -> News {
        guard var entry = self.entries[name], entry.due == .never else { return .nothing }
        defer { self.entries[name] = entry }
        switch outcome {
        case .found(let answer):
            entry.due = now + min(max(answer.timeToLive, Self.shortest), Self.longest)
            entry.told = nil
            let whole = answer.completed(from: entry.answer)
            if !answer.missing.isEmpty { entry.due = min(entry.due, now + Self.retry) }
            // Servers rotate their answers; the order that is in use stays.
            if let old = entry.answer, old.isSame(as: whole) { return .nothing }
            entry.answer = whole
            return .changed(whole)
        case .failed(let cause):
            entry.due = now + Self.retry
            if let told = entry.told, told.cause == cause, now.since(told.at) < Self.reminder {
                return .nothing
            }
            entry.told = (cause, now)
            return .failed(cause: cause)
        }
    }
}
