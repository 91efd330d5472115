import Primitives

@testable import Recovery

/// The default congestion controller by itself: whatever it is told of acknowledgements, times
/// and rates stays within what was seen.
func fuzzModel(_ input: inout Input) {
    var model = DelayGuardedModel(packetSize: 1200, at: 1_000_000_000)
    var event = AckEvent()
    event.now = 1_000_000_000
    event.roundTrip = 1_000_000
    event.bandwidth = 1_200_000
    event.acked = 12_000
    var highest: UInt64 = 2_000_000
    var steps = 0
    while !input.isEmpty, steps < 8192 {
        let choice = input.byte()
        change(&event, choice, &input)
        if choice & 15 == 15 {
            let idle = input.nanoseconds()
            event.now += idle
            model.restart(afterIdle: idle, at: event.now)
        }
        // The same again and again, as far as a phase needs it.
        let count = choice & 0x80 == 0 ? 1 : 1 + input.below(200)
        let pause = choice & 0x40 == 0 ? 10_000_000 : input.nanoseconds()
        for _ in 0..<count {
            steps += 1
            event.now += pause
            highest = max(highest, event.roundTrip)
            event.smoothedRoundTrip = event.roundTrip
            if choice & 0x20 == 0 { event.priorDelivered = event.delivered }
            event.delivered += UInt64(event.acked)
            model.update(event)
            Oracle.hold(model.path.queue <= highest, "a queue is longer than any round trip")
            Oracle.hold(model.path.minimum <= highest, "the minimum is longer than any round trip")
            Oracle.hold(
                model.window > 0 && model.window <= 2_000_000_000,
                "the window is \(model.window)"
            )
            Oracle.hold(
                model.pacingRate > 0 && model.pacingRate.isFinite,
                "the pacing rate is \(model.pacingRate)"
            )
        }
    }
}

private func change(_ event: inout AckEvent, _ choice: UInt8, _ input: inout Input) {
    switch choice & 15 {
    case 0, 1: event.roundTrip = input.nanoseconds()
    case 2: event.roundTrip += UInt64(input.byte()) * 10_000
    case 3: event.roundTrip -= min(event.roundTrip, UInt64(input.byte()) * 10_000)
    case 4: event.roundTripVariance = input.nanoseconds()
    case 5: event.bandwidth = Double(input.number(3))
    case 6: event.bandwidth *= Double(input.byte()) / 64
    case 7: event.acked = Int(input.number(2))
    case 8:
        event.lost = Int(input.number(2))
        event.lostSentAt = event.now - min(event.now, input.nanoseconds())
    case 9: event.lost = 0
    case 10: (event.gentleAcked, event.gentleLost) = (input.below(64), input.below(64))
    case 11: event.isAppLimited.toggle()
    case 12: (event.priorInFlight, event.inFlight) = (Int(input.number(2)), Int(input.number(2)))
    case 13: event.inFlight = Int(input.number(3))
    case 14: event.packetSize = 512 + Int(input.byte()) * 4
    default: break
    }
}
