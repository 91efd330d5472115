import Primitives
import Recovery

/// A sender whose peer acknowledges what it likes when it likes, under every controller.
func fuzzAcks(_ input: inout Input) {
    let choices: [CongestionChoice] = [
        .auto, .auto, .bbr, .cubic, .fixed(bitsPerSecond: 5_000_000),
    ]
    var now = Instant(nanoseconds: 1_000_000_000)
    var recovery = LossRecovery(
        congestion: choices[input.below(choices.count)],
        maximumPacketSize: 1400,
        at: now
    )
    var next: UInt64 = 1
    var steps = 0
    while !input.isEmpty, steps < 4096 {
        steps += 1
        switch input.below(8) {
        case 0, 1: now = now + .init(nanoseconds: input.nanoseconds())
        case 2, 3:
            let isFree = input.byte() & 1 == 1
            for _ in 0...input.below(32) where isFree || recovery.sendAllowance(at: now) > 0 {
                let size = 60 + input.below(2) * 1340
                recovery.sent(
                    number: next,
                    byteCount: size,
                    firstFrame: next,
                    frameCount: 1,
                    flags: input.byte() & 7 == 0 ? [.data, .isInteractive] : .data,
                    at: now
                )
                next += 1 + UInt64(input.byte() & 1)
            }
        case 4, 5:
            let last = next - min(next, UInt64(1 + input.below(8)))
            let body = ack(last, delay: input.nanoseconds() / 1000, length: UInt64(input.byte()))
            _ = body.withUnsafeBytes { recovery.receivedAck($0, at: now) }
        case 6:
            let body = input.bytes(input.below(48))
            _ = body.withUnsafeBytes { recovery.receivedAck($0, at: now) }
        default: changeMood(&recovery, input.byte(), at: now)
        }
        if recovery.deadline <= now { recovery.wake(at: now) }
        while recovery.probesDue > 0 { recovery.probeSent() }
        while recovery.nextAcknowledged() != nil {}
        while recovery.nextLost() != nil {}
        while recovery.nextLate() != nil {}
        Oracle.hold(recovery.bytesInFlight >= 0, "fewer than no bytes are in flight")
        Oracle.hold(recovery.congestionWindow > 0, "the congestion window is shut for good")
        Oracle.hold(recovery.pacingRate.isFinite, "the pacing rate is no number")
    }
}

private func changeMood(_ recovery: inout LossRecovery, _ choice: UInt8, at now: Instant) {
    switch choice % 5 {
    case 0: recovery.becameApplicationLimited(at: now)
    case 1: recovery.wasHeldBack(at: now)
    case 2: recovery.pathChanged(at: now)
    case 3: _ = recovery.interactiveAllowance(at: now)
    default: recovery.maximumPacketSize = choice & 16 == 0 ? 1200 : 1452
    }
}

/// An ACK body of one range, with integers as long as they can be.
func ack(_ last: UInt64, delay: UInt64, length: UInt64) -> [UInt8] {
    [last, min(delay, 1 << 61), 0, min(length, last)].flatMap { value in
        (0..<8).map { UInt8(truncatingIfNeeded: (value | 3 << 62) >> (56 - $0 * 8)) }
    }
}
