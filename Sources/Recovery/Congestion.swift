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
///
/// Each model lives in a box: a model inside the enum would be copied out and back, hundreds of
/// bytes, for every number that is read of it.
enum Controller {
    case auto(Box<DelayGuardedModel>)
    case bbr(Box<BottleneckModel>)
    case cubic(Box<Cubic>)
    case fixed(Box<FixedRate>)

    init(_ choice: CongestionChoice, packetSize: Int, at now: UInt64) {
        switch choice {
        case .auto: self = .auto(Box(DelayGuardedModel(packetSize: packetSize, at: now)))
        case .bbr: self = .bbr(Box(BottleneckModel(packetSize: packetSize, at: now)))
        case .cubic: self = .cubic(Box(Cubic(packetSize: packetSize)))
        case .fixed(let bits): self = .fixed(Box(FixedRate(bitsPerSecond: bits)))
        }
    }

    mutating func update(_ event: AckEvent) {
        switch self {
        case .auto(let box): box.model.update(event)
        case .bbr(let box): box.model.update(event)
        case .cubic(let box): box.model.update(event)
        case .fixed(let box): box.model.update(event)
        }
    }

    /// Bytes that were declared lost arrived after all.
    mutating func spuriousLoss(_ bytes: Int, at now: UInt64) {
        switch self {
        case .auto(let box): box.model.spuriousLoss(bytes)
        case .cubic(let box): box.model.spuriousLoss(at: now)
        case .bbr, .fixed: break
        }
    }

    /// Something is to be sent after `idle` nanoseconds of silence with nothing in flight.
    mutating func restart(afterIdle idle: UInt64, at now: UInt64) {
        switch self {
        case .auto(let box): box.model.restart(afterIdle: idle, at: now)
        case .bbr(let box): box.model.restart(at: now)
        case .cubic(let box): box.model.restart(afterIdle: idle)
        case .fixed: break
        }
    }

    /// Bytes.
    var window: Int {
        switch self {
        case .auto(let box): box.model.window
        case .bbr(let box): box.model.window
        case .cubic(let box): box.model.window
        case .fixed(let box): box.model.window
        }
    }

    /// Bytes a second.
    var pacingRate: Double {
        switch self {
        case .auto(let box): box.model.pacingRate
        case .bbr(let box): box.model.pacingRate
        case .cubic(let box): box.model.pacingRate
        case .fixed(let box): box.model.pacingRate
        }
    }

    /// The present rate is below what the path takes, so that losses are not of our making.
    var isGentle: Bool {
        switch self {
        case .auto(let box): box.model.isGentle
        case .bbr, .cubic, .fixed: false
        }
    }

    /// Bytes of lower headers to charge for each packet, where a rate is a promise about the wire.
    var overheadPerPacket: Int {
        switch self {
        case .auto, .bbr, .cubic: 0
        case .fixed: 28
        }
    }

    final class Box<Model> {
        var model: Model

        init(_ model: Model) { self.model = model }
    }
}
