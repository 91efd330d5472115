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
            case EAFNOSUPPORT: "this machine has no IPv6; listen on an IPv4 address"
            case EMFILE, ENFILE: "raise the limit of open files (ulimit -n, LimitNOFILE=)"
            default: "see bind(2)"
            }
    }

    /// Anything else of the kernel's.
    init(wanted: String, _ error: IOError) {
        self.wanted = wanted
        self.happened = error.description
        self.remedy = "check the limits of this process and of its container"
    }
}
