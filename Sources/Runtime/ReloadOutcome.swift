/// What reading the configuration again came to.
public enum ReloadOutcome<Configuration: Sendable>: Sendable {
    case configuration(Configuration)
    /// One line per error, ready for the log.
    case refused([String])
}
