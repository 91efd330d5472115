extension LossRecovery {
    /// The state in one line, for traces.
    public var description: String {
        let rate = Int(self.pacingRate * 8 / 1_000)
        let milliseconds = { (nanoseconds: UInt64) in Double(nanoseconds / 10_000) / 100 }
        return "rate=\(rate)kbps window=\(self.congestionWindow) inflight=\(self.bytesInFlight)"
            + " srtt=\(milliseconds(self.roundTrip.smoothed))"
            + " min=\(milliseconds(self.roundTrip.minimum)) reo=\(self.reordering)"
            + " lost=\(self.totalLost) spurious=\(self.totalSpuriouslyLost)"
            + " \(self.controller.description)"
    }
}

extension Controller {
    var description: String {
        switch self {
        case .auto(let box): box.model.description
        case .bbr: "bbr"
        case .cubic: "cubic"
        case .fixed: "fixed"
        }
    }
}

extension DelayGuardedModel {
    var description: String {
        "auto \(self.phase)\(self.competition.isCompeting ? "!" : "")"
            + " bw=\(Int(self.path.bandwidth * 8 / 1_000))kbps"
            + " base=\(Int(self.path.base * 1_000))pm queue=\(self.path.queue / 1_000)us"
    }
}
