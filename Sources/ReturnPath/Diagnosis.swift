import Glibc
import LinuxIO
import Primitives

/// One line of cause and one of cure for everything that can be wrong with a return path.
enum Diagnosis {
    static func obstacle(
        _ failure: TransparentFailure,
        _ backend: TransparentBackend
    ) -> ReturnPathVerdict.State {
        switch failure.cause {
        case .missingNetRaw:
            .refused(
                reason: failure.description,
                cure: "AmbientCapabilities=CAP_NET_RAW in the unit, or:"
                    + " setcap cap_net_raw+ep fairlead-server, or run it as root"
            )
        default:
            .refused(
                reason: "no transparent socket for \(backend): \(failure.error)",
                cure: backend.address.isIPv4
                    ? "see whether the kernel has CONFIG_IP_ADVANCED_ROUTER"
                    : "switch IPv6 on, or name an IPv4 backend"
            )
        }
    }

    static func netlink(_ error: IOError) -> ReturnPathVerdict.State {
        .refused(
            reason: "the routing tables cannot be read: \(error)",
            cure: "allow AF_NETLINK (RestrictAddressFamilies= of the unit, seccomp)"
        )
    }

    static func install(_ error: IOError) -> ReturnPathVerdict.State {
        switch error.code {
        case EPERM, EACCES:
            .refused(
                reason: "routing rules cannot be installed: the process lacks CAP_NET_ADMIN",
                cure: "grant it, or run as root before: fairlead routes install --server FILE"
            )
        case EOPNOTSUPP, EAFNOSUPPORT:
            .refused(
                reason: "the kernel has no policy routing: \(error)",
                cure: "use a kernel with CONFIG_IP_MULTIPLE_TABLES and CONFIG_IPV6_MULTIPLE_TABLES"
            )
        case EBUSY:
            .refused(
                reason: "\(RouteSlot.count) servers share this network namespace already",
                cure: "end one of them, or start this one in a namespace of its own"
            )
        default:
            .refused(
                reason: "routing rules cannot be installed: \(error)",
                cure: "set routes = \"print\" and see which command fails"
            )
        }
    }

    static func unreachable(
        _ error: IOError,
        _ backend: TransparentBackend
    ) -> ReturnPathVerdict.State {
        .refused(
            reason: "\(backend) cannot be reached: \(error.reason)",
            cure: "see: ip route get \(backend.address.hostText)"
        )
    }

    /// A reply would not come back.
    static func astray(
        _ label: String,
        _ result: Result<RouteAnswer, IOError>,
        rules: [RoutingRule]
    ) -> ReturnPathVerdict.State {
        let ours = rules.filter { $0.owner == RuleNumbering.owner }
        let reason: String
        switch result {
        case .failure(let error): reason = "\(label) would be dropped here: \(error.reason)"
        case .success(let answer) where answer.kind == .local:
            let source = answer.source?.hostText ?? "no address"
            reason = "\(label) would come from \(source) and not be recognised"
        case .success(let answer):
            let device = InterfaceName.of(answer.interface) ?? "interface \(answer.interface)"
            reason = "\(label) would leave by \(device), as table \(answer.table) says"
        }
        guard !ours.isEmpty else {
            let cure =
                "run as root: fairlead routes install --server FILE (or print, for the commands)"
            return .refused(reason: reason + ": the rule for it is missing", cure: cure)
        }
        let first = ours.map(\.priority).min() ?? RuleNumbering.printed.narrowPriority
        let earlier = rules.filter {
            $0.owner != RuleNumbering.owner && $0.priority > 0 && $0.priority < first
        }
        guard let shadow = earlier.first else {
            return .refused(
                reason: "\(reason), although our rule \(first) is there",
                cure: "install it afresh, as root: fairlead routes install --server FILE"
            )
        }
        return .refused(
            reason: "\(reason); rule \(shadow.priority) comes before ours (\(first))",
            cure: "give the rule `ip rule … pref \(shadow.priority)` a preference above 900"
        )
    }

    /// The backend answers this machine, but not a player.
    static func answersOnlyUs(_ placed: PlacedBackend) -> ReturnPathVerdict.State {
        let backend = placed.backend
        let reason = "\(backend) answers this machine, but its replies to players do not come back"
        guard case .remote(_, _, let source) = placed.placement else {
            return .refused(
                reason: "\(reason): it sends them from another address or interface",
                cure: "bind it to \(backend.address.hostText)"
            )
        }
        let family = backend.address.isIPv4 ? "ip" : "ip -6"
        return .refused(
            reason: "\(reason): its machine routes players elsewhere",
            cure: "on that machine: \(family) route replace default via"
                + " \(source?.hostText ?? "this machine") (or a route to the players);"
                + " else use origin = \"proxy-v2\""
        )
    }

    /// Nothing came from the backend, whoever asked.
    static func silent(
        _ placed: PlacedBackend,
        from sources: [SocketAddress]
    ) -> ReturnPathVerdict.State {
        let backend = placed.backend
        guard placed.placement.isRemote else {
            return .refused(
                reason: "\(backend) is silent to a player's address, and no rule is at fault",
                cure: "see whether a firewall drops packets from \(self.list(sources)) on lo"
            )
        }
        let hint =
            backend.transport == .udp && backend.question.isEmpty
            ? "; if it drops what it does not know, give the service a health query" : ""
        return .refused(
            reason: "\(backend.address.hostText) does not answer at all, so its way back to players"
                + " cannot be proven",
            cure: "start that machine, or open its firewall\(hint)"
        )
    }

    private static func list(_ addresses: [SocketAddress]) -> String {
        var seen: [String] = []
        for address in addresses where !seen.contains(address.hostText) {
            seen.append(address.hostText)
        }
        return seen.joined(separator: ", ")
    }
}
