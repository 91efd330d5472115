import Primitives

/// What frp's file of a client becomes, TOML or JSON.
///
/// The ends change places: frpc stands beside the backends, as our server does, and players come
/// to frps, as they do to our client.
public enum FrpImport {
    /// Reads frpc's file; a name that ends in `.json` is JSON, every other one TOML.
    ///
    /// Throws where the file cannot be read or says nothing that could be kept.
    public static func pair(
        ofFileAt path: String,
        _ options: ImportedPair.Options = ImportedPair.Options()
    ) throws(ConfigurationError) -> ImportedPair {
        let isJSON = path.lowercased().hasSuffix(".json")
        let source = try Source(path: path, language: isJSON ? "JSON" : "TOML")
        var reading = FrpReading(file: source.file, options: options)
        do throws(Complaint) {
            try reading.read(isJSON ? JSONDocument.parse(source.text) : Self.parse(source.text))
        } catch {
            throw ConfigurationError(file: path, complaints: [error])
        }
        return try ImportedPair(
            reading.draft,
            missing: reading.missing,
            dropped: reading.dropped
        )
    }

    private static func parse(_ text: String) throws(Complaint) -> Node {
        let lines = text.split(separator: "\n", omittingEmptySubsequences: false)
        let old = lines.firstIndex { $0.trimmed == "[common]" }
        if let old {
            throw Complaint(
                line: old + 1,
                key: "file",
                got: "frp's old INI",
                expected: "TOML, as frp reads since 0.52: serverAddr, and a [[proxies]] table for"
                    + " each section"
            )
        }
        if let template = lines.firstIndex(where: { $0.contains("{{") }) {
            throw Complaint(
                line: template + 1,
                key: "file",
                got: "a template ({{ … }})",
                expected: "the file as frpc sees it, with values in their places"
            )
        }
        return try Document.parse(text)
    }
}

extension Substring {
    fileprivate var trimmed: Substring {
        var rest = self
        while rest.last?.isWhitespace == true { rest.removeLast() }
        return rest.drop { $0.isWhitespace }
    }
}

/// An frp file as it is read.
private struct FrpReading {
    let file: String
    var draft: PairDraft
    var missing: [String] = []
    var dropped: [String] = []
    /// Names of proxies that frpc starts; `nil` for all.
    private var started: Set<String>?
    private let isServerKnown: Bool

    init(file: String, options: ImportedPair.Options) {
        self.file = file
        self.isServerKnown = options.server != nil
        let port = options.server?.port ?? PairDraft.usualPort
        self.draft = PairDraft(
            name: options.name,
            listen: "[::]:\(port)",
            server: options.server?.description ?? "\(PairDraft.unknownServer):\(port)"
        )
    }

    mutating func read(_ root: Node) throws(Complaint) {
        guard case .table(let entries) = root.value else {
            throw Complaint(line: 1, key: "syntax", got: root.shown, expected: "an object")
        }
        var common = ForeignTable(entries, of: self.file)
        if common.keys.contains("bindPort"), !common.keys.contains("proxies") {
            throw Complaint(
                line: common.line(of: "bindPort"),
                key: "bindPort",
                got: "the file of frps",
                expected: "the file of frpc, which names the proxies"
            )
        }
        let proxies = common.take("proxies")
        let visitors = common.take("visitors")
        try self.readCommon(&common)
        for node in try Self.tables(proxies, "proxies") { try self.readProxy(node) }
        if let visitors {
            let why = "a client of its own, with services in its [[peer]], takes its place"
            self.dropped.append(common.note("visitors", at: visitors.line, why))
        }
        self.dropped += common.leftovers(FrpReasons.common)
        guard !self.draft.services.isEmpty else {
            throw Complaint(
                line: proxies?.line ?? 1,
                key: "proxies",
                got: "none that Fairlead can serve",
                expected: "one of type tcp or udp"
            )
        }
    }

    private static func tables(_ node: Node?, _ key: String) throws(Complaint) -> [Node] {
        guard let node else { return [] }
        guard case .list(let nodes) = node.value else {
            throw Complaint(line: node.line, key: key, got: node.shown, expected: "[[\(key)]]")
        }
        return nodes
    }

