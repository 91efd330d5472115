import CLinuxShims
import Glibc
public import Primitives

/// What a descriptor is ready for, or is watched for.
@frozen
public struct Readiness: OptionSet, Sendable {
    /// The bits of `epoll_event.events` (epoll_ctl(2)).
    public let rawValue: UInt32

    /// A set out of the kernel's bits, unknown ones included.
    @inlinable
    public init(rawValue: UInt32) { self.rawValue = rawValue }

    /// A read would not block: bytes, a connection or an end are there.
    public static var readable: Self { Self(rawValue: CLinuxShims_EPOLLIN) }
    /// A write would not block: the socket has room, or its connection is made or failed.
    public static var writable: Self { Self(rawValue: CLinuxShims_EPOLLOUT) }
    /// An error is pending; reported whether watched for or not.
    public static var failed: Self { Self(rawValue: CLinuxShims_EPOLLERR) }
    /// Both directions are over; reported whether watched for or not.
    public static var hungUp: Self { Self(rawValue: CLinuxShims_EPOLLHUP) }
}

/// One thread's epoll set, level triggered.
///
/// Every descriptor carries a 64-bit token of its owner's making. A token that holds a generation
/// tells an event for a descriptor closed within the same batch from one for its successor.
public final class Poller {
    private let descriptor: Int32
    private let events: UnsafeMutablePointer<CLinuxShims_epoll_event>
    private let capacity = 256
    private var hasNanoseconds = true

    /// An empty set; throws where the process is out of descriptors.
    public init() throws(IOError) {
        self.descriptor = try plainCall("epoll_create1") { CLinuxShims_epoll_create() }
        self.events = .allocate(capacity: self.capacity)
        self.events.initialize(
            repeating: CLinuxShims_epoll_event(events: 0, data: 0),
            count: self.capacity
        )
    }

    deinit {
        closeDescriptor(self.descriptor)
        self.events.deallocate()
    }

    /// Watches `descriptor` for `interest`; throws `EEXIST` if it is watched already.
    public func add(
        _ descriptor: Int32,
        token: UInt64,
        interest: Readiness
    ) throws(IOError) {
        try self.control(CLinuxShims_EPOLL_CTL_ADD, descriptor, interest, token)
    }

    /// Changes token and interest of a watched descriptor; throws `ENOENT` for another.
    public func modify(
        _ descriptor: Int32,
        token: UInt64,
        interest: Readiness
    ) throws(IOError) {
        try self.control(CLinuxShims_EPOLL_CTL_MOD, descriptor, interest, token)
    }

    /// Stops watching; closing a descriptor does the same.
    public func remove(_ descriptor: Int32) throws(IOError) {
        try self.control(CLinuxShims_EPOLL_CTL_DEL, descriptor, [], 0)
    }

    private func control(
        _ operation: Int32,
        _ descriptor: Int32,
        _ interest: Readiness,
        _ token: UInt64
    ) throws(IOError) {
        _ = try plainCall("epoll_ctl") {
            CLinuxShims_epoll_ctl(
                self.descriptor,
                operation,
                descriptor,
                interest.rawValue,
                token
            )
        }
    }

    /// Sleeps until something is ready, at most `timeout`; returns how many events there are.
    ///
    /// `nil` sleeps for ever. A signal counts as nothing being ready.
    public func wait(atMost timeout: Instant.Interval?) throws(IOError) -> Int {
        while true {
            let count = self.hasNanoseconds ? self.waitFine(timeout) : self.waitCoarse(timeout)
            if count >= 0 { return Int(count) }
            switch errno {
            case EINTR: return 0
            case ENOSYS, EPERM:
                // Before Linux 5.11, or a sandbox that does not know the call.
                guard self.hasNanoseconds else { throw IOError(code: errno, call: "epoll_wait") }
                self.hasNanoseconds = false
            case let code: throw IOError(code: code, call: "epoll_wait")
            }
        }
    }

    private func waitFine(_ timeout: Instant.Interval?) -> Int32 {
        CLinuxShims_epoll_pwait2(
            self.descriptor,
            self.events,
            Int32(self.capacity),
            timeout?.nanoseconds ?? .max
        )
    }

    /// Rounds up: waking early would turn the loop for nothing until the deadline has come.
    private func waitCoarse(_ timeout: Instant.Interval?) -> Int32 {
        let milliseconds = timeout.map { interval in
            let whole = interval.milliseconds + (interval.nanoseconds % 1_000_000 == 0 ? 0 : 1)
            return Int32(clamping: whole)
        }
        return CLinuxShims_epoll_wait(
            self.descriptor,
            self.events,
            Int32(self.capacity),
            milliseconds ?? -1
        )
    }

    /// The token of an event of the last ``wait(atMost:)``, by its place below that count.
    @inline(__always)
    public func token(_ index: Int) -> UInt64 { self.events[index].data }

    /// What an event of the last ``wait(atMost:)`` says, by its place below that count.
    @inline(__always)
    public func readiness(_ index: Int) -> Readiness {
        Readiness(rawValue: self.events[index].events)
    }
}
