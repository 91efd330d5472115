import Testing

@testable import Session

/// Every state of a stream and a flow meets everything that can happen to it.
@Suite struct LifecycleTests {
    private static let states: [StreamLifecycle] = [
        .open, .finishing, .closing, .closed, .reset(.limit),
    ]

    private static let events: [StreamLifecycle.Event] = [
        .finished, .closeWritten, .closeLost, .closeAcknowledged, .settled, .aborted(.idle),
        .failed(.serviceForbidden, telling: .reload), .cut(.shutdown), .resetLost,
        .resetAcknowledged,
    ]

    /// For each event, the state that follows each state, and what is to be done.
    private static let table: [[(StreamLifecycle, StreamLifecycle.Action)]] = [
        // finished
        [
            (.finishing, .writeClose), (.finishing, .nothing), (.closing, .nothing),
            (.closed, .nothing), (.reset(.limit), .nothing),
        ],
        // closeWritten
        [
            (.open, .nothing), (.closing, .nothing), (.closing, .nothing), (.closed, .nothing),
            (.reset(.limit), .nothing),
        ],
        // closeLost
        [
            (.open, .nothing), (.finishing, .nothing), (.closing, .repeatClose),
            (.closed, .nothing), (.reset(.limit), .nothing),
        ],
        // closeAcknowledged
        [
            (.open, .nothing), (.finishing, .nothing), (.closed, .look), (.closed, .look),
            (.reset(.limit), .nothing),
        ],
        // settled
        [
            (.open, .nothing), (.finishing, .nothing), (.closing, .nothing),
            (.closed, .end(nil)), (.reset(.limit), .nothing),
        ],
        // aborted
        [
            (.reset(.idle), .writeReset), (.reset(.idle), .writeReset),
            (.reset(.idle), .writeReset), (.reset(.idle), .writeReset),
            (.reset(.limit), .nothing),
        ],
        // failed: the peer is told one reason, the driver another
        [
            (.reset(.serviceForbidden), .fail(.reload)),
            (.reset(.serviceForbidden), .fail(.reload)),
            (.reset(.serviceForbidden), .fail(.reload)),
            (.reset(.serviceForbidden), .fail(.reload)), (.reset(.limit), .nothing),
        ],
        // cut
        [
            (.open, .end(.shutdown)), (.finishing, .end(.shutdown)), (.closing, .end(.shutdown)),
            (.closed, .end(.shutdown)), (.reset(.limit), .release),
        ],
        // resetLost
        [
            (.open, .nothing), (.finishing, .nothing), (.closing, .nothing), (.closed, .nothing),
            (.reset(.limit), .repeatReset),
        ],
        // resetAcknowledged
        [
            (.open, .nothing), (.finishing, .nothing), (.closing, .nothing), (.closed, .nothing),
            (.reset(.limit), .release),
        ],
    ]

    @Test func everyStateOfAStreamMeetsEveryEvent() {
        #expect(Self.table.count == Self.events.count)
        for (event, row) in zip(Self.events, Self.table) {
            #expect(row.count == Self.states.count)
            for (state, expected) in zip(Self.states, row) {
                var lifecycle = state
                let action = lifecycle.on(event)
                #expect(lifecycle == expected.0 && action == expected.1, "\(event) in \(state)")
            }
        }
    }

    @Test func theDriverHearsOfAnEndOnce() {
        // Whatever happens, in whatever order: told at most once, and nothing follows the release.
        for first in Self.events {
            for second in Self.events {
                for third in Self.events {
                    var lifecycle = StreamLifecycle.closed
                    var told = 0
                    for event in [first, second, third] {
                        switch lifecycle.on(event) {
                        case .end, .release:
                            told += lifecycle.isReset ? 0 : 1
                            lifecycle = .reset(.aborted)
                        case .fail: told += 1
                        default: break
                        }
                    }
                    #expect(told <= 1, "\(first), \(second), \(third)")
                }
            }
        }
    }

    private static let one = SessionHandle(slot: 1, generation: 2)

    private static let flowStates: [FlowLifecycle] = [
        .waiting, .attached(one), .carried(one, by: 7), .stranded(one),
    ]

    private func check(
        _ event: FlowLifecycle.Event,
        client: FlowLifecycle.Action,
        server: FlowLifecycle.Action
    ) {
        for state in Self.flowStates {
            for isClient in [true, false] {
                var lifecycle = state
                let action = lifecycle.on(event, isClient: isClient)
                #expect(action == (isClient ? client : server), "\(event) in \(state)")
                #expect(lifecycle == .waiting)
            }
        }
    }

    @Test func aFlowOutlivesSessionsOnAClientAlone() {
        self.check(.sessionOver(.sessionLost), client: .wait, server: .end(.sessionLost))
        self.check(.carrierEnded(.sessionLost), client: .wait, server: .end(.sessionLost))
        self.check(
            .carrierEnded(.compression),
            client: .end(.compression),
            server: .end(.compression)
        )
        self.check(.carrierEnded(nil), client: .end(.aborted), server: .end(.aborted))
        self.check(.resetByPeer(.flowUnknown), client: .reopen, server: .end(.flowUnknown))
        self.check(.resetByPeer(.idle), client: .reopen, server: .end(.idle))
        self.check(.resetByPeer(.limit), client: .end(.limit), server: .end(.limit))
        self.check(.closed, client: .release, server: .release)
    }

    @Test func aFlowKnowsWhoseItIs() {
        let two = SessionHandle(slot: 3, generation: 4)
        var lifecycle = FlowLifecycle.waiting
        #expect(lifecycle.owner == nil && lifecycle.carrier == nil)
        #expect(lifecycle.on(.attached(two), isClient: true) == .nothing)
        #expect(lifecycle.owner == two && lifecycle.carrier == nil)
        lifecycle = .waiting
        #expect(lifecycle.on(.carried(two, by: 9), isClient: false) == .nothing)
        #expect(lifecycle.owner == two && lifecycle.carrier == 9)
        lifecycle = .waiting
        #expect(lifecycle.on(.stranded(two), isClient: true) == .nothing)
        #expect(lifecycle.owner == two && lifecycle.carrier == nil)
    }
}
