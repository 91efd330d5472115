public import Primitives

/// Tells, for every datagram of a listener behind a trusted proxy, which player sent it.
///
/// The caller has checked that the datagram comes from a trusted network. In `first` and
/// `first-alone` the player's own bytes stand where a header would, so a header is believed only
/// while its flow is unknown; one that names somebody else in the middle of a flow is either a
/// player's forgery or a new flow on an old port, and then the whole flow is refused until it has
/// been silent for ``defaultLifetime``, which is as long as the proxy itself remembers it.
public final class DatagramAcceptor {
    /// How a proxy tells of the player in datagrams.
    public enum Framing: Hashable, Sendable {
        /// PROXY version 2, placed as the dialect says.
        case proxyV2(HeaderDialect)
        /// A line of text in front of the first datagram of a flow, as nginx sends it; no
        /// specification has it.
        case proxyV1First
        /// Cloudflare's Simple Proxy Protocol.
        case simple
    }

    /// What became of a datagram.
    public enum Outcome: Hashable, Sendable {
        /// The player's datagram begins at `offset` and may be empty.
        ///
        /// No header inside means: take the proxy itself for the player.
        case payload(ProxyHeader?, offset: Int)
        /// A header without a datagram; there is nothing to forward.
        case announcement
        /// Drop the datagram and count it.
        case refused(HeaderFault)
    }

    /// Cloudflare Spectrum forgets an idle flow after 30 s.
    public static let defaultLifetime = Instant.Interval.seconds(30)
    /// Flows remembered at most; datagrams of further ones are refused, ``HeaderFault/crowded``.
    public static let defaultCapacity = 65_536

    private let framing: Framing
    private var associations: AssociationTable

    /// An acceptor that knows no flows; memory grows with them, up to `capacity`.
    ///
    /// `key` has to be secret, so that nobody can aim at one chain of the table.
    public init(
        _ framing: Framing,
        key: HashKey,
        capacity: Int = DatagramAcceptor.defaultCapacity,
        lifetime: Instant.Interval = DatagramAcceptor.defaultLifetime
    ) {
        self.framing = framing
        self.associations = AssociationTable(capacity: capacity, lifetime: lifetime, key: key)
    }

    /// Flows remembered, stale ones included until they are met again.
    public var associationCount: Int { self.associations.count }

    /// Whether a player is known by the proxy's address rather than by the header's.
    ///
    /// In `every` and in Simple Proxy Protocol one proxy socket carries many players.
    public var remembersFlows: Bool {
        switch self.framing {
        case .simple, .proxyV2(.every): false
        case .proxyV2, .proxyV1First: true
        }
    }

    /// Finds the player of `datagram`, which is only looked at and not kept.
    public func accept(
        _ datagram: UnsafeRawBufferPointer,
        from proxy: SocketAddress,
        at now: Instant
    ) -> Outcome {
        switch self.framing {
        case .simple:
            guard let header = ProxyHeader(simple: datagram) else {
                if let version = Self.version(datagram) { return .refused(version) }
                let isShort = datagram.count < ProxyHeader.simpleByteCount
                return .refused(isShort ? .length : .signature)
            }
            return .payload(header, offset: ProxyHeader.simpleByteCount)
        case .proxyV2(.every):
            switch self.header(datagram) {
            case .present(let header): return .payload(header.addresses, offset: header.byteCount)
            case .absent: return .refused(Self.version(datagram) ?? .signature)
            case .broken(let fault): return .refused(fault)
            }
        case .proxyV2(let dialect):
            return self.acceptRemembered(datagram, from: proxy, dialect, at: now)
        case .proxyV1First:
            return self.acceptRemembered(datagram, from: proxy, .first, at: now)
        }
    }

    /// A reply went out to `proxy`: its flow is in use.
    public func replied(to proxy: SocketAddress, at now: Instant) {
        guard self.remembersFlows, let slot = self.associations.find(proxy, at: now) else { return }
        // Traffic towards a disputed flow must not keep the dispute alive.
        guard self.associations[slot].mode != .disputed else { return }
        self.associations.touch(slot, at: now)
    }

