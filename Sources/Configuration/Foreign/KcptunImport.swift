import Primitives

/// What kcptun's JSON files become; a client's, a server's, or both.
public enum KcptunImport {
    /// Reads one or two files; which end each belongs to, its keys tell.
    ///
    /// Throws where a file cannot be read, or where two belong to the same end.
    public static func pair(
        ofFilesAt paths: [String],
        _ options: ImportedPair.Options = ImportedPair.Options()
    ) throws(ConfigurationError) -> ImportedPair {
        var ends = Ends()
        for path in paths {
            let source = try Source(path: path, language: "JSON")
            do throws(Complaint) {
                try ends.add(source.text, of: source.file)
            } catch {
                throw ConfigurationError(file: path, complaints: [error])
            }
        }
        return try ends.pair(options)
    }

    /// What kcptun does where its file says nothing.
    private enum Default {
        static let localAddress = ":12948"
        static let listen = ":29900"
        static let target = "127.0.0.1:12948"
    }

    /// What one file says that a key of ours can say.
    private struct End {
        var table: ForeignTable
        /// Where it listens: for players, or for the tunnel.
        var listen: SocketAddress
        /// Where it connects to: the server, or the target; `nil` for a path.
        var peer: Endpoint?
        var hasRange = false
        var compresses: Bool
        var hasRedundancy: Bool
        /// In bits a second, where it is limited.
        var rate: Int?

        init(
            _ entries: [Node.Entry],
            of file: String,
            listen: (key: String, standard: String),
            peer: (key: String, standard: String?)
        ) throws(Complaint) {
            var table = ForeignTable(entries, of: file)
            let line = (listen: table.line(of: listen.key), peer: table.line(of: peer.key))
            let place = try table.text(listen.key) ?? listen.standard
            let (address, isListenRange) = try Self.parsed(
                GoAddress.listen(place),
                Complaint(
                    line: line.listen,
                    key: listen.key,
                    got: Complaint.quoted(place),
                    expected: "an IP address and port such as \":29900\" or \"127.0.0.1:29900\""
                )
            )
            self.listen = address
            self.hasRange = isListenRange
            if let text = try table.text(peer.key) ?? peer.standard, !text.contains("/") {
                let (endpoint, isRange) = try Self.parsed(
                    GoAddress.dial(text),
                    Complaint(
                        line: line.peer,
                        key: peer.key,
                        got: Complaint.quoted(text),
                        expected: Section.endpointForm
                    )
                )
                self.peer = endpoint
                self.hasRange = self.hasRange || isRange
            }
            self.compresses = try table.flag("nocomp") != true
            let shards = 0...255
            let data = try table.number("datashard", shards) ?? 10
            self.hasRedundancy = try table.number("parityshard", shards) ?? 3 > 0 && data > 0
            let limit = try table.number("ratelimit", 0...Int.max / 8) ?? 0
            self.rate = limit * 8 >= 8_000 ? limit * 8 : nil
            self.table = table
        }

        private static func parsed<Value>(
            _ value: Value?,
            _ complaint: Complaint
        ) throws(Complaint) -> Value {
            guard let value else { throw complaint }
            return value
        }
    }

    /// The ends of the tunnel of which there are files.
    private struct Ends {
        var client: End?
        var server: End?

        mutating func add(_ text: String, of file: String) throws(Complaint) {
            let node = try JSONDocument.parse(text)
            guard case .table(let entries) = node.value else {
                throw Complaint(line: 1, key: "syntax", got: node.shown, expected: "an object")
            }
            let keys = Set(entries.map(\.key))
            let isClient = !keys.isDisjoint(with: ["localaddr", "remoteaddr"])
            let isServer = !keys.isDisjoint(with: ["listen", "target"])
            guard isClient != isServer else {
                throw Complaint(
                    line: 1,
                    key: "file",
                    got: isClient ? "keys of both ends" : "no key that tells whose it is",
                    expected: "localaddr and remoteaddr of a client, or listen and target of a"
                        + " server"
                )
            }
            guard isClient ? self.client == nil : self.server == nil else {
                throw Complaint(
                    line: 1,
                    key: "file",
                    got: "a second \(isClient ? "client" : "server")",
                    expected: "one file of each end"
                )
            }
            if isClient {
                self.client = try End(
                    entries,
                    of: file,
                    listen: ("localaddr", Default.localAddress),
                    peer: ("remoteaddr", nil)
                )
            } else {
                self.server = try End(
                    entries,
                    of: file,
                    listen: ("listen", Default.listen),
                    peer: ("target", Default.target)
                )
            }
        }

