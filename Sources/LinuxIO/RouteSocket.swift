import Glibc
import Primitives

/// A conversation with the kernel's routing tables, rtnetlink(7).
///
/// Every call returns when the kernel has done the work; it waits for nobody else. One thread uses
/// it at a time.
public final class RouteSocket {
    private let descriptor: Int32
    private var sequence: UInt32 = 0
    private var buffer = [UInt8](repeating: 0, count: 64 << 10)

    /// Opens a netlink socket, which needs no rights; throws where there is no descriptor.
    public init() throws(IOError) {
        self.descriptor = try openNetlink(groups: 0)
        // Lets a dump be asked for some routes only. A kernel that does not know it (before 5.0)
        // tells of all.
        let level: Int32 = 270  // SOL_NETLINK
        let strictChecks: Int32 = 12  // NETLINK_GET_STRICT_CHK
        try? setOption(self.descriptor, level, strictChecks, 1, "NETLINK_GET_STRICT_CHK")
    }

    deinit { closeDescriptor(self.descriptor) }

    // MARK: Changing; needs CAP_NET_ADMIN

    /// Adds a rule; false: it was there already.
    @discardableResult
    public func add(_ rule: RoutingRule) throws(IOError) -> Bool {
        let flags = RouteConstant.create | RouteConstant.exclusive
        let request = rule.request(RouteConstant.newRule, flags: flags, sequence: self.next())
        return try self.change(request, "rtnetlink RTM_NEWRULE", unless: EEXIST)
    }

    /// Removes a rule; one that is gone already is as good.
    public func remove(_ rule: RoutingRule) throws(IOError) {
        let request = rule.request(RouteConstant.deleteRule, flags: 0, sequence: self.next())
        _ = try self.change(request, "rtnetlink RTM_DELRULE", unless: ENOENT)
    }

    /// Adds a route; false: it was there already.
    @discardableResult
    public func add(_ route: LocalRoute) throws(IOError) -> Bool {
        let request = route.request(
            RouteConstant.newRoute,
            flags: RouteConstant.create | RouteConstant.exclusive,
            sequence: self.next(),
            loopback: if_nametoindex("lo")
        )
        return try self.change(request, "rtnetlink RTM_NEWROUTE", unless: EEXIST)
    }

    /// Removes a route; one that is gone already is as good.
    public func remove(_ route: LocalRoute) throws(IOError) {
        let request = route.request(
            RouteConstant.deleteRoute,
            flags: 0,
            sequence: self.next(),
            loopback: if_nametoindex("lo")
        )
        _ = try self.change(request, "rtnetlink RTM_DELROUTE", unless: ESRCH)
    }

    // MARK: Asking; needs nothing

    /// All rules of a family in the order they are asked.
    public func rules(isIPv6: Bool) throws(IOError) -> [RoutingRule] {
        try self.dump(RouteConstant.getRule, isIPv6, "rtnetlink RTM_GETRULE")
            .compactMap { RoutingRule($0) }
    }

    /// The local default routes of a family that `owner` installed, in whichever table.
    public func localRoutes(isIPv6: Bool, owner: UInt8) throws(IOError) -> [LocalRoute] {
        try self.dump(RouteConstant.getRoute, isIPv6, "rtnetlink RTM_GETROUTE", owner: owner)
            .compactMap { LocalRoute($0) }
            .filter { $0.owner == owner }
    }

    /// Where a packet would go; throws `ENETUNREACH` and its kin for packets that go nowhere.
    public func answer(to question: RouteQuestion) throws(IOError) -> RouteAnswer {
        let request = question.request(sequence: self.next())
        let call: StaticString = "rtnetlink RTM_GETROUTE"
        let replies = try self.exchange(request, call)
        guard let answer = replies.lazy.compactMap({ RouteAnswer($0) }).first else {
            throw IOError(code: ENOMSG, call: call)
        }
        return answer
    }

    // MARK: Talking

    private func next() -> UInt32 {
        self.sequence &+= 1
        return self.sequence
    }

    private func change(
        _ request: RouteRequest,
        _ call: StaticString,
        unless harmless: Int32
    ) throws(IOError) -> Bool {
        var request = request
        request.addFlags(RouteConstant.acknowledge)
        do throws(IOError) {
            _ = try self.exchange(request, call)
            return true
        } catch {
            guard error.code == harmless else { throw error }
            return false
        }
    }

