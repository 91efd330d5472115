public import ArgumentParser
public import Configuration

/// What every command that reads private keys understands.
public struct KeyOptions: ParsableArguments {
    /// `--key-mode`; `nil` where it is not given.
    @Option(
        help: """
            Who may be able to read key files: their owner (strict), their group as well (group), \
            or anybody (any), for read-only mounts whose modes cannot be changed.
            """
    )
    var keyMode: KeyMode?

    /// `--group-readable-keys`.
    @Flag(help: "The same as --key-mode group.")
    var groupReadableKeys = false

    /// Neither option given.
    public init() {}

    /// What both options together ask for.
    public var mode: KeyMode { self.keyMode ?? (self.groupReadableKeys ? .group : .strict) }

    /// Refuses both options together, with a message for people.
    public func validate() throws {
        guard self.keyMode != nil, self.groupReadableKeys else { return }
        throw ValidationError("--group-readable-keys means --key-mode group; give one of them")
    }
}

extension KeyMode: ExpressibleByArgument {}
