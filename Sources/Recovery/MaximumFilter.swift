/// The maximum of the last `window` rounds by Nichols' three-sample filter: constant space and
/// time, never below the true maximum of the newest third.
struct MaximumFilter: Sendable {
    private var best = (value: 0.0, round: 0)
    private var second = (value: 0.0, round: 0)
    private var third = (value: 0.0, round: 0)

    var value: Double { self.best.value }

    mutating func reset(to value: Double, round: Int) {
        self.best = (value, round)
        self.second = (value, round)
        self.third = (value, round)
    }

    mutating func update(_ value: Double, round: Int, window: Int) {
        if value >= self.best.value || round - self.third.round > window {
            self.reset(to: value, round: round)
            return
        }
        let sample = (value, round)
        if value >= self.second.value {
            self.second = sample
            self.third = sample
        } else if value >= self.third.value {
            self.third = sample
        }
        self.age(sample, window: window)
        assert(self.best.value >= self.second.value && self.second.value >= self.third.value)
        assert(self.best.round <= self.second.round && self.second.round <= self.third.round)
    }

    /// Lets old samples make way for the newer ones behind them.
    private mutating func age(_ sample: (value: Double, round: Int), window: Int) {
        if sample.round - self.best.round > window {
            self.best = self.second
            self.second = self.third
            self.third = sample
            if sample.round - self.best.round > window {
                self.best = self.second
                self.second = self.third
            }
        } else if self.second.round == self.best.round,
            sample.round - self.second.round > window / 4
        {
            self.second = sample
            self.third = sample
        } else if self.third.round == self.second.round,
            sample.round - self.third.round > window / 2
        {
            self.third = sample
        }
    }
}
