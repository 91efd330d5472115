import Compression
import KCP
import Primitives
import Testing

@testable import Session

/// What may be inflated, and how much of it: services that forbid compression, and peers that send
/// what unfolds to far more than it is.
@Suite struct CompressionRuleTests {
    private func little(_ value: UInt32) -> [UInt8] {
        (0..<4).map { UInt8(truncatingIfNeeded: value >> ($0 * 8)) }
    }

    private func request(_ service: String, _ kind: ServiceProtocol) -> OpenRequest {
        var request = OpenRequest(service: service, serviceProtocol: kind)
        request.isCompressed = true
        return request
    }

    private func drops(_ engine: Engine, _ reason: DropReason, at now: Instant) -> UInt64 {
        engine.snapshot(at: now).counters.drops[reason]
    }

    private func isReset(_ events: [EngineEvent], _ reason: ResetReason) -> Bool {
        events.contains { if case .streamReset(_, reason) = $0 { true } else { false } }
    }

    /// A client from before servers said what they inflate: it deflates at once.
    private func deflatesAtOnce(_ wire: Wire) {
        for slot in wire.client.board.streams.slots {
            wire.client.board.streams.live(slot)?.pointee.compression?.allowDeflating()
        }
        for slot in wire.client.board.flows.slots {
            wire.client.board.flows.live(slot)?.pointee.mayCompress = true
        }
    }

    /// Deflated, complete, and a thousand times smaller than what it unfolds to.
    private func bomb(of count: Int, isWhole: Bool) -> [UInt8] {
        let deflater = StreamDeflater()
        var output = [UInt8](repeating: 0, count: 65_000)
        let step = [UInt8](repeating: 0, count: count).withUnsafeBytes { source in
            output.withUnsafeMutableBytes { deflater.compress(source, into: $0, flush: true) }
        }
        // An empty block that says it is the last.
        return Array(output[..<step.produced]) + (isWhole ? [3, 0] : [])
    }

