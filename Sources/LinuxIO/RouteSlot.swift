import Glibc
import Primitives

/// One of a few numbers that a process holds for itself, within its network namespace, for as long
/// as it lives.
///
/// It is the name of an abstract Unix socket: the kernel keeps those per network namespace, as it
/// keeps the routing rules, and frees them however the process ends.
public final class RouteSlot: Sendable {
    /// How many slots there are, and so how many servers may share a network namespace.
    public static let count: UInt32 = 32

    /// Which slot is held, below ``count``.
    public let number: UInt32
    private let descriptor: Int32

    /// Takes the slot; `nil` if a living process has it.
    public init?(taking number: UInt32) {
        let name = [0] + Array("fairlead-return-path-\(number)".utf8)
        guard let descriptor = try? openSocket(AF_UNIX, SOCK_DGRAM) else { return nil }
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: name) }
        let length = socklen_t(MemoryLayout<sa_family_t>.size + name.count)
        let result = withUnsafePointer(to: address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                bind(descriptor, $0, length)
            }
        }
        guard result == 0 else {
            closeDescriptor(descriptor)
            return nil
        }
        self.number = number
        self.descriptor = descriptor
    }

    /// The first free slot; `nil` if all are taken.
    public static func takeAny() -> RouteSlot? {
        for number in 0..<Self.count {
            if let slot = RouteSlot(taking: number) { return slot }
        }
        return nil
    }

    deinit { closeDescriptor(self.descriptor) }
}
