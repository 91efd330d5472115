import Glibc
import LinuxIO
public import Primitives

/// Who changes the routing tables.
public enum RouteMode: Hashable, Sendable {
    /// This process, when it starts and ends.
    case auto
    /// A person, who is told the commands.
    case print
    /// A person, who knows them.
    case off
}

/// What is worth a line in the log.
public enum ReturnPathEvent: Hashable, Sendable {
    /// All rules and routes of the plan stand, so many of each.
    case installed(rules: Int, routes: Int)
    /// Somebody had removed some of them.
    case repaired(count: Int)
    /// Some were removed and could not be added again.
    case repairFailed(reason: String)
    /// A command to run, in the mode ``RouteMode/print``.
    case command(String)
}

/// Sees to it that replies of backends to players come back to this process, and proves it.
///
/// One thread uses it: ``prepare(_:testAddresses:)`` before serving, then ``check()`` whenever
/// ``changeDescriptor`` is readable and ``retry()`` now and then while a backend is refused, in the
/// end ``teardown()``. Workers get the ``dialer``.
public final class ReturnPathKeeper {
    /// Addresses that no player has: RFC 5737 and RFC 3849 keep them for documentation.
    public static let testAddresses = [
        SocketAddress(ipv4: 0xC000_0201, port: 0),
        SocketAddress(high: 0x2001_0DB8_0000_0000, low: 1, port: 0),
    ]

    /// What workers open sockets with; it refuses each backend until its way back is proven.
    public let dialer: TransparentDialer
    /// What came of each backend, in the order given.
    public private(set) var verdicts: [ReturnPathVerdict] = []
    /// Lets probes, which take a second where a backend is silent, be given up.
    public var interrupt: ProbeInterrupt?
    /// Whether the last ``check()`` found that somebody had changed rules, routes or interfaces.
    public private(set) var hasSeenChange = false

    private let mode: RouteMode
    private let ownPorts: [UInt16]
    private let log: (ReturnPathEvent) -> Void
    private var changes: RouteChanges?
    private var socket: RouteSocket?
    private var installer: RouteInstaller?
    private var plan: ReturnPathPlan?
    private var placed: [PlacedBackend] = []
    private var testAddresses: [SocketAddress] = []

    /// `ownPorts` are UDP ports of the tunnel itself.
    ///
    /// At most `flowLimit` transparent flows are open at a time.
    public init(
        mode: RouteMode,
        ownPorts: [UInt16],
        flowLimit: Int,
        log: @escaping (ReturnPathEvent) -> Void
    ) {
        self.mode = mode
        self.ownPorts = ownPorts
        self.log = log
        self.dialer = TransparentDialer(flowLimit: flowLimit)
    }

    deinit { self.teardown() }

    /// Readable when rules, routes or interfaces have changed; `nil` before ``prepare(_:)``.
    public var changeDescriptor: Int32? { self.changes?.descriptor }

    /// Whether every backend is ready.
    public var isHealthy: Bool { self.verdicts.allSatisfy(\.isReady) }

    /// Installs what these backends need, in place of what others needed, and probes each of them.
    ///
    /// Takes about a second when a backend is silent. `testAddresses` are further ones to probe
    /// from, for backends whose way to documentation addresses is not their way to players.
    public func prepare(
        _ backends: [TransparentBackend],
        testAddresses: [SocketAddress] = []
    ) -> [ReturnPathVerdict] {
        self.testAddresses = Self.testAddresses + testAddresses.map { $0.with(port: 0) }
        var refusals: [TransparentBackend: ReturnPathVerdict.State] = [:]
        do throws(IOError) {
            if self.changes == nil { self.changes = try RouteChanges() }
            let socket = try self.openSocket()
            self.socket = socket
            self.placed = self.place(backends, socket, &refusals)
            let proven = self.prove(self.placed, socket)
            refusals.merge(proven) { _, new in new }
        } catch {
            for backend in backends { refusals[backend] = Diagnosis.netlink(error) }
        }
        self.settle(backends.map { ReturnPathVerdict(backend: $0, state: refusals[$0] ?? .silent) })
        return self.verdicts
    }

    /// Probes the backends again that were refused; returns the verdicts that are new.
    public func retry() -> [ReturnPathVerdict] {
        let refused = self.verdicts.filter { !$0.isReady }
        guard !refused.isEmpty, let socket = self.socket else { return [] }
        var states: [TransparentBackend: ReturnPathVerdict.State] = [:]
        let all = self.place(self.verdicts.map(\.backend), socket, &states)
        let isMoved = all != self.placed
        self.placed = all
        let targets =
            isMoved ? all : all.filter { one in refused.contains { $0.backend == one.backend } }
        states.merge(self.prove(targets, socket)) { _, new in new }
        return self.update(states)
    }

