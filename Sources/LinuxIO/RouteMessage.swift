import Glibc
import Primitives

/// The numbers of rtnetlink(7) that are used here; `shims.c` checks them against the headers.
enum RouteConstant {
    static let newRoute: UInt16 = 24
    static let deleteRoute: UInt16 = 25
    static let getRoute: UInt16 = 26
    static let newRule: UInt16 = 32
    static let deleteRule: UInt16 = 33
    static let getRule: UInt16 = 34

    static let errorMessage: UInt16 = 2
    static let doneMessage: UInt16 = 3

    static let request: UInt16 = 0x001
    static let acknowledge: UInt16 = 0x004
    static let dump: UInt16 = 0x300
    static let exclusive: UInt16 = 0x200
    static let create: UInt16 = 0x400

    static let toTable: UInt8 = 1  // FR_ACT_TO_TBL
    static let unicast: UInt8 = 1  // RTN_UNICAST
    static let local: UInt8 = 2  // RTN_LOCAL
    static let hostScope: UInt8 = 254  // RT_SCOPE_HOST
    /// RTM_F_LOOKUP_TABLE: the answer names the table that decided.
    static let lookupTable: UInt32 = 0x1000

    static let headerSize = 16
    static let bodySize = 12
}

/// One request to rtnetlink as bytes: header, a body of twelve bytes, attributes.
struct RouteRequest {
    private(set) var bytes: [UInt8] = []

    /// `body` is a `struct rtmsg` or a `struct fib_rule_hdr`.
    init(type: UInt16, flags: UInt16, sequence: UInt32, body: [UInt8]) {
        precondition(body.count == RouteConstant.bodySize, "rtnetlink body")
        self.append(UInt32(0))
        self.append(type)
        self.append(flags | RouteConstant.request)
        self.append(sequence)
        self.append(UInt32(0))
        self.bytes += body
    }

    private mutating func append<Value: FixedWidthInteger>(_ value: Value) {
        withUnsafeBytes(of: value) { self.bytes += $0 }
    }

    mutating func attribute(_ kind: UInt16, _ payload: [UInt8]) {
        self.append(UInt16(4 + payload.count))
        self.append(kind)
        self.bytes += payload
        while self.bytes.count % 4 != 0 { self.bytes.append(0) }
    }

    mutating func attribute<Value: FixedWidthInteger>(_ kind: UInt16, _ value: Value) {
        self.attribute(kind, withUnsafeBytes(of: value) { Array($0) })
    }

    mutating func attribute(_ kind: UInt16, _ address: SocketAddress) {
        self.attribute(kind, address.networkBytes)
    }

    var flags: UInt16 { self.bytes[...].number(at: 6, as: UInt16.self) }

    mutating func setFlags(_ flags: UInt16) {
        self.bytes.replaceSubrange(6..<8, with: withUnsafeBytes(of: flags) { Array($0) })
    }

    /// The bytes with their length filled in.
    var finished: [UInt8] {
        var result = self.bytes
        let length = withUnsafeBytes(of: UInt32(self.bytes.count)) { Array($0) }
        result.replaceSubrange(0..<4, with: length)
        return result
    }
}

/// One message from rtnetlink.
struct RouteReply {
    let type: UInt16
    let sequence: UInt32
    let payload: ArraySlice<UInt8>

    /// The body of twelve bytes; `nil` for a message that is shorter.
    var body: ArraySlice<UInt8>? {
        self.payload.count >= RouteConstant.bodySize
            ? self.payload.prefix(RouteConstant.bodySize) : nil
    }

    /// Cuts what one `recv` delivered into messages; stops at the first that makes no sense.
    static func parse(_ bytes: ArraySlice<UInt8>) -> [RouteReply] {
        var rest = bytes
        var replies: [RouteReply] = []
        while rest.count >= RouteConstant.headerSize {
            let length = Int(rest.number(at: 0, as: UInt32.self))
            guard length >= RouteConstant.headerSize, length <= rest.count else { break }
            let reply = RouteReply(
                type: rest.number(at: 4, as: UInt16.self),
                sequence: rest.number(at: 8, as: UInt32.self),
                payload: rest.prefix(length).dropFirst(RouteConstant.headerSize)
            )
            replies.append(reply)
            rest = rest.dropFirst((length + 3) & ~3)
        }
        return replies
    }

    /// Attributes behind the body, by kind.
    var attributes: [UInt16: ArraySlice<UInt8>] {
        var rest = self.payload.dropFirst(RouteConstant.bodySize)
        var found: [UInt16: ArraySlice<UInt8>] = [:]
        while rest.count >= 4 {
            let length = Int(rest.number(at: 0, as: UInt16.self))
            guard length >= 4, length <= rest.count else { break }
            // The two upper bits are flags (NLA_F_NESTED, NLA_F_NET_BYTEORDER).
            let kind = rest.number(at: 2, as: UInt16.self) & 0x3FFF
            found[kind] = rest.prefix(length).dropFirst(4)
            rest = rest.dropFirst((length + 3) & ~3)
        }
        return found
    }
}

extension ArraySlice<UInt8> {
    /// The number in the machine's byte order at an offset, or 0 where the slice ends before.
    func number<Value: FixedWidthInteger>(at offset: Int, as type: Value.Type) -> Value {
        guard offset + MemoryLayout<Value>.size <= self.count else { return 0 }
        return self.withUnsafeBytes { $0.loadUnaligned(fromByteOffset: offset, as: type) }
    }
}

extension SocketAddress {
    /// Four or sixteen bytes in network order.
    var networkBytes: [UInt8] {
        if self.isIPv4 {
            return withUnsafeBytes(of: self.ipv4.bigEndian) { Array($0) }
        }
        return withUnsafeBytes(of: self.high.bigEndian) { Array($0) }
            + withUnsafeBytes(of: self.low.bigEndian) { Array($0) }
    }

    /// The reverse; `nil` for other lengths.
    init?(networkBytes bytes: ArraySlice<UInt8>) {
        switch bytes.count {
        case 4:
            self.init(ipv4: UInt32(bigEndian: bytes.number(at: 0, as: UInt32.self)), port: 0)
        case 16:
            let high = UInt64(bigEndian: bytes.number(at: 0, as: UInt64.self))
            let low = UInt64(bigEndian: bytes.number(at: 8, as: UInt64.self))
            self.init(high: high, low: low, port: 0)
        default: return nil
        }
    }
}
