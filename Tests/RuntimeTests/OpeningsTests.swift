import Session
import Testing

@testable import Runtime

/// Whoever opens much at once takes turns with everybody else.
@Suite struct OpeningsTests {
    private func opening(_ slot: UInt32, of session: UInt32) -> Openings.Opening {
        Openings.Opening(
            place: Self.stream(slot),
            session: SessionHandle(slot: session, generation: 1),
            request: OpenRequest(service: "web", serviceProtocol: .tcp)
        )
    }

    private static func stream(_ slot: UInt32) -> Openings.Place {
        .stream(StreamHandle(slot: slot, generation: 1))
    }

    @Test func aFewAreOpenedAtOnce() {
        var openings = Openings()
        for _ in 0..<Openings.perTurn {
            let isTurn = openings.takeTurn()
            #expect(isTurn)
        }
        let isTurn = openings.takeTurn()
        #expect(!isTurn)
        let due = openings.nextTurn()
        #expect(due.isEmpty)
        let isTurnAgain = openings.takeTurn()
        #expect(isTurnAgain)
    }

    @Test func sessionsTakeTurns() {
        var openings = Openings()
        for slot in 0..<1000 as Range<UInt32> { openings.append(self.opening(slot, of: 1)) }
        openings.append(self.opening(5000, of: 2))
        openings.append(self.opening(5001, of: 3))
        let isTurn = openings.takeTurn()
        #expect(!isTurn)
        let first = openings.nextTurn().map(\.place)
        #expect(first.count == Openings.perTurn)
        #expect(first.contains(Self.stream(5000)) && first.contains(Self.stream(5001)))
        var opened = Set(first)
        while !openings.isEmpty {
            let turn = openings.nextTurn().map(\.place)
            #expect(1...Openings.perTurn ~= turn.count)
            opened.formUnion(turn)
        }
        #expect(opened.count == 1002)
        let rest = openings.nextTurn()
        #expect(rest.isEmpty)
    }

    @Test func whatHasEndedIsNotOpened() {
        var openings = Openings()
        for slot in 0..<20 as Range<UInt32> { openings.append(self.opening(slot, of: 1)) }
        for slot in 0..<20 as Range<UInt32> where slot % 2 == 0 {
            openings.remove(Self.stream(slot))
        }
        openings.remove(.stream(StreamHandle(slot: 1, generation: 2)))
        openings.remove(.flow(FlowHandle(slot: 1, generation: 1)))
        var opened: [Openings.Place] = []
        while !openings.isEmpty { opened += openings.nextTurn().map(\.place) }
        #expect(opened == (0..<20).filter { $0 % 2 == 1 }.map(Self.stream))
    }

    /// One stream in ten stays, so that the others wait behind it.
    @Test func whatHasEndedDoesNotPileUp() {
        var openings = Openings()
        for slot in 0..<10_000 as Range<UInt32> {
            openings.append(self.opening(slot, of: slot % 3))
            if slot % 10 != 0 { openings.remove(Self.stream(slot)) }
            #expect(openings.entryCount <= 2 * Int(slot / 10 + 1) + 70)
        }
        var opened = 0
        while !openings.isEmpty { opened += openings.nextTurn().count }
        #expect(opened == 1000)
    }

    @Test func datagramsWaitForTheirFlow() {
        var openings = Openings()
        let flow = FlowHandle(slot: 7, generation: 3)
        #expect(!openings.isWaiting(flow))
        openings.append(
            Openings.Opening(
                place: .flow(flow),
                session: SessionHandle(slot: 1, generation: 1),
                request: OpenRequest(service: "voice", serviceProtocol: .udp)
            )
        )
        #expect(openings.isWaiting(flow))
        var heldCount = 0
        for number in 0..<UInt8(100) {
            let isHeld = [number, number].withUnsafeBytes { openings.hold($0, for: flow) }
            heldCount += isHeld ? 1 : 0
        }
        #expect(heldCount == Openings.heldDatagrams)
        let opened = openings.nextTurn().map(\.place)
        #expect(opened == [.flow(flow)])
        let datagrams = openings.takeDatagrams(of: flow)
        #expect(datagrams == (0..<UInt8(heldCount)).map { [$0, $0] })
        let rest = openings.takeDatagrams(of: flow)
        #expect(rest.isEmpty && !openings.isWaiting(flow))
    }

    /// What is held is bounded over all flows, and gone with them.
    @Test func datagramsOfManyFlowsAreBounded() {
        var openings = Openings()
        let large = [UInt8](repeating: 1, count: 60_000)
        let fill = { () -> Int in
            var heldCount = 0
            for slot in 0..<100 as Range<UInt32> {
                let flow = FlowHandle(slot: slot, generation: 1)
                openings.append(
                    Openings.Opening(
                        place: .flow(flow),
                        session: SessionHandle(slot: 1, generation: 1),
                        request: OpenRequest(service: "voice", serviceProtocol: .udp)
                    )
                )
                heldCount += large.withUnsafeBytes { openings.hold($0, for: flow) } ? 1 : 0
            }
            return heldCount
        }
        let first = fill()
        #expect(first == Openings.heldByteCount / 60_000)
        for slot in 0..<100 as Range<UInt32> {
            openings.remove(.flow(FlowHandle(slot: slot, generation: 1)))
        }
        #expect(openings.isEmpty)
        let second = fill()
        #expect(second == first)
    }
}
