import Balancing
import Erasure
import Origin
import Primitives

extension Service {
    private enum CompressionRule: String, CaseIterable { case allow, never }

    /// `nil` only after a complaint.
    init?(_ section: Section) {
        section.checkKeys()
        let name = section.name("name")
        let transportProtocol: ForwardedProtocol? = section.choice("protocol")
        let backends = Self.backends(section)
        let balance: PickPolicy? = section.choice("balance")
        let origin: Origin? = section.choice("origin")
        let dialect: HeaderDialect? = section.choice("dialect")
        let sourcePort: SourcePort? = section.choice("source_port")
        let usesPseudoIPv4 = section.boolean("pseudo_ipv4")
        let redundancy: RedundancyLevel? = section.choice("fec")
        let compression: CompressionRule? = section.choice("compression")
        let health = section.table("health").flatMap { HealthCheck($0) }
        let isOriginKnown = origin != nil || !section.has("origin")
        if let transportProtocol, isOriginKnown {
            let header = (origin ?? .none).rawValue
            section.checkHeader("origin", header, with: transportProtocol)
            section.checkDialect(dialect, beside: "origin", header, transportProtocol)
        }
        if let sourcePort, sourcePort != .keepOrAny, isOriginKnown, origin != .transparent {
            section.complain(
                "source_port",
                got: "\"\(sourcePort.rawValue)\" with origin \"\((origin ?? .none).rawValue)\"",
                expected: "it only with origin = \"transparent\""
            )
        }
        if usesPseudoIPv4 == true, isOriginKnown, origin != .transparent, origin != .proxyV1 {
            section.complain(
                "pseudo_ipv4",
                got: "true with origin \"\((origin ?? .none).rawValue)\"",
                expected: "it only with origin = \"transparent\" or \"proxy-v1\""
            )
        }
        if name == "*" {
            section.complain(
                "name",
                got: "\"*\"",
                expected: "a name that does not mean all services"
            )
        }
        guard let name, let transportProtocol, let backends else { return nil }
        self.init(name: name, transportProtocol: transportProtocol, backends: backends)
        self.balance = balance ?? .roundRobin
        self.origin = origin ?? .none
        self.dialect = dialect ?? .every
        self.sourcePort = sourcePort ?? .keepOrAny
        self.usesPseudoIPv4 = usesPseudoIPv4 ?? false
        self.health = health
        self.redundancy = redundancy
        self.allowsCompression = compression != .never
    }

    static let backendForm =
        "a list, each \"10.0.0.5:25565\" or { address = \"10.0.0.5:25565\", weight = 2 }"

    private static func backends(_ section: Section) -> [Backend]? {
        guard let node = section["backends"] else { return nil }
        guard case .list(let nodes) = node.value, !nodes.isEmpty else {
            section.complain("backends", got: node.shown, expected: Self.backendForm)
            return nil
        }
        let backends = nodes.compactMap { Backend($0, in: section) }
        guard backends.count == nodes.count else { return nil }
        if backends.allSatisfy(\.isBackup) {
            section.complain(
                "backends",
                got: "backups only",
                expected: "at least one without backup = true"
            )
        }
        if let odd = backends.first(where: { $0.portCount != backends[0].portCount }) {
            section.complain(
                "backends",
                got: "backends with \(backends[0].portCount) and \(odd.portCount) ports",
                expected: "the same number of ports for each"
            )
        }
        for (index, backend) in backends.enumerated()
        where backends[..<index].contains(where: { $0.endpoint == backend.endpoint }) {
            section.complain(
                at: nodes[index].line,
                "backends",
                got: "\"\(backend.endpoint)\" a second time",
                expected: "each backend once (use weight for a larger share)"
            )
        }
        return backends
    }
}

extension Backend {
    static let form =
        Section.endpointForm + ", or \"dns:host:4600\" or \"srv:_game._udp.example\", or ports such"
        + " as \"192.0.2.1:20000-20010\""

