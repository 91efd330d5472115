/// Whose file a configuration is, told by its keys.
public enum FileKind: String, Sendable {
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
        let client = keys.count { ["server", "server_public_key", "forward"].contains($0) }
        let server = keys.count {
            ["listen", "peer", "service", "routes", "max_sessions"].contains($0)
        }
        guard client != server else { return nil }
        self = client > server ? .client : .server
    }
}
