import Glibc
import LinuxIO
import Primitives

/// Why a process could not start: what was wanted, what happened, and what to do about it.
struct StartFailure: Error, CustomStringConvertible {
    var wanted: String
    var happened: String
    var remedy: String

    var description: String { "\(self.wanted): \(self.happened); \(self.remedy)" }

    /// A socket that could not be bound.
    init(binding address: SocketAddress, _ kind: String, _ error: IOError) {
        self.wanted = "cannot listen on \(kind) \(address)"
        self.happened = error.reason
        self.remedy =
            switch error.code {
            case EADDRINUSE: "stop the program that has this port, or choose another one"
            case EADDRNOTAVAIL: "use an address of this machine, or a wildcard"
            case EACCES:
                "ports below 1024 need CAP_NET_BIND_SERVICE, see examples of the systemd unit"
            case EPERM: "transparent = true needs CAP_NET_RAW (AmbientCapabilities= of the unit)"
            case EAFNOSUPPORT: "this machine has no IPv6; listen on an IPv4 address"
            case EMFILE, ENFILE: "raise the limit of open files (ulimit -n, LimitNOFILE=)"
            default: "see bind(2)"
            }
    }

    /// A target that is this process itself.
    init(loop address: SocketAddress, _ what: String) {
        self.wanted = "cannot use \(address) as \(what)"
        self.happened = "this process listens there itself, so every packet would come back in"
        self.remedy = "name another address or port"
    }

    /// A forward whose `transparent` has changed.
    init(toggling address: SocketAddress) {
        self.wanted = "cannot change transparent of the forward at \(address)"
        self.happened = "its socket is bound already"
        self.remedy = "restart the client, or choose another port"
    }

    /// Anything else of the kernel's.
    init(wanted: String, _ error: IOError) {
        self.wanted = wanted
        self.happened = error.description
        self.remedy = "check the limits of this process and of its container"
    }
}
