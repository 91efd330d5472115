import Glibc
public import LinuxIO
import Primitives

/// Keeps the kernel's rules and routes equal to a plan, and removes what dead processes left.
final class RouteInstaller {
    let numbering: RuleNumbering
    private let slot: RouteSlot
    private let socket: RouteSocket
    private var rules: [RoutingRule] = []
    private var routes: [LocalRoute] = []

    init(socket: RouteSocket) throws(IOError) {
        guard let slot = RouteSlot.takeAny() else {
            throw IOError(code: EBUSY, call: "return path slot")
        }
        self.slot = slot
        self.socket = socket
        self.numbering = RuleNumbering(slot: slot.number)
        _ = try Self.reclaim(socket, own: slot.number)
    }

    /// Adds what is missing first and removes what is too much last, so that replies of backends
    /// that stay never lose their way.
    func apply(rules: [RoutingRule], routes: [LocalRoute]) throws(IOError) {
        let oldRules = self.rules
        let oldRoutes = self.routes
        // Until all is done, both belong to us: a failure half-way must not leave orphans.
        self.rules = rules + oldRules.filter { !rules.contains($0) }
        self.routes = routes + oldRoutes.filter { !routes.contains($0) }
        for route in routes where !oldRoutes.contains(route) { try self.replace(route, oldRoutes) }
        for rule in rules where !oldRules.contains(rule) { try self.socket.add(rule) }
        // Backwards: a rule that passes others over goes after those.
        for rule in oldRules.reversed() where !rules.contains(rule) {
            try self.socket.remove(rule)
        }
        self.rules = rules
        for route in oldRoutes where !routes.contains(route) {
            let isReplaced = routes.contains { $0.isSamePlace(as: route) }
            if !isReplaced { try self.socket.remove(route) }
        }
        self.routes = routes
    }

    /// A table whose number now belongs to another address holds its old route still.
    private func replace(_ route: LocalRoute, _ old: [LocalRoute]) throws(IOError) {
        for other in old where other.isSamePlace(as: route) { try self.socket.remove(other) }
        try self.socket.add(route)
    }

    /// Puts back what somebody has removed; says how many rules and routes that were.
    func repair() throws(IOError) -> Int {
        // Adding what exists fails at once and tells nobody; listing first would read every route
        // of a router that knows a million.
        var count = 0
        for route in self.routes where try self.socket.add(route) { count += 1 }
        for rule in self.rules where try self.socket.add(rule) { count += 1 }
        return count
    }

    /// Removes everything of ours; what fails is left for the next start to reclaim.
    func removeAll() {
        for rule in self.rules.reversed() { try? self.socket.remove(rule) }
        for route in self.routes { try? self.socket.remove(route) }
        self.rules = []
        self.routes = []
    }

    /// Removes what processes left that no longer live, and what a former holder of our own slot
    /// left; says how many rules and routes that were.
    ///
    /// `isTrial`: only counts.
    static func reclaim(
        _ socket: RouteSocket,
        own: UInt32?,
        isTrial: Bool = false
    ) throws(IOError) -> Int {
        var dead: [UInt32: RouteSlot] = [:]
        let isFree = { (table: UInt32) -> Bool in
            guard let slot = RuleNumbering.slot(ofTable: table) else { return false }
            if slot == own || dead[slot] != nil { return true }
            // Held until we are done, or a new process would lose the rules it has just made.
            dead[slot] = RouteSlot(taking: slot)
            return dead[slot] != nil
        }
        var count = 0
        for isIPv6 in [false, true] {
            for rule in try socket.rules(isIPv6: isIPv6).reversed()
            where rule.owner == RuleNumbering.owner && isFree(rule.table) {
                if !isTrial { try socket.remove(rule) }
                count += 1
            }
            for route in try socket.localRoutes(isIPv6: isIPv6, owner: RuleNumbering.owner)
            where isFree(route.table) {
                if !isTrial { try socket.remove(route) }
                count += 1
            }
        }
        return count
    }
}

extension LocalRoute {
    /// Whether both cannot be there at once.
    fileprivate func isSamePlace(as other: Self) -> Bool {
        self.isIPv6 == other.isIPv6 && self.table == other.table
    }
}

/// What `fairlead routes remove` does.
public enum LeftoverRoutes {
    /// Removes the rules and routes of processes that have ended; says how many.
    public static func remove() throws(IOError) -> Int {
        try RouteInstaller.reclaim(try RouteSocket(), own: nil)
    }

    /// How many there are; needs no rights.
    public static func count() throws(IOError) -> Int {
        try RouteInstaller.reclaim(try RouteSocket(), own: nil, isTrial: true)
    }
}
