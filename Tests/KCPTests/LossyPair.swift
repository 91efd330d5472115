import Primitives

@testable import KCP

/// Two conversations joined by a link that loses, delays, reorders and repeats, in virtual time.
struct LossyPair {
    struct Weather {
        var lossPercent: UInt64 = 0
        var repeatPercent: UInt64 = 0
        var delay: UInt64 = 10
        var jitter: UInt64 = 0
    }

    private struct Packet {
        var dueAt: UInt64
        var toBob: Bool
        var bytes: [UInt8]
    }

    let alice: StandaloneConversation
    let bob: StandaloneConversation
    var weather: Weather
    var now: UInt64
    private var generator: SeededGenerator
    private var underway: [Packet] = []
    private var scratch = [UInt8](repeating: 0, count: 65536)

    init(_ settings: StandaloneSettings, _ weather: Weather, seed: UInt64, now: UInt64 = 0) {
        self.init(settings, settings, weather, seed: seed, now: now)
    }

    init(
        _ alice: StandaloneSettings,
        _ bob: StandaloneSettings,
        _ weather: Weather,
        seed: UInt64,
        now: UInt64 = 0
    ) {
        self.alice = StandaloneConversation(alice)
        self.bob = StandaloneConversation(bob)
        self.weather = weather
        self.now = now
        self.generator = SeededGenerator(seed: seed)
    }

    var instant: Instant { Instant(nanoseconds: self.now * 1_000_000) }
    var isQuiet: Bool { self.underway.isEmpty }

    /// One millisecond: what is due arrives, timers run, what they make leaves.
    mutating func step() {
        self.now += 1
        let due = self.underway.filter { $0.dueAt <= self.now }
        self.underway.removeAll { $0.dueAt <= self.now }
        for packet in due {
            let receiver = packet.toBob ? self.bob : self.alice
            packet.bytes.withUnsafeBytes { _ = receiver.input($0, at: self.instant) }
        }
        self.drain(self.alice, toBob: true)
        self.drain(self.bob, toBob: false)
    }

    mutating func drain(_ sender: StandaloneConversation, toBob: Bool) {
        if sender.deadline <= self.instant { sender.update(at: self.instant) }
        while let bytes = sender.next(at: self.instant) {
            let copies = self.generator.chance(self.weather.repeatPercent, in: 100) ? 2 : 1
            for _ in 0..<copies where !self.generator.chance(self.weather.lossPercent, in: 100) {
                let jitter = self.generator.below(self.weather.jitter + 1)
                self.underway.append(
                    Packet(
                        dueAt: self.now + self.weather.delay + jitter,
                        toBob: toBob,
                        bytes: bytes
                    )
                )
            }
        }
    }
}

extension StandaloneConversation {
    func next(at now: Instant) -> [UInt8]? {
        withUnsafeTemporaryAllocation(byteCount: self.settings.maximumDatagram, alignment: 8) {
            buffer in self.nextDatagram(into: buffer, at: now).map { Array(buffer[..<$0]) }
        }
    }

    func send(_ bytes: some Sequence<UInt8>) -> Int? {
        Array(bytes).withUnsafeBytes { self.send($0) }
    }

    func receive(room: Int = 65536) -> [UInt8]? {
        withUnsafeTemporaryAllocation(byteCount: room, alignment: 8) { buffer in
            self.receive(into: buffer).map { Array(buffer[..<$0]) }
        }
    }

    @discardableResult
    func input(_ bytes: [UInt8], at now: Instant) -> InputOutcome {
        bytes.withUnsafeBytes { self.input($0, at: now) }
    }
}

enum Pattern {
    static func bytes(_ count: Int, seed: UInt64) -> [UInt8] {
        var generator = SeededGenerator(seed: seed)
        return (0..<count).map { _ in UInt8(truncatingIfNeeded: generator.next()) }
    }
}

extension StandaloneSettings {
    static func fast(_ change: (inout Self) -> Void = { _ in }) -> Self {
        var settings = Self(conversation: 7)
        settings.useFastMode()
        settings.isStream = true
        settings.sendWindow = 128
        change(&settings)
        return settings
    }
}
