import LinuxIO
import Primitives

/// Asks for a reload, on the control thread, when the configuration file has changed.
final class ConfigurationWatch {
    /// Writers take several steps; so long after the last of them the file is whole.
    private static let patience = Instant.Interval.milliseconds(300)

    private let path: String?
    private var watch: FileWatch?
    private(set) var deadline = Instant.never

    /// `path`: the file, if the configuration comes from one.
    init(_ path: String?) { self.path = path }

    /// Watches from now on, or no longer.
    func want(_ isWanted: Bool, by control: ControlLoop, log: EventLog) {
        guard isWanted, let path = self.path else {
            self.watch = nil
            self.deadline = .never
            return
        }
        guard self.watch == nil else { return }
        do throws(IOError) {
            let watch = try FileWatch(path)
            try control.watch(watch.descriptor)
            self.watch = watch
        } catch {
            log.error(
                "configuration-unwatched",
                ["cause": error.description, "hint": "reload by SIGHUP"]
            )
        }
    }

    /// Whether the file has become another one, and has been left alone since.
    func takeChange(at now: Instant) -> Bool {
        guard let watch = self.watch else { return false }
        if watch.takeEvents() { self.deadline = now + Self.patience }
        guard self.deadline <= now else { return false }
        self.deadline = .never
        return watch.takeChange()
    }
}
