import Primitives

/// A table of another program's file, with the keys of tables inside it as `transport.tls.enable`.
///
/// What is taken out is understood; what remains at the end has no counterpart.
struct ForeignTable {
    let file: String
    /// What stands before a key in messages, such as `proxies.ssh.`.
    var prefix = ""
    private var leaves: [(key: String, node: Node)] = []

    init(_ entries: [Node.Entry], of file: String) {
        self.file = file
        self.flatten(entries, below: "")
    }

    private mutating func flatten(_ entries: [Node.Entry], below path: String) {
        for entry in entries {
            if case .table(let inner) = entry.node.value {
                self.flatten(inner, below: "\(path)\(entry.key).")
            } else {
                self.leaves.append(("\(path)\(entry.key)", entry.node))
            }
        }
    }

    var keys: [String] { self.leaves.map(\.key) }

    /// The line of `key`, or of what stands first.
    func line(of key: String) -> Int {
        let leaf = self.leaves.first { $0.key == key } ?? self.leaves.first
        return leaf?.node.line ?? 1
    }

    mutating func take(_ key: String) -> Node? {
        guard let index = self.leaves.firstIndex(where: { $0.key == key }) else { return nil }
        return self.leaves.remove(at: index).node
    }

    /// An empty one counts as absent, as both programs have it.
    mutating func text(_ key: String) throws(Complaint) -> String? {
        guard let node = self.take(key) else { return nil }
        guard case .string(let text) = node.value else { throw self.wrong(key, node, "a string") }
        return text.isEmpty ? nil : text
    }

    mutating func number(_ key: String, _ range: ClosedRange<Int>) throws(Complaint) -> Int? {
        guard let node = self.take(key) else { return nil }
        guard case .integer(let number) = node.value, range.contains(number) else {
            let form = "an integer from \(range.lowerBound) to \(range.upperBound)"
            throw self.wrong(key, node, form)
        }
        return number
    }

    mutating func flag(_ key: String) throws(Complaint) -> Bool? {
        guard let node = self.take(key) else { return nil }
        guard case .boolean(let flag) = node.value else {
            throw self.wrong(key, node, "true or false")
        }
        return flag
    }

    func wrong(_ key: String, _ node: Node, _ expected: String) -> Complaint {
        Complaint(line: node.line, key: self.prefix + key, got: node.shown, expected: expected)
    }

    /// `FILE:LINE: KEY: why`, for a message.
    func note(_ key: String, at line: Int, _ why: String) -> String {
        let place = "\(self.file):\(line): \(self.prefix)\(key)"
        return "\(Complaint.oneLine(place)): \(why)"
    }

    /// What was not taken, with the reasons; keys of one reason stand together.
    ///
    /// The reason of the longest key counts that is the beginning of the leaf's. What is switched
    /// off anyway, is zero or empty needs no word, unless nobody knows what it is.
    func leftovers(_ reasons: [String: String]) -> [String] {
        var groups: [(why: String, line: Int, keys: [String])] = []
        for leaf in self.leaves {
            let known = Self.reason(for: leaf.key, reasons)
            if known != nil, leaf.node.isOff { continue }
            let why = known ?? "unknown to fairlead import"
            if let index = groups.firstIndex(where: { $0.why == why }) {
                groups[index].keys.append(leaf.key)
            } else {
                groups.append((why, leaf.node.line, [leaf.key]))
            }
        }
        return groups.map { self.note($0.keys.joined(separator: ", "), at: $0.line, $0.why) }
    }

    private static func reason(for key: String, _ reasons: [String: String]) -> String? {
        var words = key.split(separator: ".")
        while !words.isEmpty {
            if let reason = reasons[words.joined(separator: ".")] { return reason }
            words.removeLast()
        }
        return nil
    }
}

extension Node {
    fileprivate var isOff: Bool {
        switch self.value {
        case .boolean(false), .integer(0): true
        case .string(let text): text.isEmpty
        default: false
        }
    }
}

/// Addresses as Go programs write them.
enum GoAddress {
    /// Where to listen: `:80` is every address, IPv6 and IPv4, and so is `0.0.0.0:80` IPv4 alone.
    ///
    /// Of a run of ports, `:3000-3010`, the first. `nil` for names, which nobody can listen on.
    static func listen(_ text: String) -> (address: SocketAddress, isRange: Bool)? {
        guard let (host, port, isRange) = self.split(text), port > 0 else { return nil }
        let known = ["": "[::]", "localhost": "127.0.0.1"]
        return SocketAddress("\(known[host] ?? host):\(port)").map { ($0, isRange) }
    }

    /// Where to connect to, a name or an address; a missing host is this machine.
    static func dial(_ text: String) -> (endpoint: Endpoint, isRange: Bool)? {
        guard let (host, port, isRange) = self.split(text), port > 0 else { return nil }
        let named = host.isEmpty ? "127.0.0.1" : host
        return Endpoint("\(named):\(port)").map { ($0, isRange) }
    }

    private static func split(_ text: String) -> (host: String, port: Int, isRange: Bool)? {
        guard let colon = text.lastIndex(of: ":") else { return nil }
        let ports = text[text.index(after: colon)...].split(
            separator: "-",
            omittingEmptySubsequences: false
        )
        guard (1...2).contains(ports.count), let first = UInt16(ports[0]),
            UInt16(ports[ports.count - 1]).map({ $0 >= first }) == true
        else { return nil }
        return (String(text[..<colon]), Int(first), ports.count == 2)
    }
}
