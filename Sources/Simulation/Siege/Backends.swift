import Primitives
import Session

/// What stands behind the server's services, whoever asks for them.
final class Backends {
    private enum Service {
        case echo, flood, sink, stuck
    }

    private var streams: [StreamHandle: Service] = [:]
    /// Bytes sent so far on the streams that are flooded.
    private var sent: [StreamHandle: UInt64] = [:]
    /// Of a flooded stream: whoever asks for it gets these bytes.
    static let flood = Pattern(key: 0xF100_D)
    static let floodByteCount: UInt64 = 1 << 30

    /// Takes everything the engine has for them.
    func drain(_ engine: Engine, _ digest: inout Digest, at now: Instant) -> Bool {
        var isBusy = false
        while let handle = engine.nextReadyStream() {
            self.serve(handle, engine, &digest, at: now)
            isBusy = true
        }
        while let (flow, bytes) = engine.nextDatagram() {
            digest.add(bytes)
            let copy = [UInt8](bytes)
            copy.withUnsafeBytes { engine.send($0, on: flow, at: now) }
            isBusy = true
        }
        return isBusy
    }

    func opened(_ handle: StreamHandle, _ request: OpenRequest, _ engine: Engine, at now: Instant) {
        let service: Service =
            switch request.service {
            case Siege.echoService: .echo
            case Siege.floodService: .flood
            case Siege.sinkService: .sink
            default: .stuck
            }
        self.streams[handle] = service
        var unread = Digest()
        self.serve(handle, engine, &unread, at: now)
    }

    func ended(_ handle: StreamHandle) {
        self.streams[handle] = nil
        self.sent[handle] = nil
    }

    private func serve(
        _ handle: StreamHandle,
        _ engine: Engine,
        _ digest: inout Digest,
        at now: Instant
    ) {
        switch self.streams[handle] {
        case .echo: self.echo(handle, engine, &digest, at: now)
        case .flood: self.flood(handle, engine, at: now)
        case .sink:
            while true {
                let region = engine.beginRead(from: handle)
                guard !region.isEmpty else { break }
                digest.add(region)
                engine.consumed(region.count, from: handle, at: now)
            }
            if engine.isReceiveFinished(handle) { engine.finish(handle, at: now) }
        case .stuck, nil: return
        }
    }

    private func echo(
        _ handle: StreamHandle,
        _ engine: Engine,
        _ digest: inout Digest,
        at now: Instant
    ) {
        while true {
            let room = engine.beginWrite(to: handle)
            let region = engine.beginRead(from: handle)
            let count = min(room.count, region.count)
            guard count > 0 else { break }
            let bytes = UnsafeRawBufferPointer(rebasing: region[..<count])
            digest.add(bytes)
            room.copyMemory(from: bytes)
            engine.wrote(count, to: handle, at: now)
            engine.consumed(count, from: handle, at: now)
        }
        if engine.isReceiveFinished(handle) { engine.finish(handle, at: now) }
    }

    private func flood(_ handle: StreamHandle, _ engine: Engine, at now: Instant) {
        var sent = self.sent[handle, default: 0]
        while sent < Self.floodByteCount {
            let room = engine.beginWrite(to: handle)
            guard !room.isEmpty else { break }
            Self.flood.fill(room, from: sent)
            engine.wrote(room.count, to: handle, at: now)
            sent += UInt64(room.count)
        }
        self.sent[handle] = sent
    }
}
