import Primitives
import Session

/// One engine with the applications on it.
final class Site {
    let side: Side
    /// The client's number, or the worker's.
    let number: Int
    var engine: Engine
    /// Live ends by slot of their handles.
    var streams: [StreamEnd?] = []
    var flows: [FlowEnd?] = []
    /// Streams that the application here has reset.
    var resetHandles: Set<StreamHandle> = []
    /// Client: where its packets come from now, as an index into the world's addresses.
    var address = 0

    init(side: Side, number: Int, engine: Engine) {
        self.side = side
        self.number = number
        self.engine = engine
    }

    func stream(_ handle: StreamHandle) -> StreamEnd? {
        guard Int(handle.slot) < self.streams.count, let end = self.streams[Int(handle.slot)],
            end.handle == handle
        else { return nil }
        return end
    }

    func flow(_ handle: FlowHandle) -> FlowEnd? {
        guard Int(handle.slot) < self.flows.count, let end = self.flows[Int(handle.slot)],
            end.handle == handle
        else { return nil }
        return end
    }

    func insert(_ end: StreamEnd) {
        let slot = Int(end.handle.slot)
        while self.streams.count <= slot { self.streams.append(nil) }
        self.streams[slot] = end
    }

    func insert(_ end: FlowEnd) {
        let slot = Int(end.handle.slot)
        while self.flows.count <= slot { self.flows.append(nil) }
        self.flows[slot] = end
    }

    func remove(_ end: StreamEnd) { self.streams[Int(end.handle.slot)] = nil }
    func remove(_ end: FlowEnd) { self.flows[Int(end.handle.slot)] = nil }

    /// When the engine or an application here next wants something.
    var deadline: Instant {
        var earliest = self.engine.deadline
        for end in self.streams { if let end { earliest = min(earliest, end.nextActionAt) } }
        for end in self.flows { if let end { earliest = min(earliest, end.nextActionAt) } }
        return earliest
    }
}
