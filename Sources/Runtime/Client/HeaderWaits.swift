import LinuxIO
import Origin
import Primitives

/// Accepted connections whose PROXY header is not complete yet; clients only.
///
/// Bounded in number and time: where it is full the oldest gives way, because an honest proxy sends
/// its header at once, and whoever holds a place without finishing does not need it longest.
final class HeaderWaits {
    /// One connection that has not said who its player is.
    final class Wait {
        let generation: UInt32
        let listener: Int
        let connection: AcceptedConnection
        let deadline: Instant
        var parser: ProxyHeaderParser

        init(
            generation: UInt32,
            listener: Int,
            connection: AcceptedConnection,
            deadline: Instant,
            parser: ProxyHeaderParser
        ) {
            self.generation = generation
            self.listener = listener
            self.connection = connection
            self.deadline = deadline
            self.parser = parser
        }
    }

    struct Handle: Hashable {
        var slot: Int
        var generation: UInt32
    }

    static let capacity = 1_024
    /// The PROXY specification wants at least three seconds.
    static let patience = Instant.Interval.seconds(5)

    private var slots: [Wait?] = []
    private var vacant: [Int] = []
    private var lastGeneration: UInt32 = 0
    /// In the order of their start, which is that of their deadlines; some have ended since.
    private var queue: [Handle] = []
    private var head = 0
    private(set) var count = 0

    var isFull: Bool { self.count >= Self.capacity }

    var deadline: Instant {
        guard self.head < self.queue.count else { return .never }
        return self.find(self.queue[self.head])?.deadline ?? .never
    }

    func find(_ handle: Handle) -> Wait? {
        guard self.slots.indices.contains(handle.slot), let wait = self.slots[handle.slot],
            wait.generation == handle.generation
        else { return nil }
        return wait
    }

    func insert(
        _ connection: AcceptedConnection,
        listener: Int,
        parser: ProxyHeaderParser,
        at now: Instant
    ) -> Handle {
        let slot = self.vacant.popLast() ?? self.slots.count
        if slot == self.slots.count { self.slots.append(nil) }
        self.lastGeneration &+= 1
        self.slots[slot] = Wait(
            generation: self.lastGeneration,
            listener: listener,
            connection: connection,
            deadline: now + Self.patience,
            parser: parser
        )
        self.count += 1
        let handle = Handle(slot: slot, generation: self.lastGeneration)
        self.queue.append(handle)
        return handle
    }

    /// Lets go of one, without touching its socket.
    @discardableResult
    func remove(_ handle: Handle) -> Wait? {
        guard let wait = self.find(handle) else { return nil }
        self.slots[handle.slot] = nil
        self.vacant.append(handle.slot)
        self.count -= 1
        self.skipEnded()
        return wait
    }

    /// The one that has waited longest.
    func removeOldest() -> Wait? {
        self.head < self.queue.count ? self.remove(self.queue[self.head]) : nil
    }

    /// Those that belong to one listener.
    func handles(listener: Int) -> [Handle] {
        self.queue[self.head...].filter { self.find($0)?.listener == listener }
    }

    /// Keeps the first of the queue alive, and the queue as short as what it holds.
    private func skipEnded() {
        while self.head < self.queue.count, self.find(self.queue[self.head]) == nil {
            self.head += 1
        }
        if self.head == self.queue.count {
            self.queue.removeAll(keepingCapacity: true)
            self.head = 0
        } else if self.queue.count > 4 * Self.capacity {
            self.queue = self.queue[self.head...].filter { self.find($0) != nil }
            self.head = 0
        }
    }
}
