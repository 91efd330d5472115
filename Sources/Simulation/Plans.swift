import Primitives
import Sealing
import Session

/// The two ends of a stream or flow.
enum Side: Sendable {
    case client
    case server

    var index: Int { self == .client ? 0 : 1 }
}

/// How the application at one end takes what arrives.
enum Reader: Sendable {
    case eager
    /// A little at a time.
    case slow(byteCount: Int, every: Instant.Interval)
    /// Nothing until then.
    case late(until: Instant)
    /// Nothing ever: the stream ends by reset when all others are done.
    case stalled
}

/// What one TCP-like stream is going to do.
struct StreamPlan: Sendable {
    let number: Int
    let client: Int
    let start: Instant
    /// Bytes that each side sends, client first.
    var byteCounts: [UInt64] = [0, 0]
    var readers: [Reader] = [.eager, .eager]
    /// Bytes written at once at most, and the pause between writes.
    var chunk: UInt64 = 65_536
    var pause = Instant.Interval.zero
    /// The server sends only after the client's end.
    var answersAfterEnd = false
    /// Who resets the stream, after it has sent so many bytes, and why.
    var reset: (side: Side, after: UInt64, reason: ResetReason)?
    var isCompressed = false
    var trafficClass = TrafficClass.auto
    var service = World.streamService
    /// How long the server takes to reach its backend.
    var connectDelay = Instant.Interval.zero

    var isStalled: Bool {
        self.readers.contains { if case .stalled = $0 { true } else { false } }
    }

    func pattern(from side: Side) -> Pattern {
        Pattern(
            key: UInt64(self.number) << 8 | UInt64(side.index) | 0x5354_0000_0000_0000,
            mask: self.isCompressed ? 7 : 0xFF
        )
    }
}

/// What one UDP flow is going to do: the client sends, the server answers each datagram.
struct FlowPlan: Sendable {
    let number: Int
    let client: Int
    let start: Instant
    var count: UInt32
    var interval: Instant.Interval
    /// Sizes are drawn from zero to this.
    var byteCountLimit: UInt64
    var delivery: Delivery
    var trafficClass = TrafficClass.auto

    func pattern(from side: Side, serial: UInt32) -> Pattern {
        let flow = UInt64(self.number) << 40 | UInt64(side.index) << 32
        return Pattern(key: flow | UInt64(serial) | 0x5544_0000_0000_0000)
    }
}

/// What one client's path does, and what befalls the client.
struct ClientPlan: Sendable {
    var up: Weather
    var down: Weather
    var rebindings: [Instant] = []
    var restart: Instant?
    var postQuantum = PostQuantumPolicy.off
}

/// A mistake made on purpose between engine and application, to see that the checks see it.
public enum Sabotage: UInt8, Sendable, CaseIterable {
    /// No mistake: the history must be right.
    case none
    /// A byte of a stream arrives changed.
    case corruptStreamByte
    /// A byte of a stream is left out.
    case dropStreamByte
    /// A byte of a stream arrives twice.
    case repeatStreamByte
    /// A byte of a datagram arrives changed.
    case corruptDatagram
    /// A datagram is delivered twice.
    case repeatDatagram
    /// The application does not hear that a stream has closed.
    case forgetClosing
}
