import Erasure
import Origin
import Primitives

extension ClientConfiguration: ReadableConfiguration {
    /// Reads and checks a client's file without touching the key files it names.
    ///
    /// `file` is the name for messages; relative paths are relative to `folder`.
    public static func parse(
        _ text: String,
        file: String,
        folder: String = ""
    ) throws(ConfigurationError) -> Self {
        try Source(text: text, file: file, folder: folder).read()
    }

    /// Reads and checks a file and loads the keys it names, opening nothing else.
    ///
    /// `keyMode`: who may be able to read the key files.
    public static func load(
        path: String,
        keyMode: KeyMode = .strict
    ) throws(ConfigurationError) -> LoadedConfiguration<Self> {
        try Source(path: path).load(keyMode: keyMode)
    }

    static let kind = FileKind.client

    static func presharedPlaces(_ root: Section) -> [(section: Section, holder: String)] {
        [(root, "server_public_key")]
    }

    /// `nil` only after a complaint.
    init?(_ root: Section, folder: String) {
        root.checkKeys()
        let servers = Self.servers(root)
        let serverPublicKey = root.publicKey("server_public_key")
        let privateKey = root.keyFile("private_key", relativeTo: folder)
        let presharedKey = root.keyFile("preshared_key", relativeTo: folder)
        let admin = root.admin()
        let adminHosts = root.adminHosts()
        let control = root.control(relativeTo: folder)
        let reloadsOnChange = root.boolean("reload_on_change")
        let transport = root.transport()
        let limits = root.limits()
        let sections = root.tables("forward")
        let forwards = sections.map { Forward($0) }
        Self.refuseDuplicates(forwards, sections)
        Self.refuseLoops(root, servers ?? [], forwards.compactMap { $0 })
        guard let servers, let serverPublicKey, let privateKey else { return nil }
        self.init(servers: servers, serverPublicKey: serverPublicKey, privateKey: privateKey)
        self.presharedKey = presharedKey
        self.admin = admin
        self.adminHosts = adminHosts ?? []
        self.control = control ?? .automatic
        self.reloadsOnChange = reloadsOnChange ?? false
        self.transport = transport
        self.limits = limits
        self.forwards = forwards.compactMap { $0 }
    }

    private static func servers(_ root: Section) -> [Endpoint]? {
        let servers = root.values("server") { Endpoint(server: $0) }
        guard let servers, servers.isEmpty else { return servers }
        root.complain("server", got: "an empty list", expected: Section.serverForm)
        return nil
    }

    /// The tunnel's own packets must not come in as a player's.
    private static func refuseLoops(_ root: Section, _ servers: [Endpoint], _ forwards: [Forward]) {
        for case .address(let server) in servers {
            let own = forwards.first { forward in
                forward.transportProtocol == .udp
                    && forward.listen.contains(port: server.port)
                    && server.isCertainlyAt(forward.listen.first.with(port: server.port))
            }
            guard let own else { continue }
            root.complain(
                "server",
                got: "\"\(server)\", where [[forward]] listen = \"\(own.listen)\" listens itself",
                expected: "an address that does not lead back into this client"
            )
        }
    }

    private static func refuseDuplicates(_ forwards: [Forward?], _ sections: [Section]) {
        for (index, forward) in forwards.enumerated() {
            guard let forward else { continue }
            let earlier = forwards[..<index].firstIndex { other in
                guard let other else { return false }
                return other.transportProtocol == forward.transportProtocol
                    && other.listen.overlaps(forward.listen)
            }
            guard let earlier, let line = sections[earlier]["listen"]?.line else { continue }
            sections[index].complain(
                "listen",
                got: "\"\(forward.listen)\" a second time (first on line \(line))",
                expected: "one \(forward.transportProtocol.rawValue) forward for each address"
            )
        }
    }
}

extension Forward {
    /// `nil` only after a complaint.
    init?(_ section: Section) {
        section.checkKeys()
        let isTransparent = section.boolean("transparent") ?? false
        let listen = Self.listen(section, isTransparent: isTransparent)
        let transportProtocol: ForwardedProtocol? = section.choice("protocol")
        let service = section.name("service")
        let trafficClass: TrafficClass? = section.choice("class")
        let compression: CompressionWish? = section.choice("compression")
        let redundancy: RedundancyLevel? = section.choice("fec")
        let idleTimeout = section.duration("idle_timeout")
        let acceptance: Acceptance? = section.choice("accept_when")
        let maximumStall = section.duration("max_stall")
        let delivery = Self.delivery(section)
        let accept: AcceptedHeader? = section.choice("accept")
        let trusted = section.networks("trusted")
        let dialect: HeaderDialect? = section.choice("dialect")
        Self.checkTrust(section, accept: accept, trusted: trusted)
        if let transportProtocol {
            Self.check(section, accept: accept ?? .plain, dialect, transportProtocol)
        }
        if isTransparent { Self.checkTransparent(section, listen, accept ?? .plain) }
        guard let listen, let transportProtocol, let service else { return nil }
        self.init(listen: listen, transportProtocol: transportProtocol, service: service)
        self.trafficClass = trafficClass ?? .auto
        self.isCompressed = compression == .auto
        self.delivery = delivery ?? .datagram
        self.idleTimeout = idleTimeout ?? self.idleTimeout
        self.acceptance = acceptance ?? .ready
        self.maximumStall = maximumStall
        self.accept = accept ?? .plain
        self.trusted = trusted ?? []
        self.dialect = dialect ?? .every
        self.redundancy = redundancy
        self.isTransparent = isTransparent
    }

