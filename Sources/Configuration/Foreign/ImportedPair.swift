/// A server's and a client's file that do what another program's files said.
public struct ImportedPair: Sendable {
    /// The server's file, complete but for the keys, which are placeholders.
    public let server: String
    /// The client's file, likewise.
    public let client: String
    /// What the other program's files cannot tell, a sentence each.
    public let missing: [String]
    /// What has no counterpart, as `FILE:LINE: KEY: why`.
    public let dropped: [String]

    /// What the operator adds to the other program's files.
    public struct Options: Sendable {
        /// The name of the client in the server's file.
        public var name = "edge-1"
        /// Where clients reach the server; `nil` to take it from the files.
        public var server: Endpoint?

        /// Takes the server's address from the files, and calls the client `edge-1`.
        public init() {}
    }

    /// Fails where the files would not be right, which the complaints of their readers tell.
    init(
        _ draft: PairDraft,
        missing: [String],
        dropped: [String]
    ) throws(ConfigurationError) {
        self.server = draft.serverText
        self.client = draft.clientText
        self.missing = missing
        self.dropped = dropped
        _ = try ServerConfiguration.parse(self.server, file: "server.toml")
        _ = try ClientConfiguration.parse(self.client, file: "client.toml")
    }
}

/// A pair as it grows.
struct PairDraft {
    struct Service {
        var name: String
        var transportProtocol: ForwardedProtocol
        var backends: [String]
        var listen: String
        /// Lines of TOML for `[[service]]` and `[[forward]]`.
        var serviceLines: [(key: String, value: String)] = []
        var forwardLines: [(key: String, value: String)] = []
    }

    static let serverKey = "server.key"
    static let clientKey = "client.key"
    /// Well formed, and warned of until it is replaced.
    static let placeholders = (
        server: "ReplaceThisWithThePublicKeyOfYourServer0000=",
        client: "ReplaceThisWithThePublicKeyOfYourClient0000="
    )
    /// A name that no machine has (RFC 2606).
    static let unknownServer = "tunnel.example.net"
    static let usualPort: UInt16 = 4600

    var name: String
    /// What the first lines of each file say.
    var serverComments: [String] = []
    var clientComments: [String] = []
    var listen: String
    var server: String
    var serverLines: [(key: String, value: String)] = []
    var clientLines: [(key: String, value: String)] = []
    var peerLines: [(key: String, value: String)] = []
    var services: [Service] = []

    var serverText: String {
        var toml = TOMLText()
        for comment in self.serverComments { toml.comment(comment) }
        toml.line("listen", TOMLText.quoted(self.listen))
        toml.line("private_key", TOMLText.quoted(Self.serverKey))
        for line in self.serverLines { toml.line(line.key, line.value) }
        toml.table("[[peer]]")
        toml.line("name", TOMLText.quoted(self.name))
        toml.line("public_key", TOMLText.quoted(Self.placeholders.client))
        toml.line("services", TOMLText.list(self.services.map(\.name)))
        for line in self.peerLines { toml.line(line.key, line.value) }
        for service in self.services {
            toml.table("[[service]]")
            toml.line("name", TOMLText.quoted(service.name))
            toml.line("protocol", TOMLText.quoted(service.transportProtocol.rawValue))
            toml.line("backends", TOMLText.list(service.backends))
            for line in service.serviceLines { toml.line(line.key, line.value) }
        }
        return toml.text
    }

    var clientText: String {
        var toml = TOMLText()
        for comment in self.clientComments { toml.comment(comment) }
        toml.line("server", TOMLText.quoted(self.server))
        toml.line("server_public_key", TOMLText.quoted(Self.placeholders.server))
        toml.line("private_key", TOMLText.quoted(Self.clientKey))
        for line in self.clientLines { toml.line(line.key, line.value) }
        for service in self.services {
            toml.table("[[forward]]")
            toml.line("listen", TOMLText.quoted(service.listen))
            toml.line("protocol", TOMLText.quoted(service.transportProtocol.rawValue))
            toml.line("service", TOMLText.quoted(service.name))
            for line in service.forwardLines { toml.line(line.key, line.value) }
        }
        return toml.text
    }
}
