import Netem
public import Primitives
import Session

extension Course {
    /// What a trial looks like at one moment.
    public struct Moment: Sendable {
        /// Since the trial began.
        public let at: Instant.Interval
        /// Bytes that the first load of each tunnel has brought so far.
        public let received: [UInt64]
        /// Bytes a second at which the server of each tunnel paces; 0 without a session.
        public let pacing: [UInt64]
        /// How long the newest packet towards the clients waited at the bottleneck, in
        /// milliseconds.
        public let queue: Double
        /// Bits a second that the bottleneck carries.
        public let capacity: UInt64
    }

    /// Runs the trial to the end of its duration and looks at it every `interval`.
    public func record(every interval: Instant.Interval) -> [Moment] {
        let end = Self.epoch + self.trial.warmUp + self.trial.duration
        self.beginMeasurement()
        var moments: [Moment] = []
        while self.now + interval <= end {
            self.advance(to: self.now + interval)
            moments.append(self.moment)
        }
        return moments
    }

    private var moment: Moment {
        let servers = self.sites.filter { !$0.isClient }
        return Moment(
            at: self.now.since(Self.epoch),
            received: self.outcome.tallies.map { $0[0].byteCount },
            pacing: servers.map {
                $0.engine.snapshot(at: self.now).sessions.first?.pacingRate ?? 0
            },
            queue: self.latestQueue[1],
            capacity: self.links[1].impairment.bitsPerSecond
        )
    }
}