    private mutating func readCommon(_ common: inout ForeignTable) throws(Complaint) {
        let publicHost = try common.text("serverAddr") ?? "the machine of frps"
        _ = common.take("serverPort")
        if case .list(let names)? = common.take("start")?.value, !names.isEmpty {
            self.started = Set(
                names.compactMap { if case .string(let name) = $0.value { name } else { nil } }
            )
        }
        try self.readAdmin(&common)
        self.draft.serverComments = [
            "Made by fairlead import frp: for the machine of frpc, beside the backends.",
            "UDP port \(self.draft.listen.split(separator: ":").last ?? "") of this machine has to"
                + " be reached by the client.",
        ]
        self.draft.clientComments = [
            "Made by fairlead import frp: for \(publicHost), where players connect."
        ]
        if !self.isServerKnown {
            self.missing.append(
                "client.toml: server: where the machine of frpc is reached; a NAT before it has to"
                    + " forward the UDP port"
            )
        }
    }

    /// Pages without a password belong on loopback.
    private mutating func readAdmin(_ common: inout ForeignTable) throws(Complaint) {
        let line = common.line(of: "webServer.port")
        let host = try common.text("webServer.addr") ?? "127.0.0.1"
        guard let port = try common.number("webServer.port", 0...65_535), port > 0 else { return }
        if host == "127.0.0.1" || host == "::1" {
            let written = host == "::1" ? "[::1]" : host
            self.draft.serverLines.append(("admin", "\"\(written):\(port)\""))
        } else {
            let why = "admin has no password, so it is left out; on loopback it may stand"
            self.dropped.append(common.note("webServer.port", at: line, why))
        }
    }

    private mutating func readProxy(_ node: Node) throws(Complaint) {
        guard case .table(let entries) = node.value else {
            throw Complaint(line: node.line, key: "proxies", got: node.shown, expected: "a table")
        }
        var table = ForeignTable(entries, of: self.file)
        table.prefix = "proxies."
        guard let name = try table.text("name") else {
            throw Complaint(
                line: node.line,
                key: "proxies.name",
                got: "nothing",
                expected: "a name"
            )
        }
        table.prefix = "proxies.\(name)."
        let kind = try table.text("type") ?? "tcp"
        if let started = self.started, !started.contains(name) {
            return self.drop(table, node, "start does not name it")
        }
        if try table.flag("enabled") == false { return self.drop(table, node, "it is disabled") }
        guard let transport = ForwardedProtocol(rawValue: kind) else {
            let why = FrpReasons.kinds[kind] ?? "frp has no such type that this command knows"
            return self.drop(table, node, "type \(Complaint.quoted(kind)): \(why)")
        }
        guard !table.keys.contains(where: { $0.hasPrefix("plugin.") }) else {
            return self.drop(table, node, "plugins: Fairlead leads to an address and a port only")
        }
        try self.readService(&table, node, name, transport)
        self.dropped += table.leftovers(FrpReasons.proxy)
    }

    private mutating func drop(_ table: ForeignTable, _ node: Node, _ why: String) {
        var table = table
        let name = table.prefix.dropLast()
        table.prefix = ""
        self.dropped.append(table.note(String(name), at: node.line, why))
    }

    private mutating func readService(
        _ table: inout ForeignTable,
        _ node: Node,
        _ name: String,
        _ transport: ForwardedProtocol
    ) throws(Complaint) {
        let host = try table.text("localIP") ?? "127.0.0.1"
        guard let port = try table.number("localPort", 1...65_535) else {
            throw Complaint(
                line: node.line,
                key: "\(table.prefix)localPort",
                got: "nothing",
                expected: "an integer from 1 to 65535"
            )
        }
        let backend = "\(host.contains(":") ? "[\(host)]" : host):\(port)"
        guard Endpoint(backend) != nil else {
            throw Complaint(
                line: node.line,
                key: "\(table.prefix)localIP",
                got: Complaint.quoted(host),
                expected: "an IP address or a host name"
            )
        }
        let remote = try table.number("remotePort", 0...65_535) ?? 0
        let listen = "0.0.0.0:\(remote == 0 ? port : remote)"
        let group = try table.text("loadBalancer.group")
        let same = self.draft.services.firstIndex {
            $0.listen == listen && $0.transportProtocol == transport
        }
        if let same {
            guard let group, self.draft.services[same].name == group else {
                return self.drop(table, node, "\(listen) is taken by another proxy")
            }
            if !self.draft.services[same].backends.contains(backend) {
                self.draft.services[same].backends.append(backend)
            }
            return try self.ignoreRest(of: &table)
        }
        var service = PairDraft.Service(
            name: group ?? name,
            transportProtocol: transport,
            backends: [backend],
            listen: listen
        )
        if remote == 0 {
            self.missing.append(
                "client.toml: listen of \(TOMLText.quoted(service.name)): frps chose a port, which"
                    + " had to be a fixed one here"
            )
        }
        try self.readOrigin(&table, node, &service)
        if try table.flag("transport.useCompression") == true {
            service.forwardLines.append(("compression", "\"auto\""))
        }
        try self.readHealth(&table, node, &service)
        self.draft.services.append(service)
    }

