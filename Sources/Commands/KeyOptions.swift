public import ArgumentParser
public import Configuration

/// What every command that reads private keys understands.
struct KeyOptions: ParsableArguments {
    @Option(
        help: """
            Who may be able to read key files: their owner (strict), their group as well (group), \
            or anybody (any), for read-only mounts whose modes cannot be changed.
            """
    )
    var keyMode: KeyMode?

    @Flag(help: "The same as --key-mode group.")
    var groupReadableKeys = false

    var mode: KeyMode { self.keyMode ?? (self.groupReadableKeys ? .group : .strict) }

    func validate() throws {
        guard self.keyMode != nil, self.groupReadableKeys else { return }
        throw ValidationError("--group-readable-keys means --key-mode group; give one of them")
    }
}

extension KeyMode: ExpressibleByArgument {}
