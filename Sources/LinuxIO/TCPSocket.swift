import Glibc
public import Primitives

/// What a read or write came to.
@frozen
public enum TransferResult: Equatable, Sendable {
    /// This many bytes, at least one.
    case moved(Int)
    /// The peer has sent all it will (reads only).
    case finished
    /// Nothing could be moved now (`EAGAIN`): ask the poller.
    case wouldBlock
    /// The connection is over: `ECONNRESET` and its kin.
    case failed(code: Int32)
}

/// A non-blocking TCP connection.
///
/// A plain value, so that tables of connections are plain memory: whoever keeps it calls
/// ``close()`` or ``abort()`` exactly once.
@frozen
public struct TCPSocket: Equatable, Sendable {
    /// The socket, for a poller; whoever closes this value closes it.
    public let descriptor: Int32

    /// The connection that lives behind a descriptor kept elsewhere.
    @inlinable
    public init(adopting descriptor: Int32) { self.descriptor = descriptor }

    /// Starts a connection; when the socket becomes writable, ask ``connectResult()``.
    public static func connect(to address: SocketAddress) throws(IOError) -> TCPSocket {
        let descriptor = try openSocket(address.family, SOCK_STREAM)
        do throws(IOError) {
            tune(descriptor)
            _ = try withKernelAddress(address, family: address.family, "connect") {
                let result = Glibc.connect(descriptor, $0, $1)
                return result == -1 && errno == EINPROGRESS ? 0 : result
            }
        } catch {
            closeDescriptor(descriptor)
            throw error
        }
        return TCPSocket(adopting: descriptor)
    }

    /// Whether the connection attempt has ended, one way or the other.
    public var isConnectDecided: Bool {
        var entry = pollfd(fd: self.descriptor, events: Int16(POLLOUT), revents: 0)
        return poll(&entry, 1, 0) > 0
    }

    /// How the connection attempt ended: `nil` for success, else why not.
    public func connectResult() -> IOError? {
        guard let code = option(self.descriptor, SOL_SOCKET, SO_ERROR), code != 0 else {
            return nil
        }
        return IOError(code: code, call: "connect")
    }

    /// Takes the error that a poller reported, 0 if there is none.
    public func takeError() -> Int32 { option(self.descriptor, SOL_SOCKET, SO_ERROR) ?? 0 }

    /// This end's address; `nil` once the kernel does not know it any more.
    public var localAddress: SocketAddress? { LinuxIO.localAddress(of: self.descriptor) }
    /// The peer's address; `nil` before the connection is made and after a reset.
    public var remoteAddress: SocketAddress? { LinuxIO.remoteAddress(of: self.descriptor) }

    /// Reads at most `target.count` bytes without waiting; `target` must not be empty.
    @inline(__always)
    public func read(into target: UnsafeMutableRawBufferPointer) -> TransferResult {
        while true {
            let count = recv(self.descriptor, target.baseAddress, target.count, 0)
            if count > 0 { return .moved(count) }
            if count == 0 { return .finished }
            switch errno {
            case EINTR: continue
            case EAGAIN: return .wouldBlock
            case let code: return .failed(code: code)
            }
        }
    }

    /// Writes a prefix of `source` without waiting, and says how many bytes that was.
    @inline(__always)
    public func write(_ source: UnsafeRawBufferPointer) -> TransferResult {
        while true {
            let count = send(
                self.descriptor,
                source.baseAddress,
                source.count,
                Int32(MSG_NOSIGNAL)
            )
            if count >= 0 { return .moved(count) }
            switch errno {
            case EINTR: continue
            case EAGAIN: return .wouldBlock
            case let code: return .failed(code: code)
            }
        }
    }

    /// Ends the connection with `ETIMEDOUT` when the peer has not acknowledged, or not taken, bytes
    /// for so long.
    public func limitStall(to interval: Instant.Interval) {
        let limit = Int32(clamping: interval.milliseconds)
        try? setOption(
            self.descriptor,
            Int32(IPPROTO_TCP),
            TCP_USER_TIMEOUT,
            limit,
            "setsockopt TCP_USER_TIMEOUT"
        )
    }

    /// Says that no more will be written (FIN); reading goes on.
    public func finishWriting() { _ = shutdown(self.descriptor, Int32(SHUT_WR)) }

    /// Closes after everything written has been sent.
    public func close() {
        setReset(self.descriptor, onClose: false)
        closeDescriptor(self.descriptor)
    }

    /// Closes with a reset, so that the peer learns that the connection failed.
    public func abort() {
        setReset(self.descriptor, onClose: true)
        closeDescriptor(self.descriptor)
    }
}

/// Chooses between a reset and a tidy end for when the socket is closed, by whomever.
private func setReset(_ descriptor: Int32, onClose isReset: Bool) {
    var linger = linger(l_onoff: isReset ? 1 : 0, l_linger: 0)
    let size = socklen_t(MemoryLayout<linger>.size)
    _ = setsockopt(descriptor, SOL_SOCKET, SO_LINGER, &linger, size)
}

/// No Nagle delay, because the tunnel batches by itself; keep-alive, because a player whose network
/// vanished never says goodbye; a reset if this process dies, because what it had not passed on yet
/// is lost, and a tidy end would make half a transfer look like a whole one.
func tune(_ descriptor: Int32) {
    setReset(descriptor, onClose: true)
    let tcp = Int32(IPPROTO_TCP)
    try? setOption(descriptor, tcp, TCP_NODELAY, 1, "setsockopt TCP_NODELAY")
    try? setOption(descriptor, SOL_SOCKET, SO_KEEPALIVE, 1, "setsockopt SO_KEEPALIVE")
    try? setOption(descriptor, tcp, TCP_KEEPIDLE, 60, "setsockopt TCP_KEEPIDLE")
    try? setOption(descriptor, tcp, TCP_KEEPINTVL, 15, "setsockopt TCP_KEEPINTVL")
    try? setOption(descriptor, tcp, TCP_KEEPCNT, 4, "setsockopt TCP_KEEPCNT")
}
