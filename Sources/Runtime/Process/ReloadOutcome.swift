public import Configuration

/// What reading the configuration file again came to.
public enum ReloadOutcome<Configuration: Sendable>: Sendable {
    /// The file is right; the process takes over what it can.
    case configuration(LoadedConfiguration<Configuration>)
    /// One line per error, ready for the log.
    case refused([String])
}

extension EventLog {
    /// More than these are counted instead.
    private static let reloadItems = 20

    /// Tells that a reload is done: what is in effect now, and which keys have to wait.
    func reloaded(_ applied: [String], waiting: [String]) {
        var items = Array(applied.prefix(Self.reloadItems))
        if applied.count > items.count { items.append("\(applied.count - items.count) more") }
        let changed = items.isEmpty ? "nothing" : items.joined(separator: ", ")
        guard waiting.isEmpty else {
            let keys = waiting.joined(separator: ",")
            return self.warning(
                "reload",
                ["result": "ok", "changed": changed, "needs-restart": keys]
            )
        }
        self.info("reload", ["result": "ok", "changed": changed])
    }
}
