import Primitives
import Session

/// A player's side beside the attackers: small messages on a stream and datagrams, both echoed, and
/// a download; it knows what it is owed and measures how long that took.
final class HonestPeer {
    struct Plan: Sendable {
        var start: Instant
        var end: Instant
        var messageInterval: Instant.Interval
        var messageByteCount: UInt64
        var datagramInterval: Instant.Interval
        var datagramByteCount: UInt64
        var downloadByteCount: UInt64
        var isCompressed: Bool
    }

    let number: Int
    let engine: Engine
    private let plan: Plan
    private var dice: SeededGenerator
    private(set) var violations: [String] = []
    /// Round trips of messages and of datagrams, in microseconds.
    private(set) var echoTimes: [UInt64] = []
    private(set) var datagramTimes: [UInt64] = []
    private(set) var downloaded: UInt64 = 0
    private(set) var datagramsSent: UInt64 = 0

    private var stream: StreamHandle?
    private var written: UInt64 = 0
    private var echoed: UInt64 = 0
    private var pending: [(end: UInt64, at: Instant)] = []
    private var download: StreamHandle?
    private var flow: FlowHandle?
    /// When each datagram was sent, until it is back.
    private var outstanding: [UInt64: Instant] = [:]
    private var messageAt: Instant
    private var datagramAt: Instant
    private let messages: Pattern

    init(_ number: Int, engine: Engine, plan: Plan, seed: UInt64) {
        self.number = number
        self.engine = engine
        self.plan = plan
        self.dice = SeededGenerator(seed: seed)
        self.messageAt = plan.start
        self.datagramAt = plan.start
        self.messages = Pattern(key: 0xEC40 + UInt64(number), mask: plan.isCompressed ? 7 : 0xFF)
    }

    var deadline: Instant { min(self.messageAt, self.datagramAt, self.engine.deadline) }

    func act(at now: Instant) {
        if self.engine.deadline <= now { self.engine.wake(at: now) }
        if self.messageAt <= now {
            if self.stream == nil { self.open(at: now) }
            self.write(at: now)
            let next = now + self.plan.messageInterval
            self.messageAt = next < self.plan.end ? next : .never
        }
        if self.datagramAt <= now {
            self.sendDatagram(at: now)
            let next = now + self.plan.datagramInterval
            self.datagramAt = next < self.plan.end ? next : .never
        }
    }

    private func open(at now: Instant) {
        var request = OpenRequest(service: Siege.echoService, serviceProtocol: .tcp)
        request.isCompressed = self.plan.isCompressed
        self.stream = self.engine.openStream(request, at: now)
        let flood = OpenRequest(service: Siege.floodService, serviceProtocol: .tcp)
        self.download = self.engine.openStream(flood, at: now)
        // The download begins with a word.
        if let download = self.download {
            let room = self.engine.beginWrite(to: download)
            if room.count > 0 {
                room[0] = 1
                self.engine.wrote(1, to: download, at: now)
            }
        }
        let voice = OpenRequest(service: Siege.voiceService, serviceProtocol: .udp)
        self.flow = self.engine.openFlow(voice, at: now)
        if self.stream == nil || self.download == nil || self.flow == nil {
            self.violate("could not open", at: now)
        }
    }

    private func write(at now: Instant) {
        guard let stream = self.stream else { return }
        let room = self.engine.beginWrite(to: stream)
        let count = min(room.count, Int(1 + self.dice.below(self.plan.messageByteCount)))
        guard count > 0 else { return }
        let part = UnsafeMutableRawBufferPointer(rebasing: room[..<count])
        self.messages.fill(part, from: self.written)
        self.engine.wrote(count, to: stream, at: now)
        self.written += UInt64(count)
        self.pending.append((self.written, now))
    }

    private func sendDatagram(at now: Instant) {
        guard let flow = self.flow else { return }
        let count = 8 + Int(self.dice.below(self.plan.datagramByteCount))
        var bytes = [UInt8](repeating: 0, count: count)
        let serial = self.datagramsSent
        bytes.withUnsafeMutableBytes {
            self.datagramPattern(serial).fill($0, from: 0)
            $0.storeBytes(of: serial.littleEndian, as: UInt64.self)
            self.engine.send(UnsafeRawBufferPointer($0), on: flow, at: now)
        }
        self.outstanding[serial] = now
        self.datagramsSent += 1
    }

