import Glibc

/// Questions to nf_tables, the kernel's packet filter.
public enum PacketFilter {
    /// `NETLINK_NETFILTER`, and what of `linux/netfilter/nfnetlink.h` and `nf_tables.h` is used.
    private static let netlinkProtocol: Int32 = 12
    private static let subsystem: UInt16 = 10
    private static let getTable: UInt16 = 1
    private static let newTable: UInt16 = 0
    private static let inet: UInt8 = 1

    /// Whether there is a table `name` of the family `inet`; throws `EPERM` without
    /// `CAP_NET_ADMIN`.
    public static func hasTable(_ name: String) throws(IOError) -> Bool {
        let call: StaticString = "nf_tables NFT_MSG_GETTABLE"
        let flags = Int32(SOCK_RAW.rawValue | SOCK_CLOEXEC.rawValue)
        let descriptor = try plainCall(call) { socket(16, flags, Self.netlinkProtocol) }
        defer { closeDescriptor(descriptor) }
        let question = Self.question(name)
        _ = try plainCall(call) {
            question.withUnsafeBytes { send(descriptor, $0.baseAddress, $0.count, 0) }
        }
        var buffer = [UInt8](repeating: 0, count: 8_192)
        while true {
            let count = try plainCall(call) {
                buffer.withUnsafeMutableBytes { recv(descriptor, $0.baseAddress, $0.count, 0) }
            }
            for reply in RouteReply.parse(buffer[..<count]) {
                switch reply.type {
                case Self.subsystem << 8 | Self.newTable: return true
                case RouteConstant.errorMessage:
                    let code = -reply.payload.number(at: 0, as: Int32.self)
                    if code == ENOENT { return false }
                    guard code == 0 else { throw IOError(code: code, call: call) }
                    return true
                default: break
                }
            }
        }
    }

    /// A `struct nlmsghdr`, a `struct nfgenmsg` and the attribute NFTA_TABLE_NAME.
    private static func question(_ name: String) -> [UInt8] {
        var attribute = Array(name.utf8) + [0]
        let attributeLength = UInt16(4 + attribute.count)
        while attribute.count % 4 != 0 { attribute.append(0) }
        var bytes: [UInt8] = []
        let append = { (part: [UInt8]) in bytes += part }
        append(withUnsafeBytes(of: UInt32(16 + 4 + 4 + attribute.count)) { Array($0) })
        append(withUnsafeBytes(of: Self.subsystem << 8 | Self.getTable) { Array($0) })
        let flags = RouteConstant.request | RouteConstant.acknowledge
        append(withUnsafeBytes(of: flags) { Array($0) })
        append([UInt8](repeating: 0, count: 8))
        append([Self.inet, 0, 0, 0])
        append(withUnsafeBytes(of: attributeLength) { Array($0) })
        append(withUnsafeBytes(of: UInt16(1)) { Array($0) })
        append(attribute)
        return bytes
    }
}
