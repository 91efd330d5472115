import Configuration
import Primitives
import Sealing
import Session

/// The engine's cold events: what the operator reads, and what the sides do about them.
extension Worker {
    func handle(_ event: EngineEvent, at now: Instant) {
        self.client?.gate?.take(event, at: now)
        // Whoever reads of the session finds listeners open.
        if case .sessionUp = event { self.client?.followGate(at: now) }
        switch event {
        case .sessionUp(let session, let info):
            self.server?.sessionChanged(session, info)
            self.outage = Outage()
            self.log.info("session-up", self.fields(info))
        case .sessionStrengthened(_, let info):
            self.log.info("post-quantum", self.fields(info))
        case .sessionDown(let session, let info, let reason):
            self.server?.sessionChanged(session, nil)
            // Whoever shuts down on purpose needs no warning of it.
            self.log.log(
                reason == .shutdown ? .info : .warning,
                "session-down",
                [
                    "peer": info.peerName, "address": info.address.description,
                    "reason": reason.label,
                ]
            )
        case .peerMoved(let session, let info, let old):
            self.peerMoved(session, info, from: old)
        case .streamOpened(let handle, let session, let request):
            self.open(.init(place: .stream(handle), session: session, request: request), at: now)
        case .streamClosed(let handle):
            self.openings.remove(.stream(handle))
            self.server?.forget(handle)
            self.streams.close(handle)
        case .streamReset(let handle, let reason):
            self.streamReset(handle, reason)
        case .flowOpened(let handle, let session, let request):
            self.open(.init(place: .flow(handle), session: session, request: request), at: now)
        case .flowClosed(let handle, let reason):
            self.flowClosed(handle, reason)
        case .openRefused(_, let info, let request, let reason):
            self.openRefused(info, request, reason)
        case .handshakeRefused(let reason, let key, let peer, let source):
            self.handshakeRefused(reason, key, peer, source)
        case .peerCrowded(let key):
            self.server?.askSiblings(about: key)
        case .sessionDoubted(_, let info):
            self.sessionDoubted(info, at: now)
        case .sessionTrusted(_, let info):
            self.log.info("session-recovered", Self.place(info))
            self.outage.trust()
        case .sessionSilent(_, let info): self.outage.suspect(info.address, at: now)
        case .sessionHeard, .serviceChanged: break
        case .serverChanged(let old, let new):
            self.log.warning("server-changed", ["from": old.description, "to": new.description])
        case .connectFailed(let failure, let server):
            self.connectFailed(failure, server, at: now)
        }
    }

    private func peerMoved(
        _ session: SessionHandle,
        _ info: SessionInfo,
        from old: SocketAddress
    ) {
        self.server?.sessionChanged(session, info)
        self.log.info(
            "peer-moved",
            ["peer": info.peerName, "from": old.description, "to": info.address.description]
        )
    }

    private func sessionDoubted(_ info: SessionInfo, at now: Instant) {
        self.log.warning("session-in-doubt", Self.place(info))
        if self.outage.isGone(at: now) {
            self.engine.abandonDoubtedSession(at: now)
        } else {
            self.outage.suspect(info.address, at: now)
        }
    }

    private static func place(_ info: SessionInfo) -> EventLog.Fields {
        ["peer": info.peerName, "address": info.address.description]
    }

    private func fields(_ info: SessionInfo) -> EventLog.Fields {
        [
            "peer": info.peerName, "address": info.address.description,
            "cipher": info.cipher.label,
        ]
    }

    private func open(_ opening: Openings.Opening, at now: Instant) {
        guard self.openings.takeTurn() else { return self.openings.append(opening) }
        self.begin(opening, at: now)
    }

    private func begin(_ opening: Openings.Opening, at now: Instant) {
        switch opening.place {
        case .stream(let handle):
            self.server?.open(handle, opening.session, opening.request, at: now)
        case .flow(let handle):
            self.server?.open(handle, opening.session, opening.request, at: now)
            for datagram in self.openings.takeDatagrams(of: handle) {
                datagram.withUnsafeBytes { self.server?.deliver($0, on: handle) }
            }
        }
    }

    /// Looks for backends of some of the streams and flows that wait.
    func openWaiting(at now: Instant) {
        // What has ended meanwhile must not be opened.
        self.settleEvents(at: now)
        for opening in self.openings.nextTurn() { self.begin(opening, at: now) }
    }

    private func streamReset(_ handle: StreamHandle, _ reason: ResetReason) {
        self.openings.remove(.stream(handle))
        self.server?.forget(handle)
        if let entry = self.streams.entry(handle) {
            let service = self.tallies.services[Int(entry.pointee.service)].name
            self.logReset(service, self.outage.reason(of: reason), reason == .aborted)
        }
        self.streams.abort(handle)
    }

    /// A local peer did not take what was sent to it for longer than the forward allows.
    func logStall(_ service: Int32) {
        let name = self.tallies.services[Int(service)].name
        self.logReset(name, ResetReason.stalled.label, false)
    }

    /// A player who hangs up is daily business, everything else is news.
    private func logReset(_ service: String, _ reason: String, _ isDaily: Bool) {
        self.log.log(
            isDaily ? .debug : .info,
            "stream-reset",
            ["service": service, "reason": reason]
        )
    }

    private func flowClosed(_ handle: FlowHandle, _ reason: ResetReason) {
        self.openings.remove(.flow(handle))
        let service = self.client?.forget(handle) ?? self.server?.forget(handle)
        guard let service, reason != .idle, reason != .aborted else { return }
        self.log.info(
            "flow-closed",
            ["service": self.tallies.services[Int(service)].name, "reason": reason.label]
        )
    }

    private func openRefused(_ info: SessionInfo, _ request: OpenRequest, _ reason: ResetReason) {
        self.log.warning(
            "open-refused",
            [
                "peer": info.peerName, "service": request.service,
                "protocol": request.serviceProtocol == .tcp ? "tcp" : "udp",
                "origin": request.origin?.description ?? "-", "reason": reason.label,
                "hint": reason.openingHint ?? "-",
            ]
        )
    }

    /// Somebody who knows this server's public key was turned away.
    private func handshakeRefused(
        _ reason: RefusalReason,
        _ key: PublicKey,
        _ peer: String?,
        _ source: SocketAddress
    ) {
        self.tallies.refusals.note(
            reason.label,
            key: key.description,
            peer: peer,
            from: source,
            at: WallTime.now().secondsSince1970
        )
        self.log.warning(
            "handshake-refused",
            [
                "reason": reason.label, "peer": peer ?? "-", "key": key.description,
                "from": source.description, "hint": reason.hint(about: key),
            ]
        )
    }
}
