/// How the sending rate is found.
public enum CongestionChoice: Sendable, Hashable {
    /// The delay-guarded, loss-tolerant model; the default.
    case auto
    /// After BBR version 1: deeper queues, steadier under very noisy delays.
    case bbr
    /// RFC 9438: polite, and helpless on lossy paths.
    case cubic
    /// A rate the operator vouches for, counted in bits on the wire with IP and UDP headers.
    case fixed(bitsPerSecond: UInt64)
}

/// One ACK as a congestion controller sees it.
///
/// Times in nanoseconds, rates in bytes a second.
struct AckEvent {
    var now: UInt64 = 0
    /// Newly acknowledged bytes.
    var acked = 0
    /// Bytes declared lost by this ACK, path MTU probes not counted.
    var lost = 0
    /// Packets acknowledged, and lost, that left while ``Controller/isGentle``.
    var gentleAcked = 0
    var gentleLost = 0
    /// When the newest packet that was lost left.
    var lostSentAt: UInt64 = 0
    /// The round-trip sample without the peer's delay; 0 if there is none.
    var roundTrip: UInt64 = 0
    var smoothedRoundTrip: UInt64 = 0
    /// The mean deviation of the samples.
    var roundTripVariance: UInt64 = 0
    /// The delivery-rate sample; 0 if there is none.
    var bandwidth = 0.0
    var isAppLimited = false
    /// Bytes delivered when the newest acknowledged packet left, and now.
    var priorDelivered: UInt64 = 0
    var delivered: UInt64 = 0
    var priorInFlight = 0
    var inFlight = 0
    var packetSize = 1200
}

/// The chosen controller, dispatched without an existential.
enum Controller: Sendable {
    case auto(DelayGuardedModel)
    case bbr(BottleneckModel)
    case cubic(Cubic)
    case fixed(FixedRate)

    init(_ choice: CongestionChoice, packetSize: Int, at now: UInt64) {
        switch choice {
        case .auto: self = .auto(DelayGuardedModel(packetSize: packetSize, at: now))
        case .bbr: self = .bbr(BottleneckModel(packetSize: packetSize, at: now))
        case .cubic: self = .cubic(Cubic(packetSize: packetSize))
        case .fixed(let bits): self = .fixed(FixedRate(bitsPerSecond: bits))
        }
    }

    mutating func update(_ event: AckEvent) {
        switch self {
        case .auto(var model):
            model.update(event)
            self = .auto(model)
        case .bbr(var model):
            model.update(event)
            self = .bbr(model)
        case .cubic(var model):
            model.update(event)
            self = .cubic(model)
        case .fixed(var model):
            model.update(event)
            self = .fixed(model)
        }
    }

    /// Bytes that were declared lost arrived after all.
    mutating func spuriousLoss(_ bytes: Int, at now: UInt64) {
        switch self {
        case .auto(var model):
            model.spuriousLoss(bytes)
            self = .auto(model)
        case .cubic(var model):
            model.spuriousLoss(at: now)
            self = .cubic(model)
        case .bbr, .fixed: break
        }
    }

    /// Something is to be sent after `idle` nanoseconds of silence with nothing in flight.
    mutating func restart(afterIdle idle: UInt64, at now: UInt64) {
        switch self {
        case .auto(var model):
            model.restart(afterIdle: idle, at: now)
            self = .auto(model)
        case .bbr(var model):
            model.restart(at: now)
            self = .bbr(model)
        case .cubic(var model):
            model.restart(afterIdle: idle)
            self = .cubic(model)
        case .fixed: break
        }
    }

    var window: Int {
        switch self {
        case .auto(let model): model.window
        case .bbr(let model): model.window
        case .cubic(let model): model.window
        case .fixed(let model): model.window
        }
    }

    /// Bytes a second.
    var pacingRate: Double {
        switch self {
        case .auto(let model): model.pacingRate
        case .bbr(let model): model.pacingRate
        case .cubic(let model): model.pacingRate
        case .fixed(let model): model.pacingRate
        }
    }

    /// The present rate is below what the path takes, so that losses are not of our making.
    var isGentle: Bool {
        if case .auto(let model) = self { return model.isGentle }
        return false
    }

    /// Bytes of lower headers to charge for each packet, where a rate is a promise about the wire.
    var overheadPerPacket: Int {
        if case .fixed = self { return 28 }
        return 0
    }
}
