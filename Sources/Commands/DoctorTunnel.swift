import Configuration
import LinuxIO
import Primitives
import Runtime
import Sealing
import Session

/// What a real handshake says of a client's file and of what lies between it and its server.
enum DoctorTunnel {
    private static let probes = 20

    static func findings(
        _ loaded: LoadedConfiguration<ClientConfiguration>
    ) -> [DoctorFinding] {
        var findings: [DoctorFinding] = []
        for endpoint in loaded.configuration.servers {
            let check = "server \(endpoint)"
            let addresses = TransparentServices.addresses(endpoint)
            if addresses.isEmpty {
                let cause = "the name has no address"
                findings.append(.failure(check, cause, cure: "see: getent hosts"))
            }
            for address in addresses {
                findings += Self.examine(loaded, address, check)
            }
        }
        return findings
    }

    private static func examine(
        _ loaded: LoadedConfiguration<ClientConfiguration>,
        _ address: SocketAddress,
        _ check: String
    ) -> [DoctorFinding] {
        do throws(IOError) {
            let probe = try TunnelProbe(loaded, server: address)
            let answer = probe.connect()
            guard case .session = answer else {
                return [Self.obstacle(answer, loaded, address, check)]
            }
            defer { probe.close() }
            let identity = "\(address) holds server_public_key and lets this client's key in"
            let services = Self.permissions(probe, loaded.configuration.forwards)
            return [.ok(check, identity)] + services + Self.path(probe, "path to \(address)")
        } catch {
            let cause = "no route to \(address): \(error.reason)"
            return [.failure(check, cause, cure: "see: ip route get \(address.hostText)")]
        }
    }

    // MARK: No session

    private static func obstacle(
        _ answer: TunnelProbe.Answer,
        _ loaded: LoadedConfiguration<ClientConfiguration>,
        _ address: SocketAddress,
        _ check: String
    ) -> DoctorFinding {
        switch answer {
        case .session: return .ok(check, "\(address) answers")
        case .silence(let finding): return Self.silence(finding, address, check)
        case .failure(let failure):
            return Self.refusal(failure, loaded.privateKey.publicKey, address, check)
        }
    }

    private static func silence(
        _ finding: ServerReach.Finding,
        _ address: SocketAddress,
        _ check: String
    ) -> DoctorFinding {
        switch finding {
        case .portClosed:
            return .failure(
                check,
                "server: \(address.hostText) is there, but no program listens on UDP port"
                    + " \(address.port)",
                cure: "start fairlead-server there, or correct the port in server"
            )
        case .noRoute:
            return .failure(
                check,
                "network: there is no way to \(address.hostText), as this machine or a router says",
                cure: "correct server, or see: ip route get \(address.hostText)"
            )
        case .blockedHere:
            return .failure(
                check,
                "firewall: this machine's own packet filter refuses to send to \(address)",
                cure: "see: nft list ruleset; allow UDP to \(address)"
            )
        case .silence: return Self.unanswered(address, check)
        }
    }

    /// Whether the machine says of another port that it is closed: then packets get there and
    /// back, and somebody holds the server's port who does not know what we ask with.
    private static func unanswered(_ address: SocketAddress, _ check: String) -> DoctorFinding {
        let clock = BootClock()
        let other = ServerReach(address.with(port: address.port == 61_999 ? 62_001 : 61_999))
        let end = clock.now() + .milliseconds(1_000)
        var finding = other.finding()
        if let poller = try? Poller() {
            while finding == .silence, clock.now() < end {
                _ = try? poller.wait(atMost: .milliseconds(20))
                finding = other.finding()
            }
        }
        guard finding == .portClosed else {
            return .failure(
                check,
                "firewall or server: nothing comes back from \(address.hostText), whatever the port"
                    + " (a wrong server_public_key would look the same behind a firewall)",
                cure: "see that the machine is up and that UDP port \(address.port) is open on the"
                    + " way; then compare server_public_key with: fairlead pubkey SERVER-KEY"
            )
        }
        return .failure(
            check,
            "key: \(address.hostText) answers for other ports, and UDP port \(address.port) is"
                + " held or filtered in silence, as a server does for a wrong server_public_key",
            cure: "compare server_public_key with what this prints on the server: fairlead pubkey"
                + " KEY-FILE; if it is right, a firewall drops UDP port \(address.port)"
        )
    }

