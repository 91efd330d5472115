public import Primitives

/// What a PROXY or Simple Proxy header says: who the player is and whom it believes to talk to.
///
/// Addresses that arrive as IPv4-mapped IPv6 are IPv4 here, because `SocketAddress` holds both
/// alike; no check further on can be talked round by the way an address was written.
@frozen
public struct ProxyHeader: Hashable, Sendable {
    /// What the player speaks, with the number of the low nibble in byte 13 of a v2 header.
    @frozen
    public enum Transport: UInt8, Sendable {
        /// TCP.
        case stream = 1
        /// UDP.
        case datagram = 2
    }

    /// The player.
    public var source: SocketAddress
    /// Where the player connected to.
    public var destination: SocketAddress
    /// Whether the player speaks TCP or UDP.
    public var transport: Transport

    /// A header out of its fields; families need not agree.
    @inlinable
    public init(source: SocketAddress, destination: SocketAddress, transport: Transport) {
        self.source = source
        self.destination = destination
        self.transport = transport
    }

    /// A header has one family for both addresses: IPv4 only if both are.
    var isIPv4: Bool { self.source.isIPv4 && self.destination.isIPv4 }
}

/// Why bytes are not the header they should have been.
public enum HeaderFault: String, CaseIterable, Sendable {
    /// They do not begin as a header does.
    case signature
    /// A header of version 1 where another is expected.
    case versionOne = "version-1"
    /// A header of version 2 where another is expected.
    case versionTwo = "version-2"
    /// A version that does not exist.
    case version
    /// A command other than LOCAL and PROXY.
    case command
    /// An address family this program does not speak, or one without a transport.
    case family
    /// A header for TCP on UDP, or the other way round.
    case transport
    /// Shorter than its own fields, or than the datagram it came in.
    case length
    /// Longer than this program accepts.
    case oversize
    /// Extension fields that do not end where the header ends, or contradict themselves.
    case extensions
    /// A CRC32C that does not fit the header.
    case checksum
    /// Text that PROXY v1 does not allow.
    case text
    /// A bare datagram of a flow whose header never came, or came too long ago.
    case unannounced
    /// A second header that names somebody else, in the middle of a flow.
    case conflict
    /// More flows than the table holds.
    case crowded

    /// The `reason` of a counter or log line.
    public var label: String { "header-\(self.rawValue)" }

    /// What is refused for it, in one sentence.
    public var meaning: String {
        switch self {
        case .signature: "Bytes that do not begin as the expected header does."
        case .versionOne: "A PROXY header of version 1 where another one is expected."
        case .versionTwo: "A PROXY header of version 2 where another one is expected."
        case .version: "A header of a version that does not exist."
        case .command: "A header whose command does not exist."
        case .family: "A header of an address family that this program does not speak."
        case .transport: "A header for TCP on UDP, or the other way round."
        case .length: "A header shorter than its own fields, or than its datagram."
        case .oversize: "A header longer than this program accepts."
        case .extensions: "A header whose extension fields contradict it."
        case .checksum: "A header whose checksum is wrong."
        case .text: "Text that PROXY v1 does not allow."
        case .unannounced: "Bare datagrams of a flow whose header never came."
        case .conflict: "A second header that names somebody else, in the middle of a flow."
        case .crowded: "Connections and flows whose headers are more than are kept."
        }
    }
}

/// The optional fields of a PROXY v2 header, ready to be written.
public struct ProxyTLVs: Hashable, Sendable {
    /// PP2_TYPE_AUTHORITY, PP2_TYPE_CRC32C and PP2_TYPE_UNIQUE_ID of the specification.
    static let authorityType: UInt8 = 0x02
    static let checksumType: UInt8 = 0x03
    static let uniqueIDType: UInt8 = 0x05
    /// From the range left to applications, clear of those that AWS, Azure and Google took.
    public static let keyFingerprintType: UInt8 = 0xE5

    static let uniqueIDLimit = 128
    /// A name on the wire is never longer (RFC 1035 §3.1).
    static let authorityLimit = 255
    static let fingerprintLimit = 64

    /// Identifies the connection end to end; empty: absent.
    ///
    /// At most 128 bytes.
    public let uniqueID: [UInt8]
    /// The host name the player asked for; empty: absent.
    ///
    /// At most 255 bytes.
    public let authority: [UInt8]
    /// Which client of the tunnel vouches for the player; empty: absent.
    ///
    /// At most 64 bytes.
    public let keyFingerprint: [UInt8]
    /// Whether the header carries a CRC32C of itself.
    public let hasChecksum: Bool

    /// No fields and no checksum.
    public static let none = Self()

    private init() {
        self.uniqueID = []
        self.authority = []
        self.keyFingerprint = []
        self.hasChecksum = false
    }

    /// `nil` if a field is longer than its limit.
    public init?(
        uniqueID: [UInt8] = [],
        authority: [UInt8] = [],
        keyFingerprint: [UInt8] = [],
        hasChecksum: Bool = false
    ) {
        guard uniqueID.count <= Self.uniqueIDLimit, authority.count <= Self.authorityLimit,
            keyFingerprint.count <= Self.fingerprintLimit
        else { return nil }
        self.uniqueID = uniqueID
        self.authority = authority
        self.keyFingerprint = keyFingerprint
        self.hasChecksum = hasChecksum
    }

    /// What the fields take in a header.
    var byteCount: Int {
        (self.hasChecksum ? 7 : 0) + Self.fieldByteCount(self.uniqueID)
            + Self.fieldByteCount(self.authority) + Self.fieldByteCount(self.keyFingerprint)
    }

    private static func fieldByteCount(_ value: [UInt8]) -> Int {
        value.isEmpty ? 0 : 3 + value.count
    }
}
