import Configuration
import LinuxIO
import Primitives
import Session

/// Listeners that follow their service; see ``ListenerGate``.
extension ClientSide {
    /// Opens and closes listeners, if anything has happened that they follow.
    func followGate(at now: Instant) {
        guard self.gate?.takeChange() == true else { return }
        self.applyGate(at: now)
    }

    func applyGate(at now: Instant) {
        var isStuck = false
        for slot in self.slots {
            guard let listener = self.listener(slot), case .tcp(let socket) = listener.local.socket
            else { continue }
            let isFollower = listener.forward.acceptance == .ready
            let closure = isFollower ? self.gate?.closure(of: listener.forward.service) : nil
            if let closure {
                if listener.closure == nil { self.close(socket, slot, listener, because: closure) }
                listener.closure = closure
            } else if listener.closure != nil {
                if self.open(socket, listener) { listener.closure = nil } else { isStuck = true }
            }
        }
        if isStuck { self.gate?.retry(at: now + .seconds(1)) }
        self.updateDeadline()
    }

    private func close(
        _ socket: TCPListener,
        _ slot: Int,
        _ listener: Listener,
        because closure: ListenerGate.Closure
    ) {
        self.dropHeaders(listener: slot)
        // A socket that does not listen would be reported for ever.
        try? self.parts.poller.remove(listener.local.descriptor)
        socket.pause()
        self.parts.log.warning(
            "listener-closed",
            [
                "listen": listener.address.description, "service": listener.forward.service,
                "cause": closure.rawValue,
            ]
        )
    }

    private func open(_ socket: TCPListener, _ listener: Listener) -> Bool {
        do throws(IOError) {
            try socket.resume()
            try self.parts.poller.add(
                listener.local.descriptor,
                token: listener.token,
                interest: .readable
            )
        } catch {
            socket.pause()
            self.parts.log.error(
                "listener-failed",
                ["listen": listener.address.description, "cause": error.description]
            )
            return false
        }
        self.parts.log.info(
            "listener-opened",
            ["listen": listener.address.description, "service": listener.forward.service]
        )
        return true
    }
}