    private func datagramPattern(_ serial: UInt64) -> Pattern {
        Pattern(key: serial << 8 | UInt64(self.number) | 0xDA << 56)
    }

    // MARK: - What comes back

    /// Takes what the engine has for the applications; true if there was anything.
    func drain(_ digest: inout Digest, at now: Instant) -> Bool {
        var isBusy = false
        while let event = self.engine.nextEvent() {
            self.handle(event, at: now)
            isBusy = true
        }
        while let handle = self.engine.nextReadyStream() {
            if handle == self.stream { self.readEcho(&digest, at: now) }
            if handle == self.download { self.readDownload(&digest, at: now) }
            isBusy = true
        }
        while let (_, bytes) = self.engine.nextDatagram() {
            digest.add(bytes)
            self.accept(bytes, at: now)
            isBusy = true
        }
        return isBusy
    }

    private func handle(_ event: EngineEvent, at now: Instant) {
        switch event {
        case .sessionDown, .streamReset, .flowClosed, .connectFailed, .streamClosed:
            self.violate("\(event)", at: now)
        default: break
        }
    }

    private func readEcho(_ digest: inout Digest, at now: Instant) {
        guard let stream = self.stream else { return }
        while true {
            let region = self.engine.beginRead(from: stream)
            guard !region.isEmpty else { break }
            digest.add(region)
            if self.messages.firstDifference(region, from: self.echoed) != nil {
                self.violate("a wrong byte was echoed", at: now)
            }
            self.echoed += UInt64(region.count)
            self.engine.consumed(region.count, from: stream, at: now)
        }
        while let first = self.pending.first, first.end <= self.echoed {
            self.echoTimes.append(now.since(first.at).microseconds)
            self.pending.removeFirst()
        }
    }

    private func readDownload(_ digest: inout Digest, at now: Instant) {
        guard let download = self.download else { return }
        while self.downloaded < self.plan.downloadByteCount {
            let region = self.engine.beginRead(from: download)
            guard !region.isEmpty else { break }
            digest.add(UInt64(region.count))
            if Backends.flood.firstDifference(region, from: self.downloaded) != nil {
                self.violate("a wrong byte was downloaded", at: now)
            }
            self.downloaded += UInt64(region.count)
            self.engine.consumed(region.count, from: download, at: now)
        }
        guard self.downloaded >= self.plan.downloadByteCount else { return }
        self.engine.reset(download, reason: .aborted, at: now)
        self.download = nil
    }

    private func accept(_ bytes: UnsafeRawBufferPointer, at now: Instant) {
        guard bytes.count >= 8 else { return self.violate("a datagram was cut", at: now) }
        let serial = UInt64(littleEndian: bytes.loadUnaligned(as: UInt64.self))
        guard let sentAt = self.outstanding.removeValue(forKey: serial) else {
            return self.violate("datagram \(serial) came twice or was never sent", at: now)
        }
        let body = UnsafeRawBufferPointer(rebasing: bytes[8...])
        if self.datagramPattern(serial).firstDifference(body, from: 8) != nil {
            self.violate("datagram \(serial) was changed", at: now)
        }
        self.datagramTimes.append(now.since(sentAt).microseconds)
    }

    private func violate(_ text: String, at now: Instant) {
        guard self.violations.count < 8 else { return }
        self.violations.append(
            "at \(now.nanoseconds / 1_000) us: honest peer \(self.number): \(text)"
        )
    }

    /// Says what is still owed when everything is over.
    func conclude(losesDatagrams: Bool, at now: Instant) {
        if self.echoed < self.written {
            self.violate("\(self.echoed) of \(self.written) bytes were echoed", at: now)
        }
        if self.download != nil {
            self.violate("the download ends at \(self.downloaded) bytes", at: now)
        }
        if !losesDatagrams, !self.outstanding.isEmpty {
            self.violate(
                "\(self.outstanding.count) of \(self.datagramsSent) datagrams are lost",
                at: now
            )
        }
    }
}