    /// `nil` only after a complaint.
    init?(_ node: Node, in service: Section) {
        let form = Self.form
        if case .string(let text) = node.value {
            guard let place = Self.place(text) else {
                service.complain(at: node.line, "backends", got: node.shown, expected: form)
                return nil
            }
            self.init(endpoint: place.endpoint)
            self.portCount = place.portCount
            return
        }
        let table = service.section(
            node,
            "backends",
            of: .backends,
            expected: form,
            prefix: "backends."
        )
        guard let section = table else { return nil }
        section.checkKeys()
        let place = section.value("address", Self.place)
        let weight = section.integer("weight")
        let isBackup = section.boolean("backup")
        guard let place else { return nil }
        let endpoint = place.endpoint
        if case .records = endpoint, weight != nil {
            section.complain(
                "weight",
                got: "it beside \"\(endpoint)\"",
                expected: "none: SRV records have weights of their own"
            )
        }
        self.init(endpoint: endpoint)
        self.portCount = place.portCount
        self.weight = weight ?? 1
        self.isBackup = isBackup ?? false
    }

    /// Reads one place, or `HOST:A-B`.
    private static func place(_ text: String) -> (endpoint: Endpoint, portCount: Int)? {
        if let endpoint = Endpoint(backend: text) { return (endpoint, 1) }
        guard let colon = text.lastIndex(of: ":"), let dash = text[colon...].firstIndex(of: "-"),
            let endpoint = Endpoint(backend: String(text[..<dash]))
        else { return nil }
        let lastText = text[text.index(after: dash)...]
        guard lastText.utf8.allSatisfy({ (48...57).contains($0) }), let last = UInt16(lastText),
            endpoint.port > 0, last >= endpoint.port
        else { return nil }
        return (endpoint, Int(last) - Int(endpoint.port) + 1)
    }
}

extension HealthCheck {
    static let form = "a table such as { type = \"tcp\", interval = \"2s\", timeout = \"1s\" }"
    static let payloadForm = "a text of 1 to 1024 bytes, or \"hex:\" and hexadecimal digits"

    private enum Kind: String, CaseIterable {
        case tcp, a2s, raknet, minecraft, dns
        case sendExpect = "send-expect"
    }

    /// `nil` only after a complaint.
    init?(_ section: Section) {
        section.checkKeys()
        let kind: Kind? = section.choice("type")
        let interval = section.duration("interval")
        let timeout = section.duration("timeout")
        let rise = section.integer("rise")
        let fall = section.integer("fall")
        guard let kind, let probe = Self.probe(kind, section) else { return nil }
        self.init(probe: probe)
        self.interval = interval ?? self.interval
        self.timeout = timeout ?? min(self.timeout, self.interval)
        self.rise = rise ?? self.rise
        self.fall = fall ?? self.fall
        if self.timeout > self.interval {
            section.complain(
                "timeout",
                got: "\(Units.text(self.timeout)) with interval \(Units.text(self.interval))",
                expected: "it not longer than interval"
            )
        }
    }

    private static func probe(_ kind: Kind, _ section: Section) -> Probe? {
        let send = section.value("send", Self.payload)
        let expect = section.value("expect", Self.payload)
        let name = section.value("name") { Endpoint.isHostName($0) ? $0 : nil }
        if kind != .dns, section.has("name") {
            section.complain(
                "name",
                got: "it with type \"\(kind.rawValue)\"",
                expected: "it only with type = \"dns\""
            )
        }
        guard kind == .sendExpect else {
            for key in ["send", "expect"] where section.has(key) {
                section.complain(
                    key,
                    got: "it with type \"\(kind.rawValue)\"",
                    expected: "it only with type = \"send-expect\""
                )
            }
            switch kind {
            case .tcp, .sendExpect: return .tcp
            case .a2s: return .a2s
            case .raknet: return .raknet
            case .minecraft: return .minecraft
            case .dns: return .dns(name: name)
            }
        }
        for key in ["send", "expect"] { section.require(key) }
        guard let send, let expect else { return nil }
        return .sendExpect(send: send, expect: expect)
    }

    /// A text as it stands, or bytes after `hex:`.
    private static func payload(_ text: String) -> [UInt8]? {
        var bytes = Array(text.utf8)
        if text.hasPrefix("hex:") {
            let digits = bytes.dropFirst(4).filter { $0 != 32 }.map {
                Character(Unicode.Scalar($0))
            }
            guard digits.count % 2 == 0, digits.allSatisfy(\.isHexDigit) else { return nil }
            bytes = stride(from: 0, to: digits.count, by: 2).compactMap { index in
                UInt8(String(digits[index...index + 1]), radix: 16)
            }
        }
        return (1...1024).contains(bytes.count) ? bytes : nil
    }
}
