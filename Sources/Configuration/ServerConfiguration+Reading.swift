import Primitives
import Sealing

extension ServerConfiguration: ReadableConfiguration {
    /// Reads and checks a server's file without touching the key files it names.
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

    static let kind = FileKind.server

    static func presharedPlaces(_ root: Section) -> [(section: Section, holder: String)] {
        root.quietTables("peer").map { ($0, "public_key") }
    }

    /// `nil` only after a complaint.
    init?(_ root: Section, folder: String) {
        root.checkKeys()
        let listen = Self.listen(root)
        let privateKey = root.keyFile("private_key", relativeTo: folder)
        let admin = root.admin()
        let adminHosts = root.adminHosts()
        let control = root.control(relativeTo: folder)
        let reloadsOnChange = root.boolean("reload_on_change")
        let routes: Routes? = root.choice("routes")
        let transport = root.transport()
        let limits = root.limits()
        let serviceSections = root.tables("service")
        let services = serviceSections.map { Service($0) }
        let peerSections = root.tables("peer")
        let peers = peerSections.map { PeerEntry($0, folder: folder) }
        Self.refuseDuplicates(serviceSections, "name", services.map { $0?.name })
        Self.refuseDuplicates(peerSections, "name", peers.map { $0?.name })
        Self.refuseDuplicates(
            peerSections,
            "public_key",
            peers.map { $0?.publicKey.description }
        )
        Self.checkReferences(peerSections, to: serviceSections)
        Self.refuseLoops(serviceSections, services, listen ?? [])
        guard let listen, let privateKey else { return nil }
        self.init(listen: listen, privateKey: privateKey)
        self.admin = admin
        self.adminHosts = adminHosts ?? []
        self.control = control ?? .automatic
        self.reloadsOnChange = reloadsOnChange ?? false
        self.routes = routes ?? .auto
        self.transport = transport
        self.limits = limits
        self.peers = peers.compactMap { $0 }
        self.services = services.compactMap { $0 }
    }

    private static func listen(_ root: Section) -> [SocketAddress]? {
        guard let all = root.values("listen", Section.local) else { return nil }
        if all.isEmpty {
            root.complain("listen", got: "an empty list", expected: Section.addressForm)
            return nil
        }
        for (index, address) in all.enumerated()
        where address.port != 0 && all[..<index].contains(address) {
            root.complain("listen", got: "\"\(address)\" a second time", expected: "it once")
        }
        return all
    }

    /// What a backend is sent must not come in as a packet of the tunnel.
    private static func refuseLoops(
        _ sections: [Section],
        _ services: [Service?],
        _ listen: [SocketAddress]
    ) {
        for (section, service) in zip(sections, services) {
            guard let service, service.transportProtocol == .udp else { continue }
            for backend in service.backends.flatMap(\.literals)
            where listen.contains(where: { backend.isCertainlyAt($0) }) {
                section.complain(
                    "backends",
                    got: "\"\(backend)\", where this server listens itself",
                    expected: "an address that does not lead back into the tunnel"
                )
            }
        }
    }

    private static func refuseDuplicates(_ sections: [Section], _ key: String, _ values: [String?])
    {
        for (index, value) in values.enumerated() {
            guard let value, let earlier = values[..<index].firstIndex(of: value),
                let line = sections[earlier][key]?.line
            else { continue }
            sections[index].complain(
                key,
                got: "\(Complaint.quoted(value)) a second time (first on line \(line))",
                expected: "each \(key) once"
            )
        }
    }

    /// Every service a peer names must exist, were its own table ever so wrong otherwise.
    private static func checkReferences(_ peers: [Section], to services: [Section]) {
        let names = services.compactMap { service -> String? in
            if case .string(let name)? = service["name"]?.value { name } else { nil }
        }
        for peer in peers {
            guard case .list(let wanted)? = peer["services"]?.value else { continue }
            for node in wanted {
                guard case .string(let name) = node.value, name != "*", !names.contains(name) else {
                    continue
                }
                peer.complain(
                    at: node.line,
                    "services",
                    got: Complaint.quoted(name),
                    expected: "the name of a [[service]], or [\"*\"] for all of them",
                    suggestion: Spelling.nearest(to: name, among: names).map { "\"\($0)\"" }
                )
            }
        }
    }
}

extension PeerEntry {
    /// `nil` only after a complaint.
    init?(_ section: Section, folder: String) {
        section.checkKeys()
        let name = section.name("name")
        let publicKey = section.publicKey("public_key")
        let presharedKey = section.keyFile("preshared_key", relativeTo: folder)
        let services = section.values("services", Section.checkedName)
        let origins = section.networks("origins")
        if let services, services.count > 1, services.contains("*") {
            section.complain(
                "services",
                got: "\"*\" beside other names",
                expected: "[\"*\"] alone, or names"
            )
        }
        guard let name, let publicKey, let services else { return nil }
        self.init(name: name, publicKey: publicKey, services: services)
        self.presharedKey = presharedKey
        self.origins = origins
        self.readQuota(section)
    }

    private mutating func readQuota(_ section: Section) {
        self.maximumSessions = section.integer("max_sessions") ?? self.maximumSessions
        self.maximumStreams = section.integer("max_streams") ?? self.maximumStreams
        self.maximumFlows = section.integer("max_flows") ?? self.maximumFlows
        self.rateUp = section.rate("rate_up")
        self.rateDown = section.rate("rate_down")
        self.expires = section.moment("expires")
        self.isEnabled = section.boolean("enabled") ?? self.isEnabled
    }
}