        func pair(_ options: ImportedPair.Options) throws(ConfigurationError) -> ImportedPair {
            var missing: [String] = []
            let port = self.server?.listen.port ?? self.client?.peer?.port ?? 29_900
            let endpoint = options.server ?? self.client?.peer
            if endpoint == nil {
                missing.append("client.toml: server: where the server is reached")
            }
            if self.client == nil {
                missing.append("client.toml: listen: where kcptun's client listened (localaddr)")
            }
            if self.server?.peer == nil {
                missing.append("server.toml: backends: where kcptun's server led to (target)")
            }
            var draft = PairDraft(
                name: options.name,
                listen: self.server?.listen.description ?? "[::]:\(options.server?.port ?? port)",
                server: endpoint?.description ?? "\(PairDraft.unknownServer):\(port)"
            )
            draft.serverComments = ["Made by fairlead import kcptun: the end beside the backend."]
            draft.clientComments = ["Made by fairlead import kcptun: the end beside the players."]
            draft.services = [self.service]
            if self.server?.hasRedundancy == false { draft.serverLines = [("fec", "\"off\"")] }
            if self.client?.hasRedundancy == false { draft.clientLines = [("fec", "\"off\"")] }
            draft.peerLines = [("rate_up", self.client?.rate), ("rate_down", self.server?.rate)]
                .compactMap { key, rate in rate.map { (key, KcptunImport.rateText($0)) } }
            return try ImportedPair(draft, missing: missing, dropped: self.dropped)
        }

        private var service: PairDraft.Service {
            var service = PairDraft.Service(
                name: "main",
                transportProtocol: .tcp,
                backends: [self.server?.peer?.description ?? Default.target],
                listen: self.client?.listen.description ?? "[::]:12948"
            )
            if (self.client ?? self.server)?.compresses == true {
                service.forwardLines = [("compression", "\"auto\"")]
            }
            return service
        }

        private var dropped: [String] {
            [self.client, self.server].compactMap { $0 }.flatMap { end in
                let ranges =
                    end.hasRange
                    ? ["\(Complaint.oneLine(end.table.file)): a range of ports: the first is used"]
                    : []
                return ranges + end.table.leftovers(KcptunImport.reasons)
            }
        }
    }

    /// Bits a second, exactly.
    private static func rateText(_ bits: Int) -> String {
        let thousandths = "00\(bits % 1_000)".suffix(3)
        return "\"\(bits / 1_000).\(thousandths) kbps\""
    }

    private static let reasons: [String: String] = {
        var reasons: [String: String] = [:]
        let groups: [(keys: String, why: String)] = [
            ("key", "key pairs take the place of the password; do not use it again"),
            ("crypt qpp qpp-count", "everything is encrypted and authenticated"),
            (
                "mode nodelay interval resend nc acknodelay",
                "retransmission and rate follow what is measured; see congestion"
            ),
            (
                "sndwnd rcvwnd smuxbuf streambuf",
                "windows follow the path, up to stream_buffer and session_buffer"
            ),
            ("mtu", "the packet size is searched for; mtu sets it where that fails"),
            ("conn", "one session carries all; a lost packet holds up its own stream only"),
            ("autoexpire scavengettl", "a session renews its keys by itself"),
            ("smuxver framesize", "the wire has a version of its own"),
            ("keepalive closewait", "there is nothing to set"),
            ("sockbuf", "sockets get up to 4 MiB; see fairlead doctor"),
            ("dscp", "packets are not marked"),
            ("tcp", "Fairlead speaks UDP only, and does not look like TCP"),
            ("log quiet", "the log goes to standard error; see --log-level"),
            ("snmplog snmpperiod pprof", "counters are on /metrics and /status; see admin"),
        ]
        for group in groups {
            for key in group.keys.split(separator: " ") { reasons[String(key)] = group.why }
        }
        return reasons
    }()
}