    private enum CompressionWish: String, CaseIterable { case off, auto }
    private enum DeliveryName: String, CaseIterable { case datagram, deadline, reliable }

    private static func listen(_ section: Section, isTransparent: Bool) -> ListenRange? {
        guard let text = section.string("listen") else { return nil }
        if let single = Section.local(text) {
            return ListenRange(first: single, lastPort: single.port)
        }
        guard let dash = text.lastIndex(of: "-"),
            let first = Section.local(String(text[..<dash])),
            let last = SocketAddress("0.0.0.0:" + text[text.index(after: dash)...])?.port
        else {
            section.complain("listen", got: Complaint.quoted(text), expected: Section.listenForm)
            return nil
        }
        guard first.port > 0, let range = ListenRange(first: first, lastPort: last) else {
            section.complain(
                "listen",
                got: Complaint.quoted(text),
                expected: "a port range A-B with 1 <= A <= B"
            )
            return nil
        }
        // A transparent forward has one socket, however many ports lead to it.
        guard isTransparent || range.count <= ListenRange.maximumCount else {
            section.complain(
                "listen",
                got: "\(range.count) ports",
                expected: "a range of at most \(ListenRange.maximumCount) ports"
                    + " (more with transparent = true)"
            )
            return nil
        }
        return range
    }

    /// What a rule of the packet filter can lead to a listener, and what it cannot.
    private static func checkTransparent(
        _ section: Section,
        _ listen: ListenRange?,
        _ accept: AcceptedHeader
    ) {
        if accept != .plain {
            section.complain(
                "transparent",
                got: "true with accept \"\(accept.rawValue)\"",
                expected: "one of the two: a header says where the player connected to"
            )
        }
        guard let first = listen?.first else { return }
        if first.port == 0 {
            section.complain(
                "listen",
                got: "port 0 with transparent = true",
                expected: "the ports that the packet filter's rule shall name"
            )
        }
        if first.isLoopback {
            section.complain(
                "listen",
                got: "\"\(first)\" with transparent = true",
                expected: "an address that players can send to, such as \"0.0.0.0\" for every one"
            )
        }
    }

    private static func delivery(_ section: Section) -> Delivery? {
        let name: DeliveryName? = section.choice("delivery")
        let age = section.duration("max_age")
        switch name {
        case .deadline:
            if !section.has("max_age") {
                section.complain(
                    "delivery",
                    got: "\"deadline\" without max_age",
                    expected: "max_age = \"150ms\" beside it"
                )
            }
            return age.map { .deadline(maximumAge: $0) }
        case .datagram, .reliable, nil:
            if section.has("max_age"), name != nil || !section.has("delivery") {
                let got = name.map { "it with delivery \"\($0.rawValue)\"" } ?? "it alone"
                section.complain(
                    "max_age",
                    got: got,
                    expected: "it only with delivery = \"deadline\""
                )
            }
            return name == .reliable ? .reliable : .datagram
        }
    }

    private static func checkTrust(
        _ section: Section,
        accept: AcceptedHeader?,
        trusted: [AddressBlock]?
    ) {
        let form = "a list of networks that may send headers, such as [\"192.0.2.0/24\"]"
        if let accept, accept != .plain {
            if !section.has("trusted") {
                section.complain(
                    "accept",
                    got: "\"\(accept.rawValue)\" without trusted",
                    expected: "trusted beside it, \(form)"
                )
            } else if let trusted, trusted.isEmpty {
                section.complain("trusted", got: "an empty list", expected: form)
            }
        } else if section.has("trusted"), !section.has("accept") {
            // Beside an explicit accept = "plain" the list waits for the day it is needed.
            section.complain(
                "trusted",
                got: "it without accept",
                expected: "accept = \"proxy-v1\", \"proxy-v2\" or \"spp\" beside it"
            )
        }
    }

    /// What makes no sense together.
    private static func check(
        _ section: Section,
        accept: AcceptedHeader,
        _ dialect: HeaderDialect?,
        _ transportProtocol: ForwardedProtocol
    ) {
        section.checkHeader("accept", accept.rawValue, dialect, with: transportProtocol)
        section.checkDialect(dialect, beside: "accept", accept.rawValue, transportProtocol)
        let isTCP = transportProtocol == .tcp
        let foreign =
            isTCP ? ["delivery", "max_age", "idle_timeout"] : ["accept_when", "max_stall"]
        for key in foreign where section.has(key) {
            section.complain(
                key,
                got: "it with protocol \"\(transportProtocol.rawValue)\"",
                expected: "it only with protocol \"\(isTCP ? "udp" : "tcp")\""
            )
        }
    }
}
