import Glibc
import Primitives
import Testing

@testable import LinuxIO

@Suite struct UDPSocketTests {
    private func fill(_ batch: SendBatch, _ bytes: [UInt8], segment: Int, to: SocketAddress) {
        guard let buffer = batch.freeBuffer else {
            Issue.record("the batch is full")
            return
        }
        buffer.copyBytes(from: bytes)
        batch.commit(byteCount: bytes.count, segmentSize: segment, to: to, from: nil)
    }

    @Test(arguments: loopbacks, [true, false])
    func carriesTrains(loopback: SocketAddress, usesSegmentation: Bool) throws {
        var options = UDPOptions()
        options.forbidsFragments = true
        let sender = try UDPSocket(binding: loopback, options: options)
        let receiver = try UDPSocket(binding: loopback, options: options)
        sender.usesSegmentation = usesSegmentation
        let batch = SendBatch()
        let bytes = pattern(40 * 1_350 + 77)
        self.fill(batch, bytes, segment: 1_350, to: receiver.localAddress)
        self.fill(batch, [1, 2, 3], segment: 3, to: receiver.localAddress)
        #expect(sender.send(batch) == .done)
        #expect(batch.isEmpty)
        let datagrams = try receive(42, from: receiver)
        #expect(datagrams.count == 42)
        #expect(datagrams.prefix(40).allSatisfy { $0.count == 1_350 })
        #expect(datagrams.dropLast().flatMap { $0 } == bytes)
        #expect(datagrams.last == [1, 2, 3])
        #expect(sender.usesSegmentation == usesSegmentation)
        #expect(sender.counters.sendRefused == 0)
    }

    @Test(arguments: loopbacks)
    func carriesTheLargestAndTheEmptyDatagram(loopback: SocketAddress) throws {
        let receiver = try UDPSocket(binding: loopback, options: UDPOptions())
        let sender = try UDPSocket(connectingTo: receiver.localAddress, options: UDPOptions())
        let batch = SendBatch()
        let largest = pattern(65_507)
        for datagram in [[], largest, [], [9]] as [[UInt8]] {
            datagram.withUnsafeBytes {
                #expect(batch.append($0, to: receiver.localAddress, from: nil))
            }
        }
        #expect(sender.send(batch) == .done)
        #expect(try receive(4, from: receiver) == [[], largest, [], [9]])
    }

    @Test func splitsTrainsThatOneSendCannotCarry() throws {
        let receiver = try UDPSocket(binding: loopbacks[0], options: UDPOptions())
        let sender = try UDPSocket(binding: loopbacks[0], options: UDPOptions())
        let batch = SendBatch()
        let bytes = pattern(65_536)
        self.fill(batch, bytes, segment: 256, to: receiver.localAddress)
        #expect(sender.send(batch) == .done)
        #expect(try receive(256, from: receiver).flatMap { $0 } == bytes)
        #expect(sender.usesSegmentation)
    }

