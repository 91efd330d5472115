import CLab
import Glibc
import LinuxIO

/// A network namespace of the laboratory's own, removed by ``remove()``.
///
/// Threads enter it for as long as it takes to open a socket, a device or a program.
final class NetworkNamespace: Sendable {
    let name: String
    private let descriptor: Int32

    init(name: String) throws(LabFailure) {
        self.name = name
        try Self.run(["ip", "netns", "add", name])
        let path = "/var/run/netns/\(name)"
        self.descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard self.descriptor >= 0 else {
            let failure = LabFailure.call(path)
            try? Self.run(["ip", "netns", "del", name])
            throw failure
        }
        try self.ip(["link", "set", "lo", "up"])
    }

    deinit { close(self.descriptor) }

    /// Takes the name away; the namespace is gone when its last socket is.
    func remove() { try? Self.run(["ip", "netns", "del", self.name]) }

    func ip(_ arguments: [String]) throws(LabFailure) {
        try Self.run(["ip", "-n", self.name] + arguments)
    }

    /// Which congestion control connections of the namespace have by default.
    func setDefault(congestion: String) throws {
        try self.inside {
            try TextFile.write(congestion, to: "/proc/sys/net/ipv4/tcp_congestion_control")
        }
    }

    /// Runs `body` with the calling thread inside the namespace.
    func inside<Value>(_ body: () throws -> Value) throws -> Value {
        let home = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC)
        guard home >= 0 else { throw LabFailure.call("/proc/thread-self/ns/net") }
        defer { close(home) }
        guard CLab_enter_network_namespace(self.descriptor) == 0 else {
            throw LabFailure.call("setns \(self.name)")
        }
        defer {
            let isHome = CLab_enter_network_namespace(home) == 0
            precondition(isHome, "a namespace that was left can be entered again")
        }
        return try body()
    }

    private static func run(_ arguments: [String]) throws(LabFailure) {
        let child = try ChildProcess(arguments, log: "/dev/stderr")
        guard child.waitForSuccess() else {
            throw LabFailure("failed: \(arguments.joined(separator: " "))")
        }
    }
}

/// One end of the emulated link: a TUN device inside a namespace, its packets here.
final class TunDevice: Sendable {
    let descriptor: Int32

    /// Makes the device, gives it `address` (with prefix length) and the default route.
    init(in namespace: NetworkNamespace, name: String, address: String) throws {
        self.descriptor = try namespace.inside {
            let descriptor = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC)
            guard descriptor >= 0 else { throw LabFailure.call("/dev/net/tun") }
            // struct ifreq: the name in 16 bytes, then the flags.
            var request = [UInt8](repeating: 0, count: 40)
            request.replaceSubrange(0..<name.utf8.count, with: Array(name.utf8))
            let flags: UInt16 = 0x0001 | 0x1000  // IFF_TUN | IFF_NO_PI, linux/if_tun.h
            request[16] = UInt8(truncatingIfNeeded: flags)
            request[17] = UInt8(flags >> 8)
            let setInterface: UInt = 0x4004_54CA  // TUNSETIFF
            guard ioctl(descriptor, setInterface, &request) == 0 else {
                let failure = LabFailure.call("TUNSETIFF")
                close(descriptor)
                throw failure
            }
            return descriptor
        }
        try namespace.ip(["addr", "add", address, "dev", name])
        try namespace.ip(["link", "set", name, "mtu", "1500", "txqueuelen", "10000", "up"])
        try namespace.ip(["route", "add", "default", "dev", name])
    }

    deinit { close(self.descriptor) }
}
