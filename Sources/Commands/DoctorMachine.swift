import Configuration
import Glibc
import LinuxIO
import ReturnPath

/// What the machine and the process's rights allow.
enum DoctorMachine {
    /// What the configuration asks of the machine.
    struct Needs {
        /// Backends are dialled with players' addresses.
        var isTransparent = false
        /// Forwards take what is for other addresses.
        var isTransparentInput = false
        var changesRoutes = false
        var lowestPort: UInt16 = .max
        var descriptors = 0
    }

    static func findings(_ needs: Needs) -> [DoctorFinding] {
        self.capabilities(needs) + [self.descriptors(needs)]
            + [
                self.buffer("receive-buffer", "net.core.rmem_max"),
                self.buffer("send-buffer", "net.core.wmem_max"),
            ] + self.families(needs) + self.leftovers() + self.timestamps(needs)
    }

    // MARK: Rights

    /// Numbers of `linux/capability.h`.
    private enum Capability: UInt64 {
        case bindService = 10
        case netAdmin = 12
        case netRaw = 13

        var name: String {
            switch self {
            case .bindService: "CAP_NET_BIND_SERVICE"
            case .netAdmin: "CAP_NET_ADMIN"
            case .netRaw: "CAP_NET_RAW"
            }
        }
    }

    private static func capabilities(_ needs: Needs) -> [DoctorFinding] {
        let held = self.heldCapabilities()
        let has = { (capability: Capability) in held & 1 << capability.rawValue != 0 }
        let report = {
            (capability: Capability, level: DoctorFinding.Level, why: String) -> DoctorFinding in
            if has(capability) { return .ok(capability.name, "held") }
            let name = capability.name
            return DoctorFinding(
                check: name,
                level: level,
                cause: "missing: \(why)",
                cure: "AmbientCapabilities=\(name) in the unit, or: setcap"
                    + " \(name.lowercased())+ep PROGRAM"
            )
        }
        var findings: [DoctorFinding] = []
        if needs.isTransparent || needs.isTransparentInput {
            // ip(7): either of the two allows IP_TRANSPARENT.
            let isServed = !has(.netRaw) && has(.netAdmin)
            let why = "no socket can take another's address"
            findings.append(
                isServed
                    ? .ok("CAP_NET_RAW", "missing, and not needed beside CAP_NET_ADMIN")
                    : report(.netRaw, .failure, why)
            )
        }
        if needs.isTransparent, needs.changesRoutes {
            let why = "rules cannot be installed; those that are there already are used"
            findings.append(report(.netAdmin, .warning, why))
        }
        let first = self.number("net.ipv4.ip_unprivileged_port_start") ?? 1024
        if needs.lowestPort < first {
            let why = "port \(needs.lowestPort) cannot be listened on"
            findings.append(report(.bindService, .failure, why))
        } else if needs.isTransparent, first > 1 {
            let why = "players with a port below \(first) are refused"
            findings.append(report(.bindService, .warning, why))
        }
        return findings
    }

    private static func heldCapabilities() -> UInt64 {
        let text = self.text("/proc/self/status") ?? ""
        let line = text.split(separator: "\n").first { $0.hasPrefix("CapEff:") }
        let digits = line?.split(whereSeparator: { $0 == "\t" || $0 == " " }).last ?? "0"
        return UInt64(digits, radix: 16) ?? 0
    }

    // MARK: Limits

    private static func descriptors(_ needs: Needs) -> DoctorFinding {
        var limit = rlimit()
        getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
        let check = "open-files"
        guard limit.rlim_cur < needs.descriptors else {
            return .ok(check, "\(limit.rlim_cur) allowed")
        }
        return .warning(
            check,
            "\(limit.rlim_cur) allowed, but the limits on streams and flows add up to"
                + " \(needs.descriptors)",
            cure: "LimitNOFILE=1048576 in the unit, or lower max_flows"
        )
    }

    private static func buffer(_ check: String, _ key: String) -> DoctorFinding {
        guard let size = self.number(key) else { return .ok(check, "\(key) cannot be read") }
        let isPrivileged = self.heldCapabilities() & 1 << 12 != 0
        guard size < 4 << 20, !isPrivileged else {
            return .ok(check, isPrivileged ? "4 MiB by CAP_NET_ADMIN" : "\(key) = \(size)")
        }
        return .warning(
            check,
            "\(key) = \(size): bursts of datagrams are lost before they are read",
            cure: "sysctl -w \(key)=4194304"
        )
    }

    // MARK: Kernel

