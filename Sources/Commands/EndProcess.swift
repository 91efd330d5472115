import Configuration

/// From a checked configuration to a running process.
enum EndProcess {
    /// Returns the exit code.
    static func run(
        _ loaded: LoadedConfiguration<ServerConfiguration>,
        _ options: RunOptions
    ) -> Int32 {
        Terminal.complain("fairlead-server: this build can only check configurations")
        return 1
    }

    /// Returns the exit code.
    static func run(
        _ loaded: LoadedConfiguration<ClientConfiguration>,
        _ options: RunOptions
    ) -> Int32 {
        Terminal.complain("fairlead-client: this build can only check configurations")
        return 1
    }
}
