/// What carries the bytes.
public enum Stack: String, CaseIterable, Sendable {
    /// The kernel's UDP without a tunnel; its download, where there is one, is kernel TCP with BBR.
    case udp
    /// The kernel's TCP with CUBIC, without a tunnel.
    case tcpCubic = "tcp-cubic"
    /// The kernel's TCP with BBR, without a tunnel.
    case tcpBBR = "tcp-bbr"
    /// Fairlead; the exchange is a UDP flow with `delivery = "datagram"`.
    case fairleadUDP = "fairlead-udp"
    /// The same with `fec = "low"`.
    case fairleadLow = "fairlead-low"
    /// The same with `fec = "off"`.
    case fairleadOff = "fairlead-off"
    /// Fairlead; the exchange is a UDP flow with `delivery = "deadline"`.
    case fairleadDeadline = "fairlead-deadline"
    /// Fairlead; the exchange is a UDP flow with `delivery = "reliable"`.
    case fairleadReliable = "fairlead-reliable"
    /// Fairlead; the exchange is a TCP stream.
    case fairleadTCP = "fairlead-tcp"
    /// kcptun without forward error correction.
    case kcptun
    /// kcptun with ten data and three parity packets to a group.
    case kcptunFEC = "kcptun-fec"
    /// A KCP conversation for each connection, as kcptun's `fast3`, without encryption: Fairlead's
    /// standalone KCP.
    case plainKCP = "plain-kcp"
    /// Inside WireGuard in user space (`wireguard-go`); connections use BBR.
    case wireGuardUDP = "wireguard-udp"
    /// The same; the exchange is a TCP connection.
    case wireGuardTCP = "wireguard-tcp"
    /// Inside OpenVPN over UDP; connections use BBR.
    case openVPNUDP = "openvpn-udp"
    /// The same; the exchange is a TCP connection.
    case openVPNTCP = "openvpn-tcp"
    /// The kernel's UDP to go-mmproxy beside the backend, which is shown the player's address.
    case mmproxyUDP = "mmproxy-udp"
    /// Kernel TCP with BBR to go-mmproxy beside the backend.
    case mmproxyTCP = "mmproxy-tcp"
    /// kcptun to go-mmproxy beside the backend.
    case kcptunMmproxy = "kcptun-mmproxy"
    /// Fairlead with `origin = "transparent"`; the exchange is a UDP flow.
    case fairleadOriginUDP = "fairlead-origin-udp"
    /// Fairlead with `origin = "transparent"`; the exchange is a TCP stream.
    case fairleadOriginTCP = "fairlead-origin-tcp"

    /// What the exchange speaks at both ends.
    public var transport: Transport {
        switch self {
        case .udp, .fairleadUDP, .fairleadLow, .fairleadOff, .fairleadDeadline, .fairleadReliable,
            .wireGuardUDP, .openVPNUDP, .mmproxyUDP, .fairleadOriginUDP:
            .udp
        default: .tcp
        }
    }

    /// Whether the backend must see the player's address, which the edge announces in a PROXY
    /// protocol header; a run in which it saw another one fails.
    public var restoresOrigin: Bool {
        switch self {
        case .mmproxyUDP, .mmproxyTCP, .kcptunMmproxy, .fairleadOriginUDP, .fairleadOriginTCP: true
        default: false
        }
    }

    /// Whether the stack answers a question the measure asks.
    public func supports(_ measure: Measure) -> Bool {
        switch measure {
        case .echo: true
        // The connections of a UDP row are those of the TCP row of the same name.
        case .bulk, .upload, .setup: self.transport == .tcp
        case .lookups: self.transport == .udp
        case .beside: self != .mmproxyUDP
        }
    }
}

/// What an exchange speaks.
public enum Transport: String, Sendable {
    /// Datagrams.
    case udp
    /// A connection.
    case tcp
}
