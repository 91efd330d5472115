public import Primitives

/// What a sent packet means to loss detection and congestion control.
@frozen
public struct SentPacketFlags: OptionSet, Sendable, Hashable {
    /// One bit for each flag below; never on the wire.
    public let rawValue: UInt16

    /// A set out of its bits, for `OptionSet`.
    @inlinable
    public init(rawValue: UInt16) { self.rawValue = rawValue }

    /// The peer answers it with an ACK; without this the packet is never declared lost.
    public static let ackEliciting = Self(rawValue: 1)
    /// Its bytes count against the congestion window and the pacer.
    public static let countsInFlight = Self(rawValue: 2)
    /// A path MTU probe: its loss says something about its size, nothing about congestion.
    public static let isProbe = Self(rawValue: 4)
    /// Carries interactive data: arms the shorter tail probe, and may overdraw the pacer.
    public static let isInteractive = Self(rawValue: 8)
    /// Carries an ACK frame, whose largest number is ``SentPacket/largestAcked``.
    public static let ackCarrier = Self(rawValue: 16)

    /// The last its stream has to say for now: whoever reads it waits for just this packet.
    ///
    /// See ``LossRecovery/nextOverdue()``.
    public static let isAwaited = Self(rawValue: 32)

    /// An ordinary data packet.
    public static let data: Self = [.ackEliciting, .countsInFlight]
}

/// One packet we sent: what loss detection needs, and an opaque tag that leads the engine back to
/// its frames.
///
/// One cache line.
@frozen
public struct SentPacket: Sendable {
    /// The packet number, which is the AEAD counter.
    public var number: UInt64
    /// When the packet was handed to the driver to be sent.
    public var sentAt: Instant
    /// Opaque tag of the engine.
    public var firstFrame: UInt64
    /// The largest number acknowledged by the ACK frame inside, if ``SentPacketFlags/ackCarrier``.
    public var largestAcked: UInt64
    /// Bytes delivered in the whole session when this packet left.
    var delivered: UInt64
    /// The bytes of the UDP payload.
    public var byteCount: UInt32
    /// How long before `sentAt` the last delivery happened, in nanoseconds, saturating.
    var deliveryAge: UInt32
    /// How long before `sentAt` the sampling interval began, in nanoseconds, saturating.
    var flightAge: UInt32
    /// How many frame records of the engine's log, from ``firstFrame`` on, belong to the packet.
    public var frameCount: UInt16
    /// What the packet means to timers, window and pacer.
    public var flags: SentPacketFlags
    /// Low bits of the session's count of lost bytes when this packet left.
    var lostBefore: UInt32
    var isAppLimited: Bool
    /// Sent at a rate the path can surely take: its loss is the path's own.
    var isGentle: Bool
    var wasLost: Bool
}
