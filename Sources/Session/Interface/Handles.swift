/// Names one thing of one engine; a slot that is used again gets another generation.
///
/// `Tag` says what kind of thing, so that no handle is taken for one of another kind.
@frozen
public struct Handle<Tag>: Hashable, Sendable {
    /// Dense, so that a driver can keep a table of its own beside the engine's.
    public let slot: UInt32
    /// Counts how often the slot was used before, and wraps.
    public let generation: UInt32

    /// A handle as it was taken apart by a driver; only an engine makes new ones.
    @inlinable
    public init(slot: UInt32, generation: UInt32) {
        self.slot = slot
        self.generation = generation
    }

    @inlinable
    public static func == (left: Self, right: Self) -> Bool {
        left.slot == right.slot && left.generation == right.generation
    }

    @inlinable
    public func hash(into hasher: inout Hasher) {
        hasher.combine(self.slot)
        hasher.combine(self.generation)
    }
}

/// The kinds of things that a ``Handle`` names.
public enum HandleTag {
    /// The tag of a ``StreamHandle``.
    public enum Stream {}
    /// The tag of a ``FlowHandle``.
    public enum Flow {}
    /// The tag of a ``SessionHandle``.
    public enum Session {}
}

/// Names one stream of one engine.
public typealias StreamHandle = Handle<HandleTag.Stream>
/// Names one UDP flow of one engine.
public typealias FlowHandle = Handle<HandleTag.Flow>
/// Names one session of one engine.
public typealias SessionHandle = Handle<HandleTag.Session>