    private static func refusal(
        _ failure: ConnectFailure,
        _ key: PublicKey,
        _ address: SocketAddress,
        _ check: String
    ) -> DoctorFinding {
        let says = "\(address) answers and holds server_public_key, but says \(failure.label)"
        switch failure {
        case .unknownKey:
            return .failure(
                check,
                "key: \(says): it does not know this client's key",
                cure: "add to the server's file: [[peer]] name = \"NAME\"; public_key = \"\(key)\";"
                    + " services = [\"SERVICE\"] (a line each), then reload it"
            )
        case .noPermission:
            return .failure(
                check,
                "permission: \(says): this client's [[peer]] lists no service that exists",
                cure: "correct services of that [[peer]]"
            )
        case .presharedKey:
            return .failure(
                check,
                "key: \(address) answers and holds server_public_key, but the two ends have"
                    + " different preshared keys, or only one has one",
                cure: "compare preshared_key here and in the server's [[peer]]"
            )
        case .keyExpired:
            return .failure(
                check,
                "permission: \(says)",
                cure: "see expires and enabled of the server's [[peer]]"
            )
        case .limit:
            // A running client with this key may hold the only place.
            return .warning(
                check,
                "\(says): its sessions, or those of this key, are all in use",
                cure: "stop the running client for this test, or raise max_sessions"
            )
        default:
            return .failure(check, "server: \(says)", cure: "see: fairlead-client's log")
        }
    }

    // MARK: With a session

    private static func permissions(
        _ probe: TunnelProbe,
        _ forwards: [Forward]
    ) -> [DoctorFinding] {
        zip(forwards, probe.permissions(forwards)).map { forward, permission in
            let kind = forward.transportProtocol.rawValue
            let check = "service \(forward.service)"
            switch permission {
            case .granted: return .ok(check, "this client may use it (\(kind))")
            case .refused(let reason): return Self.refusal(reason, forward, check)
            }
        }
    }

    private static func refusal(
        _ reason: ResetReason,
        _ forward: Forward,
        _ check: String
    ) -> DoctorFinding {
        let kind = forward.transportProtocol.rawValue
        switch reason {
        case .serviceForbidden:
            return .failure(
                check,
                "permission: the server forbids it to this client's key",
                cure: "add \"\(forward.service)\" to services of the server's [[peer]]"
            )
        case .serviceUnknown:
            return .failure(
                check,
                "permission: the server has no \(kind) service of that name",
                cure: "correct service here, or add the [[service]] there"
            )
        case .originForbidden:
            return .warning(
                check,
                "the server lets this client in, but not this machine as a player: origins of its"
                    + " [[peer]] do not hold the address it is seen at",
                cure: "none needed if players come from elsewhere; see origins"
            )
        case .backendRefused, .backendTimeout, .backendUnreachable:
            return .failure(
                check,
                "the server lets it through, and its backend does not answer: \(reason.label)",
                cure: "see the backends on the server: fairlead status"
            )
        default:
            return .failure(check, "refused: \(reason.label)", cure: "see the server's log")
        }
    }

    private static func path(_ probe: TunnelProbe, _ check: String) -> [DoctorFinding] {
        guard let quality = probe.quality(probes: Self.probes) else {
            return [.warning(check, "the session was lost", cure: "run it again")]
        }
        let trip = Double(quality.roundTrip.microseconds) / 1_000
        let cause =
            "round trip \(Self.tenths(trip)) ms, \(quality.lost) of \(quality.sent) probes lost,"
            + " packets of \(quality.packetSize) bytes"
        guard quality.lost * 2 > quality.sent else { return [.ok(check, cause)] }
        return [.warning(check, cause, cure: "most packets are lost: see the link")]
    }

    private static func tenths(_ value: Double) -> String {
        let tenths = Int((value * 10).rounded())
        return "\(tenths / 10).\(tenths % 10)"
    }
}