    @Test func coalescesEqualDatagramsOfOneFlow() throws {
        let receiver = try UDPSocket(binding: loopbacks[0], options: UDPOptions())
        let other = try UDPSocket(binding: loopbacks[0], options: UDPOptions())
        let sender = try UDPSocket(binding: loopbacks[0], options: UDPOptions())
        let batch = SendBatch()
        let sizes = [100, 100, 100, 40, 100, 1_316, 1_316, 2_000, 2_000, 0, 7, 7]
        for (index, size) in sizes.enumerated() {
            let bytes = pattern(size, seed: UInt64(index))
            bytes.withUnsafeBytes {
                #expect(batch.append($0, to: receiver.localAddress, from: nil))
                if index == 6 { #expect(batch.append($0, to: other.localAddress, from: nil)) }
            }
        }
        #expect(sender.send(batch) == .done)
        let datagrams = try receive(sizes.count, from: receiver)
        #expect(datagrams.map(\.count) == sizes)
        for (index, datagram) in datagrams.enumerated() {
            #expect(datagram == pattern(datagram.count, seed: UInt64(index)))
        }
        #expect(try receive(1, from: other).map(\.count) == [1_316])
    }

    @Test func reportsWhereADatagramWasSentAndAnswersFromThere() throws {
        var options = UDPOptions()
        options.reportsDestination = true
        for wildcard in [SocketAddress.anyIPv4(port: 0), .anyIPv6(port: 0)] {
            let server = try UDPSocket(binding: wildcard, options: options)
            let target = SocketAddress(ipv4: 0x7F00_0105, port: server.localAddress.port)
            let client = try UDPSocket(connectingTo: target, options: UDPOptions())
            let batch = SendBatch()
            [1, 2].withUnsafeBytes { _ = batch.append($0, to: target, from: nil) }
            #expect(client.send(batch) == .done)
            #expect(try isReady(server.descriptor))
            let received = ReceiveBatch()
            #expect(server.receive(into: received) == 1)
            let packet = try #require(received.next())
            #expect(packet.destination == target)
            #expect(packet.source == client.localAddress)
            #expect(packet.source.isIPv4)
            let answer = UnsafeRawBufferPointer(packet.bytes)
            #expect(batch.append(answer, to: packet.source, from: packet.destination))
            #expect(server.send(batch) == .done)
            // A connected socket takes nothing from any other address.
            #expect(try receive(1, from: client).count == 1)
        }
    }

    @Test func countsRefusalsAndGoesOn() throws {
        let closed = try UDPSocket(binding: loopbacks[0], options: UDPOptions()).localAddress
        let socket = try UDPSocket(connectingTo: closed, options: UDPOptions())
        let batch = SendBatch()
        let received = ReceiveBatch()
        for _ in 0..<4 {
            [1].withUnsafeBytes { _ = batch.append($0, to: closed, from: nil) }
            #expect(socket.send(batch) == .done)
            _ = socket.receive(into: received)
        }
        #expect(socket.counters.sendRefused + socket.counters.receiveErrors > 0)
        let revived = try UDPSocket(binding: closed, options: UDPOptions())
        _ = socket.receive(into: received)
        [5].withUnsafeBytes { _ = batch.append($0, to: closed, from: nil) }
        #expect(socket.send(batch) == .done)
        #expect(try receive(1, from: revived) == [[5, 0, 0, 0, 0, 0, 0, 0]])
    }

    @Test func countsWhatIsTooLargeForThePath() throws {
        var options = UDPOptions()
        options.forbidsFragments = true
        let socket = try UDPSocket(binding: loopbacks[0], options: options)
        let batch = SendBatch()
        let large = pattern(65_536)
        self.fill(batch, large, segment: 65_536, to: socket.localAddress)
        self.fill(batch, [4], segment: 1, to: socket.localAddress)
        #expect(socket.send(batch) == .done)
        #expect(socket.counters.sendTooLarge == 1)
        #expect(socket.usesSegmentation)
        #expect(try receive(1, from: socket) == [[4]])
    }

    @Test func keepsTheRestWhenTheSocketIsFull() throws {
        var options = UDPOptions()
        options.receiveBuffer = 64 << 20
        let receiver = try UDPSocket(binding: loopbacks[0], options: options)
        options.sendBuffer = 0
        let sender = try UDPSocket(binding: loopbacks[0], options: options)
        let batch = SendBatch()
        var sent = 0
        for _ in 0..<50 {
            [UInt8](repeating: 1, count: 1_200).withUnsafeBytes {
                if batch.append($0, to: receiver.localAddress, from: nil) { sent += 1 }
            }
        }
        // A train larger than the smallest send buffer may be let through or not; nothing is lost.
        var turns = 0
        while sender.send(batch) == .blocked, turns < 1_000 {
            turns += 1
            #expect(try isReady(sender.descriptor, for: .writable))
        }
        #expect(try receive(sent, from: receiver).count == sent)
    }

    @Test func sharesAPortWithinTheProcessOnly() throws {
        var options = UDPOptions()
        options.sharing = .first
        let first = try UDPSocket(binding: loopbacks[0], options: options)
        #expect(throws: IOError(code: EADDRINUSE, call: "bind")) {
            try UDPSocket(binding: first.localAddress, options: options)
        }
        options.sharing = .further
        let second = try UDPSocket(binding: first.localAddress, options: options)
        let batch = SendBatch()
        for _ in 0..<64 {
            let sender = try UDPSocket(connectingTo: first.localAddress, options: UDPOptions())
            [1].withUnsafeBytes { _ = batch.append($0, to: first.localAddress, from: nil) }
            #expect(sender.send(batch) == .done)
        }
        let arrivals = [first, second].map { socket in
            let received = ReceiveBatch()
            var count = 0
            while socket.receive(into: received) > 0 {
                while received.next() != nil { count += 1 }
            }
            return count
        }
        #expect(arrivals.reduce(0, +) == 64)
        #expect(arrivals.allSatisfy { $0 > 0 })
    }
}
