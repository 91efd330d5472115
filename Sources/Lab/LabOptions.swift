public import Primitives

/// How the laboratory runs, whatever the scenario.
public struct LabOptions: Sendable {
    /// Where `fairlead-server` and `fairlead-client` are.
    public var binaries = "."
    /// Real-time priority for the link, the loads and, in exchanges, the stacks.
    public var isUrgent = true
    /// Only these, where not empty.
    public var stacks: [Stack] = []
    /// Only these of the scenario's, where not empty.
    public var measures: [Measure] = []
    /// Instead of the scenario's own.
    public var duration: Instant.Interval?
    /// Whether runs take ten seconds and one seed, to try a scenario out.
    public var isShortened = false

    /// Every stack and measure of the scenario, with binaries in the current folder.
    public init() {}
}