    /// Of further members of a group: what the first one said counts.
    private func ignoreRest(of table: inout ForeignTable) throws(Complaint) {
        for key in [
            "transport.useCompression", "transport.proxyProtocolVersion", "healthCheck.type",
            "healthCheck.intervalSeconds", "healthCheck.timeoutSeconds", "healthCheck.maxFailed",
        ] {
            _ = table.take(key)
        }
    }

    private mutating func readOrigin(
        _ table: inout ForeignTable,
        _ node: Node,
        _ service: inout PairDraft.Service
    ) throws(Complaint) {
        guard let version = try table.text("transport.proxyProtocolVersion") else { return }
        guard ["v1", "v2"].contains(version) else {
            throw Complaint(
                line: node.line,
                key: "\(table.prefix)transport.proxyProtocolVersion",
                got: Complaint.quoted(version),
                expected: "\"v1\" or \"v2\""
            )
        }
        let isDatagrams = service.transportProtocol == .udp
        if version == "v1", isDatagrams {
            let why = "version 1 cannot name players of UDP"
            let key = "transport.proxyProtocolVersion"
            self.dropped.append(table.note(key, at: node.line, why))
            return
        }
        service.serviceLines.append(("origin", "\"proxy-\(version)\""))
        // frp writes it before the first datagram of a player; "first" is what Fairlead calls that.
        if isDatagrams { service.serviceLines.append(("dialect", "\"first\"")) }
        if self.draft.peerLines.isEmpty {
            self.draft.peerLines = [("origins", TOMLText.list(["0.0.0.0/0", "::/0"]))]
        }
    }

    private mutating func readHealth(
        _ table: inout ForeignTable,
        _ node: Node,
        _ service: inout PairDraft.Service
    ) throws(Complaint) {
        let kind = try table.text("healthCheck.type")
        let interval = try table.number("healthCheck.intervalSeconds", 0...3_600) ?? 0
        let timeout = try table.number("healthCheck.timeoutSeconds", 0...60) ?? 0
        let failures = try table.number("healthCheck.maxFailed", 0...100) ?? 0
        guard let kind else { return }
        let seconds = interval == 0 ? 10 : interval
        let patience = min(timeout == 0 ? 3 : timeout, seconds)
        service.serviceLines.append(
            (
                "health",
                "{ type = \"tcp\", interval = \"\(seconds)s\", timeout = \"\(patience)s\","
                    + " fall = \(max(1, failures)) }"
            )
        )
        if kind != "tcp" {
            let why = "only a connection is tried; type = \"send-expect\" can ask for a page"
            self.dropped.append(table.note("healthCheck.type", at: node.line, why))
        }
    }
}

/// Why keys of frp have no counterpart.
private enum FrpReasons {
    static let common: [String: String] = [
        "auth": "key pairs take the place of tokens; do not use them again",
        "clientID": "a client is its key",
        "dnsServer": "the system's resolver is asked",
        "featureGates": "there are none",
        "includes": "files are not included: put their tables into one, and import that",
        "log": "the log goes to standard error; see --log-level and --log-format",
        "loginFailExit": "the client goes on trying, and says why it fails",
        "metadatas": "nothing is passed on to plugins",
        "natHoleStunServer": "there is no hole punching: the server's UDP port has to be reached",
        "store": "there is one file, and SIGHUP reads it again",
        "transport": "one encrypted session over UDP carries everything",
        "udpPacketSize": "datagrams of every size pass",
        "user": "names of services stand as they are",
        "virtualNet": "no network of its own: use WireGuard",
        "webServer": "admin serves pages only, without a password",
    ]

    static let proxy: [String: String] = [
        "annotations": "nothing shows them",
        "healthCheck": "headers and paths of HTTP are not asked for",
        "loadBalancer.groupKey": "a group is the list of backends of its service",
        "metadatas": "nothing is passed on to plugins",
        "transport.bandwidthLimit": FrpReasons.rates,
        "transport.bandwidthLimitMode": FrpReasons.rates,
        "transport.useEncryption": "everything is encrypted",
    ]

    private static let rates = "rates belong to clients: rate_up and rate_down in [[peer]]"
    private static let byName = "choosing by name takes a web server, such as nginx, behind it"
    private static let secret = "services in the [[peer]] of a client of its own does that"

    static let kinds: [String: String] = [
        "http": Self.byName, "https": Self.byName, "tcpmux": Self.byName,
        "stcp": Self.secret, "sudp": Self.secret,
        "xtcp": "there is no hole punching between players and backends",
    ]
}
