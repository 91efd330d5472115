public import Primitives

/// When one backend is asked next, and since when an answer is awaited.
struct ProbeTimer {
    var due = Instant.never
    /// ``Instant/never`` while no probe is under way.
    var overdue = Instant.never

    var next: Instant { min(self.due, self.overdue) }
}

extension BackendSet {
    /// A backend to probe now; call until `nil`.
    ///
    /// Each is answered with ``probed(_:isAlive:at:)``.
    ///
    /// One that is not answered within ``HealthRules/timeout`` has failed without being told so.
    public func nextProbe(at now: Instant) -> Int? {
        guard now >= self.nextProbeWork else { return nil }
        for index in self.places.indices where now >= self.places[index].probe.due {
            self.places[index].probe.due = .never
            self.places[index].probe.overdue = now + self.rules.timeout
            self.findNextProbeWork()
            return index
        }
        return nil
    }

    /// What came of a probe.
    ///
    /// An answer that comes too late, or unasked, is ignored.
    public func probed(_ index: Int, isAlive: Bool, at now: Instant) {
        guard self.places[index].probe.overdue != .never else { return }
        self.settle(index, isAlive: isAlive, at: now)
        self.findNextProbeWork()
    }

    /// Whether a probe of this backend awaits its answer.
    public func isProbing(_ index: Int) -> Bool {
        self.places[index].probe.overdue != .never
    }

    /// A backend is not where it was: it is asked at once, and what was asked counts no more.
    public func probeSoon(_ index: Int, at now: Instant) {
        guard self.rules.isProbed, !self.places[index].isGone else { return }
        self.places[index].probe.overdue = .never
        self.places[index].probe.due = now
        self.findNextProbeWork()
    }

    func spreadProbes(at now: Instant) {
        // All at once would be a burst every interval, on a set of any size.
        let step = self.rules.interval / UInt64(max(1, self.places.count))
        for index in self.places.indices {
            self.places[index].probe.due = now + step * UInt64(index)
        }
        self.findNextProbeWork()
    }

    func expireProbes(at now: Instant) {
        for index in self.places.indices where now >= self.places[index].probe.overdue {
            self.settle(index, isAlive: false, at: now)
        }
        self.findNextProbeWork()
    }

    private func settle(_ index: Int, isAlive: Bool, at now: Instant) {
        self.places[index].probe.overdue = .never
        self.places[index].probe.due =
            self.places[index].isGone ? .never : now + self.rules.interval
        self.change(index) { $0.probed(isAlive, self.rules, at: now) }
    }

    func findNextProbeWork() {
        self.nextProbeWork = self.places.reduce(.never) { min($0, $1.probe.next) }
    }
}
