import Netem
import Primitives

/// What one run of one stack came to.
public struct RunResult: Sendable {
    /// Who carried the bytes.
    public var stack: Stack
    /// What was measured.
    public var measure: Measure
    /// What the link drew its chances from.
    public var seed: UInt64
    /// Random loss of the link in parts per million, where the scenario tries several.
    public var loss: UInt32?
    /// Round trips in milliseconds, `nil` for messages without an answer.
    public var roundTrips: [Double?] = []
    /// Answers that came once more.
    public var duplicates = 0
    /// IP bytes given to the link, both directions, for each message of an exchange alone.
    public var wireBytesPerMessage: Double?
    /// Application megabits a second.
    public var goodput: Double?
    /// IP bytes given to the link in the direction of the data for each application byte.
    public var wirePerGoodput: Double?
    /// Share of the packets of the data's direction that the full queue dropped.
    public var queueDrops: Double?
    /// The longest time without a byte of a download, in milliseconds; `nil` for an upload.
    public var longestGap: Double?
    /// Processor seconds of the stack's processes for 10⁹ application bytes; `nil` for the kernel.
    public var processorSecondsPerGB: Double?
    /// Processor time of the stack's processes in an exchange, in percent of one core.
    public var processorShare: Double?
    /// From the start of the stack's client to the first answer, in milliseconds.
    public var coldStart: Double?
    /// From connecting to the first answer, in milliseconds, `nil` for connections without one.
    public var setups: [Double?] = []
    /// How late the link itself was, in microseconds.
    public var linkLatenessP99 = 0.0
    /// The greatest such lateness, in microseconds.
    public var linkLatenessMaximum = 0.0
    /// Of the machine, when the run began.
    public var loadAverage = ""

    /// A run of which nothing is known yet.
    public init(stack: Stack, measure: Measure, seed: UInt64, loss: UInt32? = nil) {
        self.stack = stack
        self.measure = measure
        self.seed = seed
        self.loss = loss
    }
}

extension RunResult {
    mutating func take(_ echo: EchoResult, hasProcesses: Bool) {
        self.roundTrips = echo.roundTrips
        self.duplicates = echo.duplicates
        let wire = echo.end.wireBytes(since: echo.start)
        let count = max(1, echo.roundTrips.count)
        self.wireBytesPerMessage = Double(wire.up + wire.down) / Double(count)
        let elapsed = Double(echo.end.at.since(echo.start.at).nanoseconds) / 1e9
        if hasProcesses, elapsed > 0 {
            let used = echo.end.processorSeconds(since: echo.start)
            self.processorShare = used / elapsed * 100
        }
    }

    mutating func take(_ bulk: BulkResult, hasProcesses: Bool) {
        let isUpload = self.measure == .upload
        self.goodput = bulk.megabits
        self.longestGap = bulk.longestGap
        guard bulk.byteCount > 0 else { return }
        let bytes = Double(bulk.byteCount)
        let wire = bulk.end.wireBytes(since: bulk.start)
        self.wirePerGoodput = Double(isUpload ? wire.up : wire.down) / bytes
        let (first, last) =
            isUpload
            ? (bulk.start.link.up, bulk.end.link.up) : (bulk.start.link.down, bulk.end.link.down)
        let sent = Double(max(1, last.sent - first.sent))
        self.queueDrops = Double(last.droppedByQueue - first.droppedByQueue) / sent
        if hasProcesses {
            let used = bulk.end.processorSeconds(since: bulk.start)
            self.processorSecondsPerGB = used / bytes * 1e9
        }
    }
}
