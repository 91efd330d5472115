public import Configuration

/// What reading the configuration file again came to.
public enum ReloadOutcome<Configuration: Sendable>: Sendable {
    case configuration(LoadedConfiguration<Configuration>)
    /// One line per error, ready for the log.
    case refused([String])
}
