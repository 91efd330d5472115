/// How a PROXY v2 header rides on UDP; three ways are in use and none understands another.
public enum HeaderDialect: String, CaseIterable, Sendable {
    /// In front of every datagram, as the specification has wanted it since 2026.
    case every
    /// In front of the first datagram of a flow.
    case first
    /// As a first datagram of its own, without payload; the flow's own datagrams stay bare.
    case firstAlone = "first-alone"
    /// Whatever arrives; for receiving only.
    ///
    /// The second datagram of a flow decides, so a player behind a proxy that sends one header can
    /// pose as somebody else with it. Name the dialect wherever it is known.
    case any
}

/// What goes before the datagrams of one flow towards its backend.
public struct HeaderSchedule: Sendable {
    /// What to do about the next datagram.
    public enum Step: Hashable, Sendable {
        /// The payload alone.
        case bare
        /// The header and the payload in one datagram.
        case prefixed
        /// The header in a datagram of its own, then the payload bare.
        case headerThenBare
    }

    private let dialect: HeaderDialect
    private var isAnnounced = false

    /// `.any` is for receiving; here it is taken for `.every`.
    public init(_ dialect: HeaderDialect) { self.dialect = dialect }

    /// Call once per datagram.
    public mutating func next() -> Step {
        defer { self.isAnnounced = true }
        switch self.dialect {
        case .every, .any: return .prefixed
        case .first: return self.isAnnounced ? .bare : .prefixed
        case .firstAlone: return self.isAnnounced ? .bare : .headerThenBare
        }
    }

    /// The backend lost what it knew, or is another one: announce the player again.
    public mutating func restart() { self.isAnnounced = false }
}