    /// Sends `text` in a stream that asks for compression; what the server's driver got of it.
    private func send(
        _ text: [UInt8],
        over wire: Wire,
        act: @escaping () -> Void = {}
    ) throws -> [UInt8] {
        var accepted: StreamHandle?
        wire.onServerStream = { handle, _ in accepted = handle }
        let stream = try #require(
            wire.client.openStream(self.request("echo", .tcp), at: wire.now)
        )
        act()
        var sent = 0
        var got: [UInt8] = []
        wire.run(.seconds(10)) {
            sent += wire.client.write(text[sent...], to: stream, at: wire.now)
            if let accepted { got += wire.server.readAll(accepted, at: wire.now) }
        }
        return got
    }

    private static let text = Array(
        (0..<20_000).map { "sensor \($0 % 50) reads \($0 &* $0 % 977)\n" }.joined().utf8
    )

    // MARK: - Services that forbid it

    @Test func honestStreamsPassWhereCompressionIsForbidden() throws {
        let wire = Wire(allowsCompression: false)
        wire.run(.seconds(1))
        #expect(try self.send(Self.text, over: wire) == Self.text)
        #expect(!self.isReset(wire.clientEvents, .compression))
        #expect(wire.server.snapshot(at: wire.now).counters.drops.total == 0)
    }

    @Test func honestDatagramsPassWhereCompressionIsForbidden() throws {
        let wire = Wire(allowsCompression: false)
        let flow = try #require(wire.client.openFlow(self.request("voice", .udp), at: wire.now))
        let datagram = [UInt8](repeating: 65, count: 200) + Self.text[..<800]
        for _ in 0..<20 {
            datagram.withUnsafeBytes { wire.client.send($0, on: flow, at: wire.now) }
            wire.run(.milliseconds(100))
        }
        #expect(wire.serverDatagrams.count == 20)
        #expect(wire.clientDatagrams.count == 20)
        #expect(wire.serverDatagrams.allSatisfy { $0 == datagram })
        #expect(wire.server.snapshot(at: wire.now).counters.drops.total == 0)
    }

    @Test func aStreamIsNotInflatedWhereThatIsForbidden() throws {
        let wire = Wire(allowsCompression: false)
        wire.run(.seconds(1))
        let got = try self.send(Self.text, over: wire) { self.deflatesAtOnce(wire) }
        #expect(got.isEmpty)
        #expect(self.isReset(wire.clientEvents, .compression))
        #expect(self.drops(wire.server, .compressionForbidden, at: wire.now) == 1)
        #expect(wire.client.isSessionUp)
    }

    @Test func aDatagramIsNotInflatedWhereThatIsForbidden() throws {
        let wire = Wire(allowsCompression: false)
        wire.run(.seconds(1))
        let flow = try #require(wire.client.openFlow(self.request("voice", .udp), at: wire.now))
        let text = Self.text[..<1000]
        for isDeflated in [false, true, false, true, false] {
            if isDeflated {
                self.deflatesAtOnce(wire)
            } else {
                wire.client.board.flows.find(flow)?.pointee.mayCompress = false
            }
            text.withUnsafeBytes { wire.client.send($0, on: flow, at: wire.now) }
            wire.run(.milliseconds(200))
        }
        #expect(wire.serverDatagrams.count == 3)
        #expect(wire.serverDatagrams.allSatisfy { $0 == Array(text) })
        #expect(self.drops(wire.server, .compressionForbidden, at: wire.now) == 2)
    }

    // MARK: - Services that allow it

    @Test(arguments: [0, 20])
    func aStreamIsDeflatedOnceTheServerSaidSo(lossPercent: UInt64) throws {
        let wire = Wire(seed: 5)
        var dice = SeededGenerator(seed: 4)
        wire.passes = { _ in !dice.chance(lossPercent, in: 100) }
        wire.run(.seconds(1))
        #expect(try self.send(Self.text, over: wire) == Self.text)
        let first = wire.bytesFrom[wire.clientAddress, default: 0]
        #expect(try self.send(Self.text, over: wire) == Self.text)
        let second = wire.bytesFrom[wire.clientAddress, default: 0] - first
        if lossPercent == 0 {
            #expect(first < Self.text.count * 7 / 10, "\(first) bytes for \(Self.text.count)")
            #expect(second < Self.text.count / 2, "\(second) bytes for \(Self.text.count)")
        }
        #expect(wire.server.snapshot(at: wire.now).counters.drops.total == 0)
    }

    @Test func theWordThatAFlowMayBeDeflatedIsRepeated() throws {
        let wire = Wire(seed: 8)
        wire.run(.seconds(1))
        let flow = try #require(wire.client.openFlow(self.request("voice", .udp), at: wire.now))
        let text = Self.text[..<1000]
        wire.passes = { fromClient in fromClient }
        text.withUnsafeBytes { wire.client.send($0, on: flow, at: wire.now) }
        wire.run(.milliseconds(100))
        #expect(wire.client.board.flows.find(flow)?.pointee.mayCompress == false)
        wire.passes = { _ in true }
        wire.run(.seconds(2))
        #expect(wire.client.board.flows.find(flow)?.pointee.mayCompress == true)
        let before = wire.bytesFrom[wire.clientAddress, default: 0]
        text.withUnsafeBytes { wire.client.send($0, on: flow, at: wire.now) }
        wire.run(.milliseconds(100))
        #expect(wire.serverDatagrams.last == Array(text))
        #expect(wire.bytesFrom[wire.clientAddress, default: 0] - before < 600)
    }

    @Test func aPermissionIsTakenBack() throws {
        let wire = Wire(seed: 6)
        wire.run(.seconds(1))
        #expect(try self.send(Self.text, over: wire) == Self.text)
        let session = try #require(wire.client.sessions.compactMap { $0 }.first)
        #expect(session.control.deflatableCount == 1)
        guard case .server(let server) = wire.server.role else { return }
        let before = server.directory
        let after = before.services.map {
            PeerDirectory.Service(
                name: $0.name,
                serviceProtocol: $0.serviceProtocol,
                allowsCompression: false
            )
        }
        wire.server.replace(
            directory: PeerDirectory(peers: before.peers, services: after),
            at: wire.now
        )
        wire.run(.milliseconds(100))
        #expect(session.control.deflatableCount == 0)
        #expect(try self.send(Self.text, over: wire) == Self.text)
        #expect(!self.isReset(wire.clientEvents, .compression))
    }

    @Test func aClientGivesNoPermissions() throws {
        let wire = Wire()
        wire.run(.seconds(1))
        let body = [ChannelKind.stream] + self.little(1)
        try wire.forge([(FrameType.mayDeflate, body)], from: wire.clientAddress)
        #expect(self.drops(wire.server, .protocolViolation, at: wire.now) == 1)
    }

    @Test func theQueueOfPermissionsIsBounded() throws {
        let wire = Wire()
        wire.run(.seconds(1))
        let session = try #require(wire.server.sessions.compactMap { $0 }.first)
        for id in 1...1000 as ClosedRange<UInt32> {
            session.control.allowDeflating(ChannelID(ChannelKind.flow, id))
        }
        #expect(session.control.permissionCount == ControlQueue.permissionLimit)
        wire.server.touch(session)
        wire.run(.seconds(1))
        #expect(session.control.permissionCount == 0)
    }

    @Test func whatShrinksToNothingStillPasses() throws {
        let wire = Wire()
        wire.run(.seconds(1))
        let zeros = [UInt8](repeating: 0, count: 3 << 20)
        #expect(try self.send(zeros, over: wire) == zeros)
        let first = wire.bytesFrom[wire.clientAddress, default: 0]
        #expect(try self.send(zeros, over: wire) == zeros)
        #expect(wire.bytesFrom[wire.clientAddress, default: 0] - first < zeros.count / 18)
        let flow = try #require(wire.client.openFlow(self.request("voice", .udp), at: wire.now))
        for count in [1, 40, 300, 1400, 9000, 65_507] {
            zeros[..<count].withUnsafeBytes { wire.client.send($0, on: flow, at: wire.now) }
            wire.run(.milliseconds(500))
            #expect(wire.serverDatagrams.last?.count == count)
        }
        #expect(wire.server.snapshot(at: wire.now).counters.drops.total == 0)
    }

    @Test func aBombEndsItsStreamOnly() throws {
        let wire = Wire()
        wire.run(.seconds(1))
        var accepted: StreamHandle?
        wire.onServerStream = { handle, _ in accepted = handle }
        let stream = try #require(
            wire.client.openStream(self.request("echo", .tcp), at: wire.now)
        )
        wire.run(.milliseconds(100))
        let bomb = self.bomb(of: 8 << 20, isWhole: false)
        let block = [1, UInt8(bomb.count & 255), UInt8(bomb.count >> 8)] + bomb
        let sender = try #require(wire.client.board.streams.find(stream))
        let taken = block.withUnsafeBytes { sender.pointee.sender.write($0) }
        #expect(taken == block.count)
        // The driver's own write has it scheduled.
        var got = 0
        var sent = 0
        wire.run(.seconds(2)) {
            if sent == 0 { sent = wire.client.write([1, 2, 3], to: stream, at: wire.now) }
            if let accepted { got += wire.server.readAll(accepted, at: wire.now).count }
        }
        #expect(got > 0)
        #expect(got <= InflationAllowance.burst + InflationAllowance.ratio * (block.count + 6))
        #expect(self.isReset(wire.clientEvents, .compression))
        #expect(self.drops(wire.server, .inflationBudget, at: wire.now) == 1)
        #expect(wire.client.isSessionUp)
    }

    @Test func bombsInDatagramsAreBounded() throws {
        let wire = Wire()
        wire.run(.seconds(1))
        let flow = try #require(wire.client.openFlow(self.request("voice", .udp), at: wire.now))
        [1, 2, 3].withUnsafeBytes { wire.client.send($0, on: flow, at: wire.now) }
        wire.run(.milliseconds(100))
        let id = try #require(wire.client.board.flows.find(flow)).pointee.id
        let bomb = [1] + self.bomb(of: 65_000, isWhole: true)
        let before = wire.serverDatagrams.count
        for number in 10..<210 as Range<UInt32> {
            let body = self.little(id) + self.little(number) + bomb
            try wire.forge([(FrameType.datagram, body)], from: wire.clientAddress)
            while let (_, bytes) = wire.server.nextDatagram() {
                wire.serverDatagrams.append([UInt8](bytes))
            }
        }
        let got = wire.serverDatagrams[before...].reduce(0) { $0 + $1.count }
        #expect(got >= 65_000)
        #expect(got <= InflationAllowance.burst + InflationAllowance.ratio * 200 * bomb.count)
        #expect(self.drops(wire.server, .inflationBudget, at: wire.now) > 100)
        // Another flow has an allowance of its own.
        let other = try #require(wire.client.openFlow(self.request("voice", .udp), at: wire.now))
        Self.text[..<900].withUnsafeBytes { wire.client.send($0, on: other, at: wire.now) }
        wire.run(.milliseconds(100))
        #expect(wire.serverDatagrams.last == Array(Self.text[..<900]))
    }
}
