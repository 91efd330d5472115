import Glibc

/// A non-blocking UDP socket on 127.0.0.1 that answers whoever spoke first.
final class LoopbackSocket {
    private let descriptor: Int32
    private(set) var port: UInt16 = 0
    private var peer: sockaddr_in?

    init?() {
        self.descriptor = socket(
            AF_INET,
            Int32(SOCK_DGRAM.rawValue) | Int32(SOCK_NONBLOCK.rawValue),
            0
        )
        guard self.descriptor >= 0 else { return nil }
        var size: Int32 = 4 << 20
        setsockopt(
            self.descriptor,
            SOL_SOCKET,
            SO_RCVBUF,
            &size,
            socklen_t(MemoryLayout<Int32>.size)
        )
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        let status = withUnsafeMutablePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { address in
                bind(self.descriptor, address, length)
                    | getsockname(self.descriptor, address, &length)
            }
        }
        guard status == 0 else { return nil }
        self.port = UInt16(bigEndian: address.sin_port)
    }

    deinit { close(self.descriptor) }

    var hasPeer: Bool { self.peer != nil }

    func send(_ bytes: [UInt8]) {
        guard var peer = self.peer else { return }
        withUnsafePointer(to: &peer) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { address in
                _ = sendto(
                    self.descriptor,
                    bytes,
                    bytes.count,
                    0,
                    address,
                    socklen_t(MemoryLayout<sockaddr_in>.size)
                )
            }
        }
    }

    /// The next datagram that is there, `nil` if none is.
    func receive(into buffer: UnsafeMutableRawBufferPointer) -> Int? {
        var source = sockaddr_in()
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        let count = withUnsafeMutablePointer(to: &source) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { address in
                recvfrom(self.descriptor, buffer.baseAddress, buffer.count, 0, address, &length)
            }
        }
        guard count >= 0 else { return nil }
        if self.peer == nil { self.peer = source }
        return count
    }

    func wait(milliseconds: Int32) {
        var entry = pollfd(fd: self.descriptor, events: Int16(POLLIN), revents: 0)
        _ = poll(&entry, 1, milliseconds)
    }
}
