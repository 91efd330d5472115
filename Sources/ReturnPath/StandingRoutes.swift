public import LinuxIO
public import Primitives

/// Rules and routes that stay whether a server runs or not, for servers that may not install their
/// own; what `fairlead routes print`, `install` and `remove --installed` work on.
public struct StandingRoutes {
    /// Backends no way leads to; nothing is planned for them.
    public private(set) var failures: [TransparentBackend] = []
    private let plan: ReturnPathPlan
    private let socket: RouteSocket

    /// `testAddresses`: further ones that the server will probe from.
    public init(
        for backends: [TransparentBackend],
        ownPorts: [UInt16],
        testAddresses: [SocketAddress] = []
    ) throws(IOError) {
        let socket = try RouteSocket()
        var placed: [PlacedBackend] = []
        for backend in backends {
            do throws(IOError) {
                placed.append(try ReturnPathKeeper.place(backend, socket))
            } catch {
                self.failures.append(backend)
            }
        }
        self.socket = socket
        self.plan = ReturnPathPlan(
            placed,
            numbering: .printed,
            ownPorts: ownPorts,
            testAddresses: ReturnPathKeeper.testAddresses + testAddresses
        )
    }

    /// For a shell.
    public var commands: [String] { self.plan.commands }

    /// Makes the tables equal to the plan; says how many rules and routes were added and removed.
    public func install() throws(IOError) -> (added: Int, removed: Int) {
        var added = 0
        let rules = self.plan.rules + self.plan.probeRules
        // Routes first, or the rules would lead nowhere for a moment; what is too much goes last.
        for route in self.plan.routes where try self.add(route) { added += 1 }
        for rule in rules where try self.socket.add(rule) { added += 1 }
        let removed = try Self.remove(self.socket, but: rules, self.plan.routes)
        return (added, removed)
    }

    /// A table whose number now belongs to another address holds its old route still.
    private func add(_ route: LocalRoute) throws(IOError) -> Bool {
        let old = try self.socket.localRoutes(isIPv6: route.isIPv6, owner: RuleNumbering.owner)
        for other in old where other.table == route.table && other != route {
            try self.socket.remove(other)
        }
        return try self.socket.add(route)
    }

    /// Removes whatever was installed or printed and run; says how much that was.
    public static func removeAll() throws(IOError) -> Int {
        try Self.remove(try RouteSocket(), but: [], [])
    }

    private static func remove(
        _ socket: RouteSocket,
        but rules: [RoutingRule],
        _ routes: [LocalRoute]
    ) throws(IOError) -> Int {
        var count = 0
        for isIPv6 in [false, true] {
            // Backwards: a rule that others lead to goes after those.
            for rule in try socket.rules(isIPv6: isIPv6).reversed()
            where RuleNumbering.isPrinted(rule) && !rules.contains(rule) {
                try socket.remove(rule)
                count += 1
            }
            for route in try socket.localRoutes(isIPv6: isIPv6, owner: RuleNumbering.owner)
            where RuleNumbering.isPrinted(table: route.table) && !routes.contains(route) {
                try socket.remove(route)
                count += 1
            }
        }
        return count
    }
}

extension RuleNumbering {
    /// Whether it is one of ``printed``, whoever installed it.
    ///
    /// A shell's commands do not tell the table of a rule that asks none, so the priority decides.
    static func isPrinted(_ rule: RoutingRule) -> Bool {
        rule.owner == Self.owner && Self.slot(ofTable: rule.table) == nil
            && (Self.printed.narrowPriority..<1200).contains(rule.priority)
    }

    /// Tables from 46900 on are ``TransparentInput``'s.
    static func isPrinted(table: UInt32) -> Bool { (46_000..<46_900).contains(table) }
}
