public import Primitives

extension LossRecovery {
    /// Bytes sent back to back at most: 1 ms worth, at least two packets, at most 64 KiB.
    private var quantum: Double {
        min(max(self.pacingRate * 0.001, Double(2 * self.maximumPacketSize)), 65_536)
    }

    /// What an idle bucket saves up: 2 ms; more where the path is so short that the scheduler's
    /// stalls are longer than the path.
    private var bucketCap: Double {
        let span = self.roundTrip.minimum < 3_000_000 ? 0.005 : 0.002
        return max(self.pacingRate * span, self.quantum)
    }

    /// Bytes bulk may send now; 0 while window or pacer hold it back.
    ///
    /// See ``pacingDeadline``.
    public mutating func sendAllowance(at now: Instant) -> Int {
        let space = self.congestionWindow - self.bytesInFlight
        guard space > 0 else { return 0 }
        self.fillBuckets(at: now.nanoseconds)
        let quantum = self.quantum
        guard self.bucket.tokens >= quantum else { return 0 }
        return max(min(Int(quantum), space), self.maximumPacketSize)
    }

    /// Bytes interactive traffic may send now.
    ///
    /// It does not wait for the bulk bucket but leaves it in debt; it has a quarter of the rate,
    /// and a tenth of the window more. Whoever has lately used less than half of that need not mind
    /// the window at all: a window that shrinks makes nobody wait who did not fill it. Never 0 on
    /// an idle path.
    public mutating func interactiveAllowance(at now: Instant) -> Int {
        if self.bytesInFlight == 0 {
            return max(Int(self.police.tokens), 2 * self.maximumPacketSize)
        }
        self.fillBuckets(at: now.nanoseconds)
        guard self.bytesInFlight < self.congestionWindow + self.congestionWindow / 10 else {
            let rest = self.police.tokens - self.policeCap / 2
            return rest > 0 ? max(Int(rest), self.maximumPacketSize) : 0
        }
        return max(Int(self.police.tokens), 0)
    }

    /// When ``sendAllowance(at:)`` becomes positive; ``Instant/never`` if only an ACK can open the
    /// window.
    public var pacingDeadline: Instant {
        mutating get {
            guard self.congestionWindow > self.bytesInFlight else { return .never }
            return Instant(
                nanoseconds: self.bucket.time(at: self.quantum, rate: self.pacingRate)
            )
        }
    }

    mutating func fillBuckets(at now: UInt64) {
        self.bucket.fill(rate: self.pacingRate, cap: self.bucketCap, at: now)
        self.police.fill(rate: self.policeRate, cap: self.policeCap, at: now)
    }

    private var policeRate: Double { max(self.pacingRate / 4, 16_000) }
    private var policeCap: Double {
        max(self.policeRate * 0.05, Double(16 * self.maximumPacketSize))
    }

    /// Charges a packet that left to the buckets.
    mutating func pay(_ byteCount: Int, flags: SentPacketFlags, at now: UInt64) {
        self.fillBuckets(at: now)
        let bytes = byteCount + self.overheadPerPacket
        assert(bytes > 0 && self.quantum > 0)
        self.bucket.take(bytes, floor: -4 * self.quantum)
        if flags.contains(.isInteractive) { self.police.take(bytes, floor: 0) }
    }
}
