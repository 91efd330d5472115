import Glibc
import LinuxIO
import Netem
import Primitives

/// Everything that is counted, at one moment.
struct Reading: Sendable {
    var at = Instant(nanoseconds: 0)
    var link = Emulator.Counts()
    /// Processor time of the stack's processes so far.
    var processorTime = Instant.Interval.zero

    /// IP bytes given to the link since `earlier`, both directions.
    func wireBytes(since earlier: Reading) -> (up: UInt64, down: UInt64) {
        (
            self.link.up.bytesSent - earlier.link.up.bytesSent,
            self.link.down.bytesSent - earlier.link.down.bytesSent
        )
    }

    func processorSeconds(since earlier: Reading) -> Double {
        Double((self.processorTime - earlier.processorTime).nanoseconds) / 1e9
    }
}

/// Reads the counts of a link and of the processes of a stack, from any thread.
struct Meter: Sendable {
    let emulator: Emulator
    let processes: [pid_t]
    let timeline: Scenario.Timeline

    func read() -> Reading {
        var time = Instant.Interval.zero
        for process in self.processes {
            time = time + (ChildProcess.processorTime(of: process) ?? .zero)
        }
        return Reading(at: BootClock().now(), link: self.emulator.counts, processorTime: time)
    }

    /// The first message that counts: from now on things happen.
    func begin() {
        if !self.timeline.isEmpty { self.emulator.begin(self.timeline) }
    }
}
