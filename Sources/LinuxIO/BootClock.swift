import Glibc
public import Primitives

/// The operating system's clock that never goes back: the only place in the program that reads one.
///
/// `CLOCK_BOOTTIME` rather than `CLOCK_MONOTONIC`: the latter stands still while a laptop sleeps,
/// so a session dead for an hour would look a moment old on waking. Both are answered by the vDSO
/// without entering the kernel.
public struct BootClock: Sendable {
    /// A reader of the clock; it holds nothing.
    public init() {}

    /// Nanoseconds since the machine booted, sleep included (clock_gettime(2)).
    @inline(__always)
    public func now() -> Instant {
        var time = timespec()
        clock_gettime(CLOCK_BOOTTIME, &time)
        return Instant(nanoseconds: UInt64(time.tv_sec) &* 1_000_000_000 &+ UInt64(time.tv_nsec))
    }
}
