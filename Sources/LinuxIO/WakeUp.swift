import CLinuxShims
import Glibc

/// How another thread ends a poller's sleep: an eventfd.
public final class WakeUp: Sendable {
    /// The eventfd(2), to be watched for reading; closed with the object.
    public let descriptor: Int32

    /// An eventfd that is not readable; throws where there is no descriptor.
    public init() throws(IOError) {
        self.descriptor = try plainCall("eventfd") { CLinuxShims_eventfd() }
    }

    deinit { closeDescriptor(self.descriptor) }

    /// Makes the descriptor readable; any number of calls before the next ``clear()`` are one.
    public func signal() {
        var one: UInt64 = 1
        // EAGAIN means that 2⁶⁴ − 2 wake-ups are pending, which is awake enough.
        _ = write(self.descriptor, &one, MemoryLayout<UInt64>.size)
    }

    /// Makes the descriptor unreadable: the poller's thread does so before it looks for its orders.
    public func clear() {
        var count: UInt64 = 0
        _ = read(self.descriptor, &count, MemoryLayout<UInt64>.size)
    }
}
