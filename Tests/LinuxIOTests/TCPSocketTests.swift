import Glibc
import LinuxIO
import Primitives
import Testing

@Suite struct TCPSocketTests {
    private func read(_ socket: TCPSocket) throws -> TransferResult {
        _ = try isReady(socket.descriptor)
        var bytes = [UInt8](repeating: 0, count: 1_000)
        return bytes.withUnsafeMutableBytes { socket.read(into: $0) }
    }

    @Test(arguments: loopbacks)
    func connectsAndKnowsBothEnds(loopback: SocketAddress) throws {
        let (accepted, connecting) = try makeConnection(to: loopback)
        #expect(accepted.peer == connecting.localAddress)
        #expect(accepted.local == connecting.remoteAddress)
        var nothing: [UInt8] = [0]
        #expect(nothing.withUnsafeMutableBytes { connecting.read(into: $0) } == .wouldBlock)
        #expect([1, 2, 3].withUnsafeBytes { connecting.write($0) } == .moved(24))
        #expect(try self.read(accepted.socket) == .moved(24))
        accepted.socket.close()
        connecting.close()
    }

    @Test(arguments: loopbacks)
    func tellsAnEndFromAReset(loopback: SocketAddress) throws {
        let (first, half) = try makeConnection(to: loopback)
        half.finishWriting()
        #expect(try self.read(first.socket) == .finished)
        #expect([7].withUnsafeBytes { first.socket.write($0) } == .moved(8))
        #expect(try self.read(half) == .moved(8))
        first.socket.abort()
        #expect(try self.read(half) == .failed(code: ECONNRESET))
        half.close()
    }

    @Test(arguments: loopbacks)
    func reportsARefusedConnection(loopback: SocketAddress) throws {
        let closed = try TCPListener(binding: loopback).localAddress
        let socket = try TCPSocket.connect(to: closed)
        #expect(try isReady(socket.descriptor, for: .writable))
        #expect(socket.connectResult()?.code == ECONNREFUSED)
        socket.close()
    }

    @Test func aPortSomebodyHasIsAnError() throws {
        let first = try TCPListener(binding: loopbacks[0], sharing: .first)
        #expect(throws: IOError(code: EADDRINUSE, call: "bind")) {
            try TCPListener(binding: first.localAddress, sharing: .first)
        }
        let second = try TCPListener(binding: first.localAddress, sharing: .further)
        #expect(second.localAddress == first.localAddress)
        var connections: [TCPSocket] = []
        for _ in 0..<64 { connections.append(try TCPSocket.connect(to: first.localAddress)) }
        let counts = try [first, second].map { listener in
            var count = 0
            while case .done(let accepted) = try listener.accept() {
                accepted.socket.close()
                count += 1
            }
            return count
        }
        #expect(counts.reduce(0, +) == 64)
        #expect(counts.allSatisfy { $0 > 0 })
        for connection in connections { connection.close() }
    }

    @Test func aDualStackListenerReportsIPv4AsIPv4() throws {
        let listener = try TCPListener(binding: .anyIPv6(port: 0))
        let target = SocketAddress(ipv4: 0x7F00_0001, port: listener.localAddress.port)
        let socket = try TCPSocket.connect(to: target)
        #expect(try isReady(listener.descriptor))
        guard case .done(let accepted) = try listener.accept() else {
            Issue.record("nothing to accept")
            return
        }
        #expect(accepted.local == target)
        #expect(accepted.peer == socket.localAddress)
        accepted.socket.close()
        socket.close()
    }
}
