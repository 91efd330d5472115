import CLinuxShims
import Glibc

/// The signals a process is steered with, as events of a poller.
public final class SignalSource {
    /// What a signal asks for: SIGTERM and SIGINT to end, SIGHUP to read the configuration again.
    public enum Kind: Hashable, Sendable {
        /// SIGTERM or SIGINT.
        case terminate
        /// SIGHUP.
        case reload
    }

    /// The signalfd(2), readable while a signal is pending; closed with the object.
    public let descriptor: Int32

    /// Blocks SIGTERM, SIGINT and SIGHUP in this thread and in every thread it starts from now on,
    /// and ignores SIGPIPE.
    ///
    /// Must run before other threads start, or one of them may take the signal.
    public init() throws(IOError) {
        signal(SIGPIPE, SIG_IGN)
        let signals = [SIGTERM, SIGINT, SIGHUP]
        self.descriptor = try plainCall("signalfd") {
            CLinuxShims_signalfd(signals, Int32(signals.count))
        }
    }

    deinit { closeDescriptor(self.descriptor) }

    /// The next pending signal, or `nil`.
    public func next() -> Kind? {
        switch CLinuxShims_read_signal(self.descriptor) {
        case SIGHUP: .reload
        case SIGTERM, SIGINT: .terminate
        default: nil
        }
    }
}

/// Names the calling thread for `ps`, `top` and debuggers; at most 15 bytes.
public func nameThread(_ name: String) {
    _ = CLinuxShims_set_thread_name(String(decoding: name.utf8.prefix(15), as: UTF8.self))
}