    /// A header at the front of a datagram.
    private struct Front {
        let addresses: ProxyHeader?
        let byteCount: Int
    }

    private enum Presence {
        case present(Front)
        case absent
        case broken(HeaderFault)
    }

    private func header(_ datagram: UnsafeRawBufferPointer) -> Presence {
        self.framing == .proxyV1First ? Self.headerV1(datagram) : Self.headerV2(datagram)
    }

    private static func headerV1(_ datagram: UnsafeRawBufferPointer) -> Presence {
        switch ProxyV1.parse(datagram) {
        case .header(let header, let byteCount):
            .present(Front(addresses: header, byteCount: byteCount))
        case .needMore: ProxyV1.begins(datagram) ? .broken(.length) : .absent
        case .invalid(.signature): .absent
        case .invalid(let fault): .broken(fault)
        }
    }

    private static func headerV2(_ datagram: UnsafeRawBufferPointer) -> Presence {
        guard ProxyV2.begins(datagram) else { return .absent }
        switch ProxyV2.parse(datagram, transport: .datagram) {
        case .header(let header):
            return .present(Front(addresses: header.addresses, byteCount: header.byteCount))
        // A header may not continue in the next datagram.
        case .needMore: return .broken(.length)
        case .invalid(let fault): return .broken(fault)
        }
    }

    /// Names a header of a version that nobody expected.
    private static func version(_ datagram: UnsafeRawBufferPointer) -> HeaderFault? {
        if ProxyV1.begins(datagram) { return .versionOne }
        return ProxyV2.begins(datagram) ? .versionTwo : nil
    }

    private func acceptRemembered(
        _ datagram: UnsafeRawBufferPointer,
        from proxy: SocketAddress,
        _ dialect: HeaderDialect,
        at now: Instant
    ) -> Outcome {
        guard let slot = self.associations.find(proxy, at: now) else {
            return self.begin(datagram, from: proxy, dialect, at: now)
        }
        self.associations.touch(slot, at: now)
        let entry = self.associations[slot]
        let presence = self.header(datagram)
        switch entry.mode {
        case .disputed:
            return .refused(.conflict)
        case .undecided:
            switch presence {
            case .absent: self.associations[slot].mode = .announced
            case .present: self.associations[slot].mode = .everyDatagram
            case .broken: break
            }
            return self.continue(datagram, slot, presence)
        case .everyDatagram, .announced:
            return self.continue(datagram, slot, presence)
        }
    }

    /// The first datagram of a flow has to bring the header.
    private func begin(
        _ datagram: UnsafeRawBufferPointer,
        from proxy: SocketAddress,
        _ dialect: HeaderDialect,
        at now: Instant
    ) -> Outcome {
        let header: Front
        switch self.header(datagram) {
        case .present(let found): header = found
        case .absent: return .refused(Self.version(datagram) ?? .unannounced)
        case .broken(let fault): return .refused(fault)
        }
        let isAlone = header.byteCount == datagram.count
        if dialect == .firstAlone, !isAlone { return .refused(.length) }
        let isDecided = dialect != .any || isAlone
        let mode = isDecided ? AssociationTable.Mode.announced : .undecided
        guard self.associations.insert(proxy, header.addresses, mode, at: now) else {
            return .refused(.crowded)
        }
        if isAlone, dialect != .first { return .announcement }
        return .payload(header.addresses, offset: header.byteCount)
    }

    private func `continue`(
        _ datagram: UnsafeRawBufferPointer,
        _ slot: Int32,
        _ presence: Presence
    ) -> Outcome {
        let entry = self.associations[slot]
        switch presence {
        case .absent:
            return entry.mode == .everyDatagram
                ? .refused(.signature) : .payload(entry.header, offset: 0)
        case .present(let header) where entry.mode == .everyDatagram:
            return .payload(header.addresses, offset: header.byteCount)
        case .present(let header) where header.addresses == entry.header:
            // Said again, as a proxy does that is not sure to have been heard.
            return header.byteCount == datagram.count
                ? .announcement : .payload(entry.header, offset: header.byteCount)
        case .present:
            self.associations[slot].mode = .disputed
            return .refused(.conflict)
        case .broken(let fault):
            return .refused(fault)
        }
    }
}
