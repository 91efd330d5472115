/// Names one stream of one engine; a slot that is used again gets another generation.
@frozen
public struct StreamHandle: Hashable, Sendable {
    /// Dense, so that a driver can keep a table of its own beside the engine's.
    public let slot: UInt32
    public let generation: UInt32

    public init(slot: UInt32, generation: UInt32) {
        self.slot = slot
        self.generation = generation
    }
}

/// Names one UDP flow of one engine.
@frozen
public struct FlowHandle: Hashable, Sendable {
    public let slot: UInt32
    public let generation: UInt32

    public init(slot: UInt32, generation: UInt32) {
        self.slot = slot
        self.generation = generation
    }
}

/// Names one session of one engine.
@frozen
public struct SessionHandle: Hashable, Sendable {
    public let slot: UInt32
    public let generation: UInt32

    public init(slot: UInt32, generation: UInt32) {
        self.slot = slot
        self.generation = generation
    }
}
