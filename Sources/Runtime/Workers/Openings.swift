import Session

/// Streams and flows that wait for their turn to have a backend looked for.
///
/// To open one costs as much as hundreds of packets. Whoever opens many at once must not hold up
/// everybody's packets meanwhile: a turn of the loop begins a few, of each session in its turn.
struct Openings {
    /// What can be opened in a turn.
    static let perTurn = 8
    /// Datagrams that wait for their flow: of each, and bytes of all.
    static let heldDatagrams = 16
    static let heldByteCount = 1 << 20

    enum Place: Hashable {
        case stream(StreamHandle)
        case flow(FlowHandle)
    }

    struct Opening {
        let place: Place
        let session: SessionHandle
        let request: OpenRequest
    }

    private struct Queue {
        var items: [Opening] = []
        var head = 0

        mutating func popFirst() -> Opening? {
            guard self.head < self.items.count else { return nil }
            defer { self.head += 1 }
            return self.items[self.head]
        }
    }

    private var queues: [SessionHandle: Queue] = [:]
    /// The sessions of ``queues``, the one whose turn it is last.
    private var rounds: [SessionHandle] = []
    /// What waits; what else is in a queue has ended or been opened.
    private var waiting: Set<Place> = []
    private var held: [FlowHandle: [[UInt8]]] = [:]
    private var heldCount = 0
    private var endedCount = 0
    private var begunCount = 0

    var isEmpty: Bool { self.waiting.isEmpty }

    /// Whether another may be opened at once; if so, it counts.
    mutating func takeTurn() -> Bool {
        guard self.waiting.isEmpty, self.begunCount < Self.perTurn else { return false }
        self.begunCount += 1
        return true
    }

    mutating func append(_ opening: Opening) {
        if self.queues[opening.session] == nil { self.rounds.insert(opening.session, at: 0) }
        self.queues[opening.session, default: Queue()].items.append(opening)
        self.waiting.insert(opening.place)
    }

    /// It has ended before its turn came.
    mutating func remove(_ place: Place) {
        guard !self.waiting.isEmpty, self.waiting.remove(place) != nil else { return }
        if case .flow(let handle) = place { _ = self.takeDatagrams(of: handle) }
        self.endedCount += 1
        // What is opened and reset does not pile up behind those that wait.
        guard self.endedCount > self.waiting.count + 64 else { return }
        self.endedCount = 0
        for (session, queue) in self.queues {
            let items = queue.items[queue.head...].filter { self.waiting.contains($0.place) }
            self.queues[session] = items.isEmpty ? nil : Queue(items: items)
        }
        self.rounds.removeAll { self.queues[$0] == nil }
    }

    /// A new turn of the loop: what is to be opened in it.
    mutating func nextTurn() -> [Opening] {
        self.begunCount = 0
        guard !self.rounds.isEmpty else { return [] }
        var due: [Opening] = []
        while due.count < Self.perTurn, let session = self.rounds.popLast() {
            guard let opening = self.next(of: session) else {
                self.queues[session] = nil
                continue
            }
            due.append(opening)
            self.rounds.insert(session, at: 0)
        }
        self.begunCount = due.count
        return due
    }

    private mutating func next(of session: SessionHandle) -> Opening? {
        while let opening = self.queues[session]?.popFirst() {
            if self.waiting.remove(opening.place) != nil { return opening }
        }
        return nil
    }

    /// How many entries there are, ended ones included.
    var entryCount: Int { self.queues.values.reduce(0) { $0 + $1.items.count - $1.head } }

    // MARK: Datagrams of flows that wait

    func isWaiting(_ flow: FlowHandle) -> Bool {
        !self.waiting.isEmpty && self.waiting.contains(.flow(flow))
    }

    /// Keeps a datagram until its flow is open; false if there is no room.
    mutating func hold(_ bytes: UnsafeRawBufferPointer, for flow: FlowHandle) -> Bool {
        guard self.heldCount + bytes.count <= Self.heldByteCount,
            self.held[flow, default: []].count < Self.heldDatagrams
        else { return false }
        self.held[flow, default: []].append([UInt8](bytes))
        self.heldCount += bytes.count
        return true
    }

    mutating func takeDatagrams(of flow: FlowHandle) -> [[UInt8]] {
        guard !self.held.isEmpty, let datagrams = self.held.removeValue(forKey: flow) else {
            return []
        }
        self.heldCount -= datagrams.reduce(0) { $0 + $1.count }
        return datagrams
    }
}