    private func dump(
        _ type: UInt16,
        _ isIPv6: Bool,
        _ call: StaticString,
        owner: UInt8 = 0
    ) throws(IOError) -> [RouteReply] {
        var body = [UInt8](repeating: 0, count: RouteConstant.bodySize)
        body[0] = isIPv6 ? 10 : 2
        body[5] = owner
        let request = RouteRequest(
            type: type,
            flags: RouteConstant.dump,
            sequence: self.next(),
            body: body
        )
        do throws(IOError) {
            return try self.exchange(request, call)
        } catch {
            // A kernel without IPv6 or without policy routing has no rules to tell of.
            guard error.code == EOPNOTSUPP || error.code == EAFNOSUPPORT else { throw error }
            return []
        }
    }

    /// Sends a request and collects what it is answered with, up to its acknowledgement, the end
    /// of the dump, or the one reply to a question.
    private func exchange(
        _ request: RouteRequest,
        _ call: StaticString
    ) throws(IOError) -> [RouteReply] {
        let bytes = request.finished
        _ = try plainCall(call) {
            bytes.withUnsafeBytes { send(self.descriptor, $0.baseAddress, $0.count, 0) }
        }
        var collected: [RouteReply] = []
        while true {
            let count = try plainCall(call) {
                self.buffer.withUnsafeMutableBytes {
                    recv(self.descriptor, $0.baseAddress, $0.count, 0)
                }
            }
            for reply in RouteReply.parse(self.buffer[..<count])
            where reply.sequence == self.sequence {
                switch reply.type {
                case RouteConstant.doneMessage: return collected
                case RouteConstant.errorMessage:
                    let code = -reply.payload.number(at: 0, as: Int32.self)
                    guard code == 0 else { throw IOError(code: code, call: call) }
                    return collected
                default:
                    collected.append(reply)
                    if request.hasOneReply { return collected }
                }
            }
        }
    }
}

extension RouteRequest {
    fileprivate mutating func addFlags(_ flags: UInt16) { self.setFlags(self.flags | flags) }

    /// A question that is neither a dump nor acknowledged.
    fileprivate var hasOneReply: Bool {
        self.flags & (RouteConstant.dump | RouteConstant.acknowledge) == 0
    }
}

/// Tells that somebody has changed rules, routes, interfaces or addresses of this namespace.
public final class RouteChanges {
    /// What to be told of.
    public enum Subject: Sendable {
        /// Interfaces, and the routes and rules of both families.
        case routes
        /// The addresses of both families.
        case addresses
    }

    /// Becomes readable at a change.
    public let descriptor: Int32
    private var buffer = [UInt8](repeating: 0, count: 16 << 10)

    /// Subscribes to changes from now on; needs no rights, throws where there is no descriptor.
    public init(of subject: Subject = .routes) throws(IOError) {
        // Bit n − 1 is group n.
        let groups: UInt32 =
            switch subject {
            case .routes: 1 << 0 | 1 << 6 | 1 << 7 | 1 << 10 | 1 << 18
            case .addresses: 1 << 4 | 1 << 8
            }
        self.descriptor = try openNetlink(groups: groups)
    }

    deinit { closeDescriptor(self.descriptor) }

    /// Whether anything has changed since the last call; reads all there is without waiting.
    public func take() -> Bool {
        var hasChanged = false
        while true {
            let count = self.buffer.withUnsafeMutableBytes {
                recv(self.descriptor, $0.baseAddress, $0.count, 0)
            }
            if count > 0 || (count < 0 && errno == ENOBUFS) {
                // ENOBUFS: more happened than the socket holds, so something did.
                hasChanged = true
            } else if count == 0 || errno != EINTR {
                return hasChanged
            }
        }
    }
}

private func openNetlink(groups: UInt32) throws(IOError) -> Int32 {
    let descriptor = try openSocket(16, SOCK_RAW)  // AF_NETLINK, NETLINK_ROUTE
    // A `struct sockaddr_nl`: family, padding, port, groups.
    let address: (UInt16, UInt16, UInt32, UInt32) = (16, 0, 0, groups)
    do throws(IOError) {
        _ = try plainCall("bind") {
            withUnsafePointer(to: address) { pointer in
                pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                    bind(descriptor, $0, 12)
                }
            }
        }
    } catch {
        closeDescriptor(descriptor)
        throw error
    }
    return descriptor
}
