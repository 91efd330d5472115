import Glibc
import Primitives

/// A stack that runs in a ``TestBed``, and where its loads connect.
struct Carrier {
    /// Where the client's exchange goes.
    var echo: SocketAddress
    /// Where the client's downloads and uploads go.
    var bulk: SocketAddress
    /// What the kernel uses for connections of the client itself; `nil` where they end in a tunnel.
    var congestion: String?
    /// What the loads announce first, where the backend shall see a player.
    var claim: OriginClaim?
    var processes: [pid_t] = []
    /// From the start of the tunnel's client to its first answer, in milliseconds.
    var coldStart: Double?

    static let loopback = SocketAddress(ipv4: 0x7F00_0001, port: 0)
    static let tunnelPort: UInt16 = 4600
    static let forwardPort: UInt16 = 7100

    /// Starts the stack and waits until it answers; throws ``SkippedStack`` where it cannot run.
    static func start(
        _ stack: Stack,
        in bed: TestBed,
        for measure: Measure,
        _ interruptions: Interruptions
    ) throws -> Carrier {
        let start = StackStart(
            stack: stack,
            bed: bed,
            priority: measure == .echo || measure == .lookups ? .realTime : .nice,
            interruptions: interruptions
        )
        return switch stack {
        case .udp, .tcpBBR: try start.kernel("bbr")
        case .tcpCubic: try start.kernel("cubic")
        case .kcptun, .kcptunFEC, .kcptunMmproxy: try start.kcptun()
        case .plainKCP: try start.plainKCP()
        case .wireGuardUDP, .wireGuardTCP: try start.wireGuard()
        case .openVPNUDP, .openVPNTCP: try start.openVPN()
        case .mmproxyUDP, .mmproxyTCP: try start.mmproxy()
        case .fairleadUDP, .fairleadLow, .fairleadOff, .fairleadDeadline, .fairleadReliable,
            .fairleadTCP, .fairleadOriginUDP, .fairleadOriginTCP:
            try start.fairlead()
        }
    }
}
