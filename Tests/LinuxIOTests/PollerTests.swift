import Glibc
import LinuxIO
import Primitives
import Testing

@Suite struct PollerTests {
    @Test func sleepsUntilTheDeadlineAndNotMuchLonger() throws {
        let poller = try Poller()
        let clock = BootClock()
        let start = clock.now()
        #expect(try poller.wait(atMost: .microseconds(1_500)) == 0)
        let slept = clock.now().since(start)
        #expect(slept >= .microseconds(1_500))
        #expect(slept < .seconds(1))
    }

    @Test func reportsTokensAndReadiness() throws {
        let poller = try Poller()
        let wakeUp = try WakeUp()
        let token: UInt64 = 0xDEAD_BEEF_0000_0001
        try poller.add(wakeUp.descriptor, token: token, interest: .readable)
        #expect(try poller.wait(atMost: .zero) == 0)
        wakeUp.signal()
        wakeUp.signal()
        #expect(try poller.wait(atMost: nil) == 1)
        #expect(poller.token(0) == token)
        #expect(poller.readiness(0) == .readable)
        wakeUp.clear()
        #expect(try poller.wait(atMost: .zero) == 0)
        try poller.modify(wakeUp.descriptor, token: 5, interest: .writable)
        #expect(try poller.wait(atMost: .zero) == 1)
        #expect(poller.token(0) == 5)
        try poller.remove(wakeUp.descriptor)
        #expect(try poller.wait(atMost: .zero) == 0)
    }

    @Test func reportsAHangUpThatNobodyAskedFor() throws {
        let (accepted, connecting) = try makeConnection(to: loopbacks[0])
        let poller = try Poller()
        try poller.add(accepted.socket.descriptor, token: 9, interest: [])
        connecting.abort()
        #expect(try poller.wait(atMost: .seconds(2)) == 1)
        #expect(poller.readiness(0).contains(.hungUp))
        #expect(accepted.socket.takeError() == ECONNRESET)
        accepted.socket.close()
    }

    @Test func theClockDoesNotGoBack() {
        let clock = BootClock()
        var last = clock.now()
        for _ in 0..<1_000 {
            let now = clock.now()
            #expect(now >= last)
            last = now
        }
    }

    @Test func entropyIsNotTheSameTwice() {
        let source = EntropySource.kernel()
        #expect(source.next(UInt64.self) != source.next(UInt64.self))
    }
}