    private static func families(_ needs: Needs) -> [DoctorFinding] {
        guard needs.isTransparent || needs.isTransparentInput else { return [] }
        return [(AF_INET, "transparent-ipv4"), (AF_INET6, "transparent-ipv6")].map {
            family,
            check in
            guard let failure = TransparentSocket.obstacle(family: family) else {
                return .ok(check, "sockets may take players' addresses")
            }
            let isMissing = failure.error.code == EAFNOSUPPORT
            return isMissing
                ? .warning(check, "this machine has no such addresses", cure: "none needed")
                : .failure(check, failure.description, cure: "see CAP_NET_RAW")
        }
    }

    /// Whether packets for transparent forwards find their way to the client.
    static func input(_ listeners: [TransparentInput.Listener]) -> [DoctorFinding] {
        guard !listeners.isEmpty else { return [] }
        let cure = "run the commands of: fairlead routes print --client FILE"
        var findings: [DoctorFinding] = []
        for isIPv6 in [false, true] {
            guard listeners.contains(where: { isIPv6 ? $0.hearsIPv6 : $0.hearsIPv4 }) else {
                continue
            }
            let check = "input-\(isIPv6 ? "ipv6" : "ipv4")"
            do throws(IOError) {
                findings.append(
                    try TransparentInput.isRouted(isIPv6: isIPv6)
                        ? .ok(check, "what is marked stays on this machine")
                        : .failure(
                            check,
                            "the routing rule for marked packets is missing",
                            cure: cure
                        )
                )
            } catch {
                let reason = "the routing tables cannot be read: \(error)"
                findings.append(.warning(check, reason, cure: "allow AF_NETLINK"))
            }
        }
        return findings + self.marks(listeners) + [self.filter(cure)]
    }

    /// wg-quick(8) switches it on, and then what is marked seems to come from this machine itself.
    private static func marks(_ listeners: [TransparentInput.Listener]) -> [DoctorFinding] {
        let key = "net.ipv4.conf.all.src_valid_mark"
        guard listeners.contains(where: \.hearsIPv4), self.number(key) == 1 else { return [] }
        return [
            .failure(
                "source-check",
                "\(key) = 1: the kernel drops what is led to the client over IPv4",
                cure: "sysctl -w \(key)=0"
            )
        ]
    }

    private static func filter(_ cure: String) -> DoctorFinding {
        let check = "packet-filter"
        let table = "table inet \(TransparentInput.filterTable)"
        do throws(IOError) {
            return try PacketFilter.hasTable(TransparentInput.filterTable)
                ? .ok(check, "\(table) is there")
                : .failure(check, "\(table) is missing: nothing is led to the client", cure: cure)
        } catch {
            let reason = "\(table) cannot be looked for: \(error.reason)"
            return .warning(check, reason, cure: "run doctor with CAP_NET_ADMIN")
        }
    }

    private static func leftovers() -> [DoctorFinding] {
        do throws(IOError) {
            let count = try LeftoverRoutes.count()
            guard count > 0 else { return [.ok("leftovers", "no rules of ended processes")] }
            return [
                .warning(
                    "leftovers",
                    "\(count) rules and routes of processes that have ended",
                    cure: "fairlead routes remove (the next start does the same)"
                )
            ]
        } catch {
            return [
                .warning(
                    "leftovers",
                    "the routing rules cannot be read: \(error)",
                    cure: "allow AF_NETLINK"
                )
            ]
        }
    }

    private static func timestamps(_ needs: Needs) -> [DoctorFinding] {
        guard needs.isTransparent, self.number("net.ipv4.tcp_timestamps") == 0 else { return [] }
        return [
            .warning(
                "tcp-timestamps",
                "switched off: a player who reconnects from the same port waits up to a minute",
                cure: "sysctl -w net.ipv4.tcp_timestamps=1"
            )
        ]
    }

    // MARK: Reading

    /// A kernel setting by its sysctl name.
    static func number(_ key: String) -> Int? {
        let path = "/proc/sys/" + key.split(separator: ".").joined(separator: "/")
        return self.text(path).flatMap { Int($0.prefix { $0 != "\n" && $0 != "\t" }) }
    }

    private static func text(_ path: String) -> String? {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { return nil }
        defer { close(descriptor) }
        var bytes = [UInt8](repeating: 0, count: 8192)
        let count = read(descriptor, &bytes, bytes.count)
        guard count >= 0 else { return nil }
        return String(decoding: bytes[..<count], as: UTF8.self)
    }
}
