public import Primitives

/// How the laboratory runs, whatever the scenario.
public struct LabOptions: Sendable {
    /// Where `fairlead-server` and `fairlead-client` are.
    public var binaries = "."
    /// Real-time priority for the link, the loads and, in exchanges, the stacks.
    public var isUrgent = true
    /// Only these, where not empty.
    public var stacks: [Stack] = []
    public var measures: [Measure] = []
    /// Instead of the scenario's own.
    public var duration: Instant.Interval?
    public var isShortened = false

    public init() {}
}
