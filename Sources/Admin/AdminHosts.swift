import Primitives

/// The names under which pages are served over TCP.
///
/// A page of somebody else's, open in a browser that reaches this address, may have its own name
/// resolved to it (DNS rebinding) and read what it gets; the name in `Host` gives it away.
struct AdminHosts: Sendable {
    /// In lower case.
    private let names: Set<String>

    init(_ names: [String]) { self.names = Set(names.map { $0.lowercased() }) }

    /// IP addresses, `localhost` and what the configuration names, with any port or none.
    ///
    /// `nil`: the request does not say, as no browser's does.
    func admits(_ host: String?) -> Bool {
        guard var name = host?.lowercased() else { return true }
        while name.last == " " || name.last == "\t" { name.removeLast() }
        if SocketAddress(name) != nil || SocketAddress(name + ":1") != nil { return true }
        if let colon = name.firstIndex(of: ":") {
            let port = name[name.index(after: colon)...]
            guard port.utf8.allSatisfy({ (48...57).contains($0) }) else { return false }
            name.removeSubrange(colon...)
        }
        if name.last == "." { name.removeLast() }
        return name == "localhost" || self.names.contains(name)
    }
}
