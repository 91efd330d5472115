import Configuration
import LinuxIO
import Origin
import Primitives
import Session

/// Listeners behind proxies that say who the player is.
extension ClientSide {
    /// A connection came to a listener that expects a header before the player.
    func admit(_ accepted: AcceptedConnection, _ slot: Int, _ listener: Listener, at now: Instant) {
        guard listener.trusted.contains(accepted.peer) else {
            return self.refuse(accepted.socket, listener, .untrusted, from: accepted.peer)
        }
        var parser = ProxyHeaderParser(
            accepting: listener.forward.accept == .proxyV1 ? .v1 : .v2
        )
        guard self.read(accepted, &parser, slot, listener, at: now) else { return }
        if self.waits.isFull, let oldest = self.waits.removeOldest() {
            self.drop(oldest, because: .fault(.crowded))
        }
        let handle = self.waits.insert(accepted, listener: slot, parser: parser, at: now)
        let token = Token(.header, slot: handle.slot, generation: handle.generation).rawValue
        do {
            try self.parts.poller.add(
                accepted.socket.descriptor,
                token: token,
                interest: .readable
            )
        } catch {
            self.waits.remove(handle)
            accepted.socket.abort()
        }
        self.updateDeadline()
    }

    /// More of a header has come.
    func headerReady(_ slot: Int, _ generation: UInt32, at now: Instant) {
        let handle = HeaderWaits.Handle(slot: slot, generation: generation)
        guard let wait = self.waits.find(handle), let listener = self.listener(wait.listener)
        else { return }
        // Out of the poller and the table first: what is complete goes elsewhere at once.
        let isOpen = self.read(wait.connection, &wait.parser, wait.listener, listener, at: now) {
            try? self.parts.poller.remove(wait.connection.socket.descriptor)
            self.waits.remove(handle)
        }
        if !isOpen { self.updateDeadline() }
    }

    /// Reads towards a complete header; true while more is needed.
    private func read(
        _ connection: AcceptedConnection,
        _ parser: inout ProxyHeaderParser,
        _ slot: Int,
        _ listener: Listener,
        at now: Instant,
        settled: () -> Void = {}
    ) -> Bool {
        while true {
            switch connection.socket.read(into: self.headerBuffer) {
            case .moved(let count):
                let bytes = UnsafeRawBufferPointer(rebasing: self.headerBuffer[..<count])
                switch parser.feed(bytes) {
                case .needMore: continue
                case .invalid(let fault):
                    settled()
                    self.refuse(
                        connection.socket,
                        listener,
                        .fault(fault),
                        from: connection.peer
                    )
                case .header(let header, let consumed):
                    settled()
                    self.open(
                        connection,
                        slot,
                        listener,
                        origin: header.flatMap {
                            self.hosts.origin($0.source, by: connection.peer)
                        },
                        destination: header?.destination ?? connection.local,
                        context: OpenContext(
                            uniqueID: parser.uniqueID,
                            authority: parser.authority
                        ),
                        rest: UnsafeRawBufferPointer(rebasing: bytes[consumed...]),
                        at: now
                    )
                }
                return false
            case .wouldBlock:
                return true
            case .finished, .failed:
                settled()
                self.refuse(
                    connection.socket,
                    listener,
                    .fault(.length),
                    from: connection.peer
                )
                return false
            }
        }
    }

    /// Gives up on headers that have not come in time.
    func expireHeaders(at now: Instant) {
        while self.waits.deadline <= now, let wait = self.waits.removeOldest() {
            self.drop(wait, because: .timeout)
        }
    }

    /// The listener is gone or leads elsewhere: what waited at it goes with it.
    func dropHeaders(listener: Int) {
        for handle in self.waits.handles(listener: listener) {
            guard let wait = self.waits.remove(handle) else { continue }
            wait.connection.socket.abort()
        }
    }

    private func drop(_ wait: HeaderWaits.Wait, because reason: HeaderRefusal) {
        guard let listener = self.listener(wait.listener) else {
            return wait.connection.socket.abort()
        }
        self.refuse(wait.connection.socket, listener, reason, from: wait.connection.peer)
    }

