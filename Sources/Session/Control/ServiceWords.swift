public import Primitives

/// What a server has told its client of services without a backend, or owes it; and at the client,
/// what it has heard.
///
/// The packet's number orders the words about a service: a word in an older packet than the last
/// one's is history, and one that is repeated says how things are by then.
struct ServiceWords {
    /// A server has at most as many services as its file has; this bounds what a client keeps of
    /// one that makes them up.
    static let limit = 4096

    struct Word {
        let service: ServiceName
        var isServed: Bool
        /// Server: the client has to be told.
        var isDue: Bool
        /// Client: the packet that said so.
        var packet: UInt64
    }

    private(set) var words: [Word] = []
    private var places: [ServiceName: Int] = [:]
    private var dueCount = 0

    var hasDue: Bool { self.dueCount > 0 }

    /// Server: notes how a service is; what the client knows already needs no word.
    mutating func set(_ service: ServiceName, isServed: Bool) {
        guard let place = self.places[service] else {
            // Silence says that it is served.
            guard !isServed, self.words.count < Self.limit else { return }
            self.places[service] = self.words.count
            self.words.append(Word(service: service, isServed: false, isDue: false, packet: 0))
            return self.owe(self.words.count - 1)
        }
        guard self.words[place].isServed != isServed else { return }
        self.words[place].isServed = isServed
        self.owe(place)
    }

    /// Server: the word at `place` has to be said, or said again.
    mutating func owe(_ place: Int) {
        guard self.words.indices.contains(place), !self.words[place].isDue else { return }
        self.words[place].isDue = true
        self.dueCount += 1
    }

    /// Server: the next word that has to be said.
    var nextDue: Int? { self.hasDue ? self.words.firstIndex { $0.isDue } : nil }

    mutating func said(_ place: Int) {
        self.words[place].isDue = false
        self.dueCount -= 1
    }

    /// Client: takes a word that came in packet `packet`; true if that is news.
    mutating func heard(_ service: ServiceName, isServed: Bool, packet: UInt64) -> Bool {
        guard let place = self.places[service] else {
            guard self.words.count < Self.limit else { return false }
            self.places[service] = self.words.count
            self.words.append(
                Word(service: service, isServed: isServed, isDue: false, packet: packet)
            )
            return !isServed
        }
        guard packet >= self.words[place].packet else { return false }
        self.words[place].packet = packet
        guard self.words[place].isServed != isServed else { return false }
        self.words[place].isServed = isServed
        return true
    }
}

/// A service by its name and what its players speak.
struct ServiceName: Hashable {
    var name: String
    var serviceProtocol: ServiceProtocol

    init(_ name: String, _ serviceProtocol: ServiceProtocol) {
        self.name = name
        self.serviceProtocol = serviceProtocol
    }

    init(_ request: OpenRequest) {
        self.init(request.service, request.serviceProtocol)
    }
}

extension ServiceWords {
    /// Writes as many words as there is room for.
    mutating func write(into packet: inout PacketBuilder) {
        while let place = self.nextDue {
            let word = self.words[place]
            let name = word.service.name.utf8
            guard packet.room >= ServiceFrame.byteCount + name.count else { return }
            self.said(place)
            let frame = ServiceFrame(
                state: word.isServed ? 1 : 0,
                kind: word.service.serviceProtocol.rawValue,
                nameByteCount: UInt8(name.count)  // bound: 64, see Configuration
            )
            packet.append(frame, rest: name.count)
            for byte in name { packet.writer.write(byte) }
            packet.note(.service, slot: 0, id: 0, value: UInt32(clamping: place))
        }
    }

    /// A packet with a word is lost: the service's state of now is said.
    mutating func lost(_ frame: FrameRecord) { self.owe(Int(frame.value)) }
}

extension PeerSession {
    var isServiceWordDue: Bool { self.services.hasDue && !self.leg.keys.isHeldBack }
}

extension Engine {
    /// Server: whether a service has a backend for new streams and flows; clients who may use it
    /// are told when that changes.
    ///
    /// A service counts as served until this says otherwise.
    public func setServed(_ service: String, _ kind: ServiceProtocol, _ isServed: Bool) {
        guard case .server(let server) = self.role else { return }
        let name = ServiceName(service, kind)
        guard server.unserved.contains(name) == isServed else { return }
        if isServed { server.unserved.remove(name) } else { server.unserved.insert(name) }
        for case let session? in self.sessions where session.isConfirmed {
            self.tellServices(to: session)
        }
    }

    /// Server: sees to it that the client knows which of the services that it may use have no
    /// backend.
    func tellServices(to session: PeerSession) {
        guard case .server(let server) = self.role,
            server.directory.peers.indices.contains(session.peer.index)
        else { return }
        let peer = server.directory.peers[session.peer.index]
        let isUnserved = { (service: ServiceName) in
            server.unserved.contains(service) && peer.mayUse(service.name)
                && server.directory.service(service.name, service.serviceProtocol) != nil
        }
        for word in session.services.words where !isUnserved(word.service) {
            session.services.set(word.service, isServed: true)
        }
        for service in server.unserved where isUnserved(service) {
            session.services.set(service, isServed: false)
        }
        if session.isServiceWordDue { self.touch(session) }
    }

    /// Client: ends a session in doubt whose server is known to be gone, with all its streams.
    ///
    /// Flows wait for the next session.
    public func abandonDoubtedSession(at now: Instant) {
        guard case .client(let client) = self.role, client.isInDoubt, let session = client.session
        else { return }
        self.end(session, reason: .sessionLost)
    }
}