    /// Looks whether the rules still stand and puts them back; returns the verdicts that are new.
    ///
    /// A backend whose replies would go astray is refused from this moment on. Does next to nothing
    /// when nothing has changed.
    public func check() -> [ReturnPathVerdict] {
        self.hasSeenChange = self.changes?.take() ?? false
        guard self.hasSeenChange, let socket = self.socket else { return [] }
        if let installer = self.installer {
            do throws(IOError) {
                let count = try installer.repair()
                if count > 0 {
                    self.log(.repaired(count: count))
                    // Whoever removes rules removes one after the other, and may not have been
                    // done: a verdict now would be on a table that is half there, and the proof
                    // that follows a refusal would keep us from the rest for a second. Our own
                    // repair wakes us once more, and the verdict is given when nothing was missing.
                    return []
                }
            } catch {
                self.log(.repairFailed(reason: error.description))
            }
        }
        let ready = self.verdicts.filter(\.isReady).map(\.backend)
        let isReady = { (placed: PlacedBackend) in ready.contains(placed.backend) }
        var states: [TransparentBackend: ReturnPathVerdict.State] = [:]
        let all = self.place(self.verdicts.map(\.backend), socket, &states)
        guard all.filter(isReady) == self.placed.filter(isReady) else {
            // A backend has moved to another interface, or away.
            self.placed = all
            states.merge(self.prove(all, socket)) { _, new in new }
            return self.update(states)
        }
        for placed in all where ready.contains(placed.backend) {
            states[placed.backend] = self.astray(placed, socket)
        }
        return self.update(states.filter { ready.contains($0.key) })
    }

    /// Takes everything back; harmless when there is nothing.
    ///
    /// Abort every transparent connection and close every flow before: what a backend still sends
    /// afterwards goes to the player with the backend's own address.
    public func teardown() {
        self.dialer.setReady([])
        self.installer?.removeAll()
        self.installer = nil
        self.plan = nil
        self.verdicts = []
    }

    // MARK: Finding out

    private func place(
        _ backends: [TransparentBackend],
        _ socket: RouteSocket,
        _ refusals: inout [TransparentBackend: ReturnPathVerdict.State]
    ) -> [PlacedBackend] {
        var placed: [PlacedBackend] = []
        for backend in backends {
            if let failure = TransparentSocket.obstacle(family: backend.address.family) {
                refusals[backend] = Diagnosis.obstacle(failure, backend)
                continue
            }
            do throws(IOError) {
                placed.append(try Self.place(backend, socket))
            } catch {
                refusals[backend] = Diagnosis.unreachable(error, backend)
            }
        }
        return placed
    }

    static func place(
        _ backend: TransparentBackend,
        _ socket: RouteSocket
    ) throws(IOError) -> PlacedBackend {
        let destination = backend.address.with(port: 0)
        let answer = try socket.answer(to: RouteQuestion(destination: destination))
        switch answer.kind {
        case .local:
            let isLoopback =
                backend.address.isIPv4
                ? backend.address.ipv4 >> 24 == 127
                : backend.address.high == 0 && backend.address.low == 1
            return PlacedBackend(backend: backend, placement: isLoopback ? .loopback : .local)
        case .unicast:
            guard let device = InterfaceName.of(answer.interface) else {
                throw IOError(code: ENODEV, call: "if_indextoname")
            }
            let placement = Placement.remote(
                device: device,
                index: answer.interface,
                source: answer.source
            )
            return PlacedBackend(backend: backend, placement: placement)
        case .other: throw IOError(code: ENETUNREACH, call: "rtnetlink RTM_GETROUTE")
        }
    }

    /// Installs and probes; returns a state for each of `targets`.
    private func prove(
        _ targets: [PlacedBackend],
        _ socket: RouteSocket
    ) -> [TransparentBackend: ReturnPathVerdict.State] {
        var states: [TransparentBackend: ReturnPathVerdict.State] = [:]
        var obstacle: ReturnPathVerdict.State?
        do throws(IOError) {
            try self.install(socket)
        } catch {
            self.installer = nil
            self.plan = nil
            obstacle = Diagnosis.install(error)
            // Somebody with the right to it may have installed what is needed before.
            guard error.code == EPERM || error.code == EACCES else {
                for target in targets { states[target.backend] = obstacle }
                return states
            }
        }
        var probed: [PlacedBackend] = []
        for target in targets {
            if let state = self.astray(target, socket) {
                states[target.backend] = obstacle ?? state
            } else {
                probed.append(target)
            }
        }
        let probe = BackendProbes(
            probed,
            testAddresses: self.testAddresses,
            interrupt: self.interrupt
        )
        states.merge(probe.run()) { _, new in new }
        self.dropProbeRules()
        return states
    }

