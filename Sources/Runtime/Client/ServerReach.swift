import Glibc
import LinuxIO
public import Primitives

/// Asks the network why a server is silent.
///
/// A socket of its own sends one byte that no server answers; if a router or the server's machine
/// refuses it, the kernel keeps that for the socket. The tunnel's own socket stays out of it: there
/// an ICMP message, which anybody may forge, would cost packets.
public final class ServerReach {
    /// What the network says of the server, as far as it says anything.
    public enum Finding: Hashable, Sendable {
        /// Nothing came back, as from a server that does not know whoever asks.
        case silence
        /// The machine is there, and no program listens on that UDP port.
        case portClosed
        /// There is no way to it, as this machine or a router says.
        case noRoute
        /// This machine's packet filter lets nothing out to it.
        case blockedHere
    }

    /// How long an answer may take: that of a server at the other end of the world.
    public static let patience = Instant.Interval.milliseconds(300)

    private let socket: UDPSocket?
    private var code: Int32 = 0

    /// Sends the byte to `server`; what goes wrong is what ``finding()`` tells, nothing throws.
    public init(_ server: SocketAddress) {
        var options = UDPOptions()
        options.receiveBuffer = 4096
        options.sendBuffer = 4096
        do throws(IOError) {
            let socket = try UDPSocket(connectingTo: server, options: options)
            self.socket = socket
            var byte: UInt8 = 0
            if Glibc.send(socket.descriptor, &byte, 1, Int32(MSG_DONTWAIT)) < 0 {
                self.code = errno
            }
        } catch {
            self.socket = nil
            self.code = error.code
        }
    }

    /// What has come back so far.
    public func finding() -> Finding {
        if self.code == 0, let socket = self.socket {
            var size = socklen_t(MemoryLayout<Int32>.size)
            getsockopt(socket.descriptor, SOL_SOCKET, SO_ERROR, &self.code, &size)
        }
        return Finding(error: self.code)
    }
}

extension ServerReach.Finding {
    /// What an error of the socket says; 0 is none.
    init(error: Int32) {
        switch error {
        case ECONNREFUSED: self = .portClosed
        case ENETUNREACH, EHOSTUNREACH, ENETDOWN, EHOSTDOWN, EADDRNOTAVAIL: self = .noRoute
        case EPERM, EACCES: self = .blockedHere
        default: self = .silence
        }
    }
}

extension ServerReach.Finding {
    /// The log's `cause=`.
    public var label: String {
        switch self {
        case .silence: "no-answer"
        case .portClosed: "port-closed"
        case .noRoute: "no-route"
        case .blockedHere: "blocked-here"
        }
    }

    /// What to do about it.
    public var hint: String {
        switch self {
        case .silence:
            "no answer: check server (address, firewall) and server_public_key; a wrong key and an"
                + " absent server look the same"
        case .portClosed:
            "the machine is there but nothing listens on that UDP port: start fairlead-server, or"
                + " correct the port in server; its key was not tried"
        case .noRoute:
            "there is no way to that address: check server, this machine's network and the"
                + " firewalls between; the server's key was not tried"
        case .blockedHere:
            "this machine's own packet filter refuses to send there: allow UDP to the server; its"
                + " key was not tried"
        }
    }
}
