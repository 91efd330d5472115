/// A table in which keys stand: one of the two files, or a table inside them.
public enum KeyPlace: String, CaseIterable, Sendable {
    /// The raw values are the first words of ``KeyReference/path``.
    case server, client, forward, peer, service, backends, health

    /// How messages and pages call it.
    public var title: String {
        switch self {
        case .server: "a server's file"
        case .client: "a client's file"
        case .forward: "[[forward]]"
        case .peer: "[[peer]]"
        case .service: "[[service]]"
        case .backends: "a backend"
        case .health: "health"
        }
    }

    /// What the table is for, in one or two sentences.
    public var summary: String {
        switch self {
        case .server:
            "`fairlead-server --config FILE` reads these keys before the first `[[…]]`. Two of"
                + " them are required."
        case .client:
            "`fairlead-client --config FILE` reads these keys before the first `[[…]]`. Three of"
                + " them are required."
        case .forward:
            "A client has one `[[forward]]` for each address that players connect to. It leads to"
                + " one service of the server."
        case .peer:
            "A server has one `[[peer]]` for each client. It holds the client's key and what that"
                + " key may do."
        case .service:
            "A server has one `[[service]]` for each name that forwards may ask for. Backends"
                + " stand behind it."
        case .backends:
            "An entry of `backends` is an address, or a table with these keys:"
                + " `{ address = \"10.0.0.5:25565\", weight = 2 }`."
        case .health:
            "The table `health` of a `[[service]]` says how its backends are probed. Without it a"
                + " backend counts as up until connections to it are refused."
        }
    }

    /// The table of the file that this one stands in; itself for a file.
    public var file: KeyPlace {
        switch self {
        case .client, .forward: .client
        case .server, .peer, .service, .backends, .health: .server
        }
    }
}
