import Glibc
import Primitives

/// One connection: reads a head, writes one response, says goodbye.
///
/// Owns its descriptor. Every step is non-blocking; the loop calls ``advance(_:)`` whenever the
/// descriptor is ready and closes it at ``deadline`` at the latest.
struct AdminConnection {
    private enum State {
        case reading([UInt8])
        case writing([UInt8], sent: Int)
        /// Throws away what else arrives: closing over unread bytes would reset the connection and
        /// could take the response with it.
        case draining(Int)
    }

    enum Wish {
        case read, write, close
    }

    static let patience = Instant.Interval.seconds(5)

    let descriptor: Int32
    let deadline: Instant
    /// The listener it came from.
    let source: Int
    private var state = State.reading([])

    /// Whether its request has not arrived whole.
    var isReading: Bool {
        guard case .reading = self.state else { return false }
        return true
    }

    init(descriptor: Int32, source: Int, at now: Instant) {
        self.descriptor = descriptor
        self.source = source
        self.deadline = now + Self.patience
    }

    /// Goes on as far as the descriptor allows and says what to wait for.
    mutating func advance(_ responder: Responder) -> Wish {
        while true {
            switch self.state {
            case .reading(let bytes):
                if let wish = self.read(bytes, responder) { return wish }
            case .writing(let bytes, let sent):
                if let wish = self.write(bytes, from: sent) { return wish }
            case .draining(let total):
                switch self.receive() {
                case .bytes(let bytes) where total < 65_536:
                    self.state = .draining(total + bytes.count)
                case .nothingYet: return .read
                case .bytes, .over: return .close
                }
            }
        }
    }

    /// `nil` when the state has changed.
    private mutating func read(_ earlier: [UInt8], _ responder: Responder) -> Wish? {
        switch self.receive() {
        case .nothingYet: return .read
        case .over: return .close
        case .bytes(let new):
            let bytes = earlier + new
            switch RequestHead.parse(bytes) {
            case .incomplete: self.state = .reading(bytes)
            case .head(let head): self.state = .writing(self.answer(head, responder), sent: 0)
            case .refused(let code): self.state = .writing(Responder.refusal(code), sent: 0)
            }
            return nil
        }
    }

    private func answer(_ head: RequestHead, _ responder: Responder) -> [UInt8] {
        responder.answer(head, isControl: self.source == AdminServer.controlSource)
    }

    /// `nil` when the state has changed.
    private mutating func write(_ bytes: [UInt8], from sent: Int) -> Wish? {
        let count = unsafe bytes[sent...].withUnsafeBytes { rest in
            unsafe send(self.descriptor, rest.baseAddress, rest.count, Int32(MSG_NOSIGNAL))
        }
        guard count >= 0 else { return errno == EAGAIN || errno == EINTR ? .write : .close }
        self.state = .writing(bytes, sent: sent + count)
        if sent + count == bytes.count {
            _ = shutdown(self.descriptor, Int32(SHUT_WR))
            self.state = .draining(0)
        }
        return nil
    }

    private enum Received {
        case bytes([UInt8])
        case nothingYet
        case over
    }

    private func receive() -> Received {
        var count = 0
        let bytes = unsafe [UInt8](unsafeUninitializedCapacity: 4096) { buffer, initializedCount in
            count = unsafe recv(self.descriptor, buffer.baseAddress, buffer.count, 0)
            initializedCount = max(0, count)
        }
        if count > 0 { return .bytes(bytes) }
        return count < 0 && (errno == EAGAIN || errno == EINTR) ? .nothingYet : .over
    }
}
