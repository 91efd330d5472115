import Primitives

/// One kind of hostile deed.
enum Move: UInt8, CaseIterable {
    case openStream, openFlow, openAndReset
    case segment, segmentAhead, part, close, window
    case datagram, bomb, fragment, brokenFragment, copies, repairTrain
    case path, spoofedAddress, reset, rate, unknown, malformed
    case replay, forgery, noise, initiation, initiationReplay
}

/// How a session acknowledges what it is sent.
enum AckHabit: UInt8, CaseIterable {
    case never
    case prompt
    /// After a time drawn anew for each from 1 ms to 4 s, each octave as likely.
    case erratic
    /// At once, now and then one packet of a flight alone, now and then nothing for seconds.
    case fitful
    /// Of what arrived, only the newest.
    case newest
    /// What has not arrived yet, too.
    case optimistic
}

/// What one session of an attacker does, drawn when it begins.
///
/// As with weather, each kind of deed is there or not by a coin of its own (swarm testing): an
/// attacker who did everything would be expelled before anything else was tried.
struct Tactic {
    var moves: [Move] = []
    var acks = AckHabit.prompt
    /// Keeps a download going.
    var isLeech = false
    /// Pause between bursts of packets, and how many packets those have at most.
    var pause = Instant.Interval.milliseconds(10)
    var burst: UInt64 = 1
    /// Answers the challenges that arrive, from wherever it is then.
    var answersChallenges = true
    /// One frame in so many has a bit flipped before it is sealed; 0: none.
    var flips: UInt64 = 0
    /// Says this when it leaves, or nothing.
    var saysGoodbye = false
    var lifetime = Instant.Interval.seconds(1)

    static func drawn(from dice: inout SeededGenerator) -> Self {
        var tactic = Self()
        let density = 1 + dice.below(3)
        tactic.moves = Move.allCases.filter { _ in dice.chance(density, in: 4) }
        if tactic.moves.isEmpty { tactic.moves = [.openStream] }
        tactic.acks = AckHabit.allCases[Int(dice.below(UInt64(AckHabit.allCases.count)))]
        tactic.isLeech = dice.chance(1, in: 2)
        tactic.pause = .microseconds(1_000 << dice.below(8))
        tactic.burst = 1 << dice.below(4)
        tactic.answersChallenges = dice.chance(3, in: 4)
        if dice.chance(1, in: 3) { tactic.flips = 1 << (2 + dice.below(6)) }
        tactic.saysGoodbye = dice.chance(1, in: 3)
        tactic.lifetime = .milliseconds(500 << dice.below(7))
        return tactic
    }

    func ackDelay(_ dice: inout SeededGenerator) -> Instant.Interval {
        switch self.acks {
        case .never: .seconds(1_000_000)
        case .fitful where dice.chance(1, in: 256): .milliseconds(1_000 << dice.below(5))
        case .fitful: .microseconds(dice.below(1_000))
        case .prompt, .newest, .optimistic: .milliseconds(1 + dice.below(10))
        case .erratic: .microseconds((1_000 << dice.below(12)) + dice.below(1_000))
        }
    }
}