    private func refuse(
        _ socket: TCPSocket,
        _ listener: Listener,
        _ reason: HeaderRefusal,
        from peer: SocketAddress
    ) {
        self.parts.tallies.refuseHeader(reason)
        self.logRefusal(listener, reason, from: peer)
        socket.abort()
    }

    private func logRefusal(
        _ listener: Listener,
        _ reason: HeaderRefusal,
        from peer: SocketAddress
    ) {
        let forward = listener.forward
        let version: String? =
            switch reason {
            case .fault(.versionOne): "proxy-v1"
            case .fault(.versionTwo): "proxy-v2"
            default: nil
            }
        guard let version else {
            return self.parts.log.warning(
                "header-refused",
                ["service": forward.service, "from": peer.hostText, "reason": reason.label]
            )
        }
        let isFirst = version == "proxy-v1" && forward.transportProtocol == .udp
        self.parts.log.warning(
            "header-refused",
            [
                "service": forward.service, "from": peer.hostText, "reason": reason.label,
                "cure": "accept = \"\(version)\""
                    + (isFirst ? " with dialect = \"first\"" : ""),
            ]
        )
    }

    // MARK: UDP

    /// Who sent a datagram, and where in it the player's own bytes begin; `nil` if it is dropped
    /// or says nothing but who comes.
    ///
    /// No player: the proxy that sent it speaks for itself.
    @inline(__always)
    func unwrap(
        _ packet: ReceivedPacket,
        _ listener: Listener,
        at now: Instant
    ) -> (player: SocketAddress?, destination: SocketAddress, payload: UnsafeRawBufferPointer)? {
        let bytes = UnsafeRawBufferPointer(packet.bytes)
        guard let acceptor = listener.acceptor else {
            return (packet.source, packet.destination, bytes)
        }
        return self.unwrap(bytes, packet, listener, acceptor, at: now)
    }

    private func unwrap(
        _ bytes: UnsafeRawBufferPointer,
        _ packet: ReceivedPacket,
        _ listener: Listener,
        _ acceptor: DatagramAcceptor,
        at now: Instant
    ) -> (player: SocketAddress?, destination: SocketAddress, payload: UnsafeRawBufferPointer)? {
        guard listener.trusted.contains(packet.source) else {
            self.refuseDatagram(.untrusted, listener, from: packet.source)
            return nil
        }
        switch acceptor.accept(bytes, from: packet.source, at: now) {
        case .announcement:
            Self.announce(packet, listener)
            return nil
        case .payload(let header, let offset):
            return (
                header?.source,
                header?.destination ?? packet.destination,
                UnsafeRawBufferPointer(rebasing: bytes[offset...])
            )
        case .refused(let fault):
            self.refuseDatagram(.fault(fault), listener, from: packet.source)
            return nil
        }
    }

    /// More flows than this do not begin between an announcement and the datagram behind it.
    private static let announcedLimit = 1_024

    /// What a flow's header says besides addresses: that of its first datagram, or of the
    /// announcement before it.
    static func context(_ packet: ReceivedPacket, _ listener: Listener) -> OpenContext {
        listener.announced.removeValue(forKey: packet.source) ?? Self.context(packet)
    }

    private static func context(_ packet: ReceivedPacket) -> OpenContext {
        let bytes = UnsafeRawBufferPointer(packet.bytes)
        let (uniqueID, authority) = ProxyHeaderParser.extensions(ofDatagram: bytes)
        return OpenContext(uniqueID: uniqueID, authority: authority)
    }

    /// A header came alone; its flow's first datagram is on the way.
    private static func announce(_ packet: ReceivedPacket, _ listener: Listener) {
        let context = Self.context(packet)
        guard context != OpenContext() else { return }
        if listener.announced.count >= Self.announcedLimit { listener.announced.removeAll() }
        listener.announced[packet.source] = context
    }

    /// Any host can send these, so most are counted and nothing else.
    private func refuseDatagram(
        _ reason: HeaderRefusal,
        _ listener: Listener,
        from source: SocketAddress
    ) {
        if self.parts.tallies.refuseHeader(reason) & 0xFFFF == 1 {
            self.logRefusal(listener, reason, from: source)
        }
    }
}
