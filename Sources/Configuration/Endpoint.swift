public import Primitives

/// Where something is reached: an address, or a name that the runtime resolves.
public enum Endpoint: Hashable, Sendable, CustomStringConvertible {
    /// An IP address, which needs no lookup.
    case address(SocketAddress)
    /// A host name in lower case, looked up while the process runs.
    case name(String, port: UInt16)
    /// `dns:`: every address of the name by itself.
    case everyAddress(of: String, port: UInt16)
    /// `srv:`: what the SRV records of a service lead to, with their ports.
    case records(of: String)

    /// The port, as written; 0 where records name it.
    public var port: UInt16 {
        switch self {
        case .address(let address): address.port
        case .name(_, let port), .everyAddress(_, let port): port
        case .records: 0
        }
    }

    /// The way it is written in a configuration file.
    public var description: String {
        switch self {
        case .address(let address): address.description
        case .name(let name, let port): "\(name):\(port)"
        case .everyAddress(let name, let port): "dns:\(name):\(port)"
        case .records(let name): "srv:\(name)"
        }
    }

    /// Reads what a backend may be: ``init(_:)``'s forms with a port, `dns:host.example:80` or
    /// `srv:_game._udp.example`.
    public init?(backend text: String) {
        if text.hasPrefix("dns:"), case .name(let host, let port) = Self(String(text.dropFirst(4))),
            port != 0
        {
            self = .everyAddress(of: host, port: port)
            return
        }
        self.init(server: text)
    }

    /// Reads what a server may be: ``init(_:)``'s forms with a port, or
    /// `srv:_fairlead._udp.example`.
    public init?(server text: String) {
        if let plain = Self(text) {
            guard plain.port != 0 else { return nil }
            self = plain
            return
        }
        guard text.hasPrefix("srv:") else { return nil }
        let name = String(text.dropFirst(4))
        // _Service._Proto.Name, as RFC 2782 writes it.
        let labels = name.split(separator: ".", omittingEmptySubsequences: false)
        guard Self.isHostName(name), labels.count > 2,
            labels.prefix(2).allSatisfy({ $0.hasPrefix("_") && $0.count > 1 })
        else { return nil }
        self = .records(of: name.lowercased())
    }

    /// Reads `192.0.2.1:80`, `[2001:db8::1]:80` or `host.example:80`; `nil` for anything else.
    public init?(_ text: String) {
        if let address = SocketAddress(text) {
            self = .address(address)
            return
        }
        guard let colon = text.lastIndex(of: ":") else { return nil }
        let portText = text[text.index(after: colon)...]
        let host = String(text[..<colon])
        guard portText.utf8.allSatisfy({ (48...57).contains($0) }), let port = UInt16(portText),
            Self.isHostName(host)
        else { return nil }
        self = .name(host.lowercased(), port: port)
    }

    /// RFC 1123 §2.1, underscores tolerated; a last label of digits is a mistyped address instead.
    static func isHostName(_ text: String) -> Bool {
        guard (1...253).contains(text.utf8.count) else { return false }
        let labels = text.utf8.split(separator: 46, omittingEmptySubsequences: false)
        guard let last = labels.last, !last.allSatisfy({ (48...57).contains($0) }) else {
            return false
        }
        return labels.allSatisfy { label in
            (1...63).contains(label.count) && label.first != 45 && label.last != 45
                && label.allSatisfy(Self.isHostNameByte)
        }
    }

    private static func isHostNameByte(_ byte: UInt8) -> Bool {
        (48...57).contains(byte) || (65...90).contains(byte) || (97...122).contains(byte)
            || byte == 45 || byte == 95
    }
}

/// What a forward listens on: one address and a run of ports, mostly a run of one.
public struct ListenRange: Hashable, Sendable, CustomStringConvertible {
    /// The address with the first port.
    public let first: SocketAddress
    /// The last port of the run, not below the first.
    public let lastPort: UInt16

    /// Most ports of one forward, each of which is a socket for each worker.
    public static let maximumCount = 1024

    /// The number of sockets this makes.
    public var count: Int { Int(self.lastPort) - Int(self.first.port) + 1 }

    /// Every address to bind, in order of port.
    public var addresses: [SocketAddress] {
        (self.first.port...self.lastPort).map { self.first.with(port: $0) }
    }

    /// Whether `port` is one of the run.
    public func contains(port: UInt16) -> Bool {
        self.first.port <= port && port <= self.lastPort
    }

    /// Whether binding both would collide: the same address and a port in common.
    public func overlaps(_ other: Self) -> Bool {
        guard self.first.port != 0, other.first.port != 0 else { return false }
        return self.first.port <= other.lastPort && other.first.port <= self.lastPort
            && self.first.isSameHost(as: other.first)
    }

    public var description: String {
        self.count == 1 ? self.first.description : "\(self.first)-\(self.lastPort)"
    }

    /// Needs `first.port <= lastPort`.
    public init?(first: SocketAddress, lastPort: UInt16) {
        guard first.port <= lastPort else { return nil }
        self.first = first
        self.lastPort = lastPort
    }
}

/// A block of addresses in CIDR notation.
public struct AddressBlock: Hashable, Sendable, CustomStringConvertible {
    /// The lowest address of the block, port 0.
    public let base: SocketAddress
    /// 0...32 for IPv4, 0...128 for IPv6.
    public let prefixLength: Int

    /// Whether it is a block of IPv4 addresses, and so holds no others.
    public var isIPv4: Bool { self.base.isIPv4 }
    public var description: String { "\(self.base.hostText)/\(self.prefixLength)" }

    /// Whether the address of `address` lies inside; an IPv4 block holds no IPv6 address.
    public func contains(_ address: SocketAddress) -> Bool {
        guard address.isIPv4 == self.isIPv4 else { return false }
        let (high, low) = Self.mask(bits: self.prefixLength + (self.isIPv4 ? 96 : 0))
        return address.high & high == self.base.high && address.low & low == self.base.low
    }

    /// Reads `10.0.0.0/8`, `2001:db8::/32` or a bare address; `nil` if bits below the mask are set.
    public init?(_ text: String) {
        let parts = text.split(separator: "/", maxSplits: 1, omittingEmptySubsequences: false)
        guard let host = parts.first, let base = SocketAddress(host: String(host), port: 0) else {
            return nil
        }
        let width = base.isIPv4 ? 32 : 128
        var length = width
        if parts.count == 2 {
            guard parts[1].utf8.allSatisfy({ (48...57).contains($0) }), let given = Int(parts[1]),
                given <= width
            else { return nil }
            length = given
        }
        let (high, low) = Self.mask(bits: length + (base.isIPv4 ? 96 : 0))
        guard base.high & ~high == 0, base.low & ~low == 0 else { return nil }
        self.base = base
        self.prefixLength = length
    }

    private static func mask(bits: Int) -> (high: UInt64, low: UInt64) {
        // Shifts of 64 and more yield 0 in Swift, which is what an empty mask is.
        (UInt64.max << UInt64(max(0, 64 - bits)), UInt64.max << UInt64(max(0, min(64, 128 - bits))))
    }
}
