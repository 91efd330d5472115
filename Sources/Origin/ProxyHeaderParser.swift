import Primitives

/// Takes the PROXY header off the front of a TCP connection, however it was cut into segments.
///
/// Feed it what arrives until it answers with something other than `needMore`; a header that comes
/// whole, which is nearly every one, is never copied. The caller sets a deadline of a few seconds:
/// silence is not this type's to notice.
public struct ProxyHeaderParser {
    /// Which versions a listener takes; a listener that takes either tells them by the first byte.
    public enum Versions: Sendable {
        /// Text, binary, or whichever comes.
        case v1, v2, either
    }

    /// What to do with the connection.
    public enum Outcome: Equatable, Sendable {
        /// Feed the next bytes; what has come so far could be a header's beginning.
        case needMore
        /// The header is complete.
        ///
        /// The first `consumed` bytes of the last feed belonged to it, the rest is the player's.
        /// No header inside means: take the connection's peer for the player
        /// (``isLocal`` tells a health check from one that does not know).
        case header(ProxyHeader?, consumed: Int)
        /// Reset the connection; nothing was accepted.
        case invalid(HeaderFault)
    }

    private let versions: Versions
    private var held: [UInt8] = []

    /// Whether the header said that the proxy speaks for itself, as its health checks do.
    public private(set) var isLocal = false
    /// PP2_TYPE_UNIQUE_ID, if the header had one.
    public private(set) var uniqueID: [UInt8] = []
    /// PP2_TYPE_AUTHORITY, the host name that the player asked for, if the header had one.
    public private(set) var authority: [UInt8] = []

    /// A parser at the beginning of a connection.
    public init(accepting versions: Versions) { self.versions = versions }

    /// Takes the next bytes of the connection; they are copied only if the header is incomplete.
    public mutating func feed(_ bytes: UnsafeRawBufferPointer) -> Outcome {
        if self.held.isEmpty {
            let outcome = self.parse(bytes)
            if outcome == .needMore { self.held.append(contentsOf: bytes) }
            return outcome
        }
        let before = self.held.count
        // No header is longer, so nothing beyond is looked at, and hostile bytes are not kept.
        self.held.append(contentsOf: bytes.prefix(ProxyV2.maximumByteCount - before))
        let held = self.held
        let outcome = held.withUnsafeBytes { self.parse($0) }
        guard case .header(let header, let consumed) = outcome else { return outcome }
        self.held = []
        return .header(header, consumed: consumed - before)
    }

    private mutating func parse(_ bytes: UnsafeRawBufferPointer) -> Outcome {
        guard let first = bytes.first else { return .needMore }
        switch self.versions {
        case .v1: return self.parseV1(bytes)
        case .v2: return self.parseV2(bytes)
        case .either:
            return first == 0x0D ? self.parseV2(bytes) : self.parseV1(bytes)
        }
    }

    private func parseV1(_ bytes: UnsafeRawBufferPointer) -> Outcome {
        switch ProxyV1.parse(bytes) {
        case .needMore: .needMore
        case .header(let header, let byteCount): .header(header, consumed: byteCount)
        case .invalid(.signature) where ProxyV2.begins(bytes): .invalid(.versionTwo)
        case .invalid(let fault): .invalid(fault)
        }
    }

    private mutating func parseV2(_ bytes: UnsafeRawBufferPointer) -> Outcome {
        switch ProxyV2.parse(bytes, transport: .stream) {
        case .needMore: return .needMore
        case .invalid(.signature) where ProxyV1.begins(bytes): return .invalid(.versionOne)
        case .invalid(let fault): return .invalid(fault)
        case .header(let header):
            self.isLocal = header.isLocal
            self.uniqueID = Self.copy(header.uniqueID, bytes)
            self.authority = Self.copy(header.authority, bytes)
            return .header(header.addresses, consumed: header.byteCount)
        }
    }

    private static func copy(_ field: ProxyV2.Field, _ bytes: UnsafeRawBufferPointer) -> [UInt8] {
        Array(bytes[field.offset..<field.offset + field.count])
    }

    /// PP2_TYPE_UNIQUE_ID and PP2_TYPE_AUTHORITY of the PROXY v2 header at the front of a datagram;
    /// empty where there is none.
    public static func extensions(
        ofDatagram bytes: UnsafeRawBufferPointer
    ) -> (uniqueID: [UInt8], authority: [UInt8]) {
        guard case .header(let header) = ProxyV2.parse(bytes, transport: .datagram) else {
            return ([], [])
        }
        return (Self.copy(header.uniqueID, bytes), Self.copy(header.authority, bytes))
    }
}
