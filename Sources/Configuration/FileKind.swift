/// Whose file a configuration is, told by its keys.
public enum FileKind: String, Sendable {
    /// The file of the end near the players, or of that near the backends.
    case client, server

    /// `nil` for a file that cannot be read, and for one that says nothing of it.
    public init?(ofFileAt path: String) {
        guard let source = try? Source(path: path), let root = try? Document.parse(source.text),
            case .table(let entries) = root.value
        else { return nil }
        self.init(keys: entries.map(\.key))
    }

    /// By the keys that only one of the two ends has.
    init?(keys: [String]) {
        let clients = Set(KeyReference.keys(of: .client).map(\.name))
        let servers = Set(KeyReference.keys(of: .server).map(\.name))
        let client = keys.count { clients.contains($0) && !servers.contains($0) }
        let server = keys.count { servers.contains($0) && !clients.contains($0) }
        guard client != server else { return nil }
        self = client > server ? .client : .server
    }

    /// Where its keys stand that are in no table.
    var place: KeyPlace {
        switch self {
        case .client: .client
        case .server: .server
        }
    }
}