    private func install(_ socket: RouteSocket) throws(IOError) {
        guard self.mode == .auto else { return self.tell() }
        guard !self.placed.isEmpty || self.installer != nil else { return }
        let installer = try self.openInstaller(socket)
        let plan = self.plan(installer.numbering)
        try installer.apply(rules: plan.rules + plan.probeRules, routes: plan.routes)
        if plan != self.plan {
            self.log(.installed(rules: plan.rules.count, routes: plan.routes.count))
        }
        self.plan = plan
        _ = self.changes?.take()
    }

    // `??` would lose the type of the error.
    private func openSocket() throws(IOError) -> RouteSocket {
        if let socket = self.socket { return socket }
        return try RouteSocket()
    }

    private func openInstaller(_ socket: RouteSocket) throws(IOError) -> RouteInstaller {
        if let installer = self.installer { return installer }
        let installer = try RouteInstaller(socket: socket)
        self.installer = installer
        return installer
    }

    private func dropProbeRules() {
        guard let plan = self.plan, let installer = self.installer else { return }
        try? installer.apply(rules: plan.rules, routes: plan.routes)
        _ = self.changes?.take()
    }

    private func tell() {
        let plan = self.plan(.printed)
        guard self.mode == .print, plan != self.plan else { return }
        self.plan = plan
        for command in plan.commands { self.log(.command(command)) }
    }

    private func plan(_ numbering: RuleNumbering) -> ReturnPathPlan {
        ReturnPathPlan(
            self.placed,
            numbering: numbering,
            ownPorts: self.ownPorts,
            testAddresses: self.testAddresses
        )
    }

    /// Why a reply of the backend would go elsewhere, by the routing tables as they are; `nil` if
    /// it comes back.
    private func astray(
        _ placed: PlacedBackend,
        _ socket: RouteSocket
    ) -> ReturnPathVerdict.State? {
        let isIPv4 = placed.backend.address.isIPv4
        for address in self.testAddresses where address.isIPv4 == isIPv4 {
            let player = address.with(port: 40000)
            for reply in placed.replies(to: player, ownPorts: self.ownPorts) {
                let result: Result<RouteAnswer, IOError>
                do throws(IOError) {
                    result = .success(try socket.answer(to: reply.question))
                } catch {
                    result = .failure(error)
                }
                if case .success(let answer) = result, answer.kind == .local {
                    let isRight = reply.source.map { answer.source?.isSameHost(as: $0) ?? false }
                    if isRight ?? true { continue }
                }
                let rules = (try? socket.rules(isIPv6: !isIPv4)) ?? []
                return Diagnosis.astray(reply.label, result, rules: rules)
            }
        }
        return nil
    }

    // MARK: Verdicts

    private func settle(_ verdicts: [ReturnPathVerdict]) {
        self.verdicts = verdicts
        self.dialer.setReady(verdicts.filter(\.isReady).map(\.backend))
    }

    private func update(
        _ states: [TransparentBackend: ReturnPathVerdict.State]
    ) -> [ReturnPathVerdict] {
        var verdicts = self.verdicts
        var news: [ReturnPathVerdict] = []
        for index in verdicts.indices {
            let state = states[verdicts[index].backend]
            guard let state, state != verdicts[index].state else { continue }
            verdicts[index].state = state
            news.append(verdicts[index])
        }
        self.settle(verdicts)
        return news
    }
}

extension ReturnPathKeeper {
    /// An address out of each block of players to probe from, in addition to the usual ones.
    ///
    /// At most eight; a block of everybody needs none.
    public static func testAddresses(
        in blocks: [(base: SocketAddress, prefixLength: Int)]
    ) -> [SocketAddress] {
        var addresses: [SocketAddress] = []
        for block in blocks where block.prefixLength > 0 {
            let hostBits = (block.base.isIPv4 ? 32 : 128) - block.prefixLength
            guard hostBits >= 2, addresses.count < 8 else { continue }
            var address = block.base.with(port: 0)
            // The last but one: broadcast addresses are the last, routers like the first.
            let low = hostBits >= 64 ? UInt64.max : 1 << UInt64(hostBits) - 1
            address.low |= low - 1
            if hostBits > 64 { address.high |= (1 << UInt64(min(hostBits - 64, 63))) - 1 }
            if !addresses.contains(address) { addresses.append(address) }
        }
        return addresses
    }
}

extension ReturnPathVerdict.State {
    /// Nothing is known, which is as bad as a refusal.
    static let silent = Self.refused(reason: "was not probed", cure: "restart the server")
}

/// Names of interfaces.
enum InterfaceName {
    static func of(_ index: UInt32) -> String? {
        var name = [CChar](repeating: 0, count: Int(IF_NAMESIZE))
        guard unsafe if_indextoname(index, &name) != nil else { return nil }
        return String(decoding: name.prefix { $0 != 0 }.map { UInt8($0) }, as: UTF8.self)
    }
}
