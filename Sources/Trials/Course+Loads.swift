import Primitives
import Session

/// The applications at both ends.
extension Course {
    private func load(_ site: Site, _ number: Int) -> Trial.Load {
        self.trial.tunnels[site.tunnel].loads[number]
    }

    /// Opens what is due to be opened, and sends the messages that are due.
    func startLoads(_ site: Site) {
        guard site.isClient else { return }
        var acted = false
        for number in site.loads.indices {
            while site.loads[number].nextMessageAt <= self.now {
                acted = true
                if site.loads[number].isOpened {
                    self.sendMessage(site, number)
                } else {
                    self.open(site, number)
                }
            }
        }
        if acted { self.serve(site) }
    }

    private func open(_ site: Site, _ number: Int) {
        let load = self.load(site, number)
        site.loads[number].isOpened = true
        site.loads[number].nextMessageAt = .never
        let isDatagram = load.delivery != nil
        var request = OpenRequest(service: "s", serviceProtocol: isDatagram ? .udp : .tcp)
        request.trafficClass = load.trafficClass
        if let delivery = load.delivery {
            request.delivery = delivery
            guard let flow = site.engine.openFlow(request, at: self.now) else { return }
            site.loads[number].flow = flow
            site.flowLoads[flow.slot] = number
        } else {
            // The server learns from the first byte which load this is.
            guard let stream = site.engine.openStream(request, at: self.now) else { return }
            site.loads[number].stream = stream
            site.streamLoads[stream.slot] = number
            self.write([UInt8(number)], to: stream, of: site)
            if case .bulk(isUpload: true) = load.kind { self.fill(site, stream) }
        }
        if case .echo = load.kind {
            // Not in step with anything else.
            let first = self.now + .milliseconds(400) + .microseconds(UInt64(number) * 1_237)
            site.loads[number].nextMessageAt = first
            site.loads[number].firstMessageAt = first
        }
    }

    private func write(_ bytes: [UInt8], to stream: StreamHandle, of site: Site) {
        let region = site.engine.beginWrite(to: stream)
        guard region.count >= bytes.count else { return }
        region.copyBytes(from: bytes)
        site.engine.wrote(bytes.count, to: stream, at: self.now)
    }

    private func sendMessage(_ site: Site, _ number: Int) {
        guard case .echo(let perSecond, let byteCount) = self.load(site, number).kind else {
            return
        }
        let serial = site.loads[number].nextMessage
        let due = site.loads[number].nextMessageAt
        site.loads[number].nextMessage += 1
        let first = site.loads[number].firstMessageAt
        let offset = (serial + 1) * 1_000_000_000 / perSecond
        site.loads[number].nextMessageAt = first + Instant.Interval(nanoseconds: offset)
        if self.counts(due) { self.tally(site.tunnel, number) { $0.sent += 1 } }
        if let flow = site.loads[number].flow {
            self.payload.storeBytes(of: serial, as: UInt64.self)
            self.payload.storeBytes(of: UInt8(number), toByteOffset: 8, as: UInt8.self)
            let bytes = UnsafeRawBufferPointer(rebasing: self.payload[..<byteCount])
            site.engine.send(bytes, on: flow, at: self.now)
        } else {
            site.loads[number].backlog += byteCount
            self.flush(site, number)
        }
    }

    /// Writes what an echo owes.
    private func flush(_ site: Site, _ number: Int) {
        guard let stream = site.loads[number].stream else { return }
        while site.loads[number].backlog > 0 {
            let region = site.engine.beginWrite(to: stream)
            guard !region.isEmpty else { return }
            let count = min(region.count, site.loads[number].backlog)
            site.engine.wrote(count, to: stream, at: self.now)
            site.loads[number].backlog -= count
        }
    }

    private func fill(_ site: Site, _ stream: StreamHandle) {
        while true {
            let region = site.engine.beginWrite(to: stream)
            guard !region.isEmpty else { return }
            // A driver reads its socket in pieces.
            site.engine.wrote(min(region.count, 65_536), to: stream, at: self.now)
        }
    }

    func runApplications(_ site: Site) {
        while site.engine.nextEvent() != nil {}
        while let stream = site.engine.nextReadyStream() { self.run(stream, of: site) }
        while let (flow, bytes) = site.engine.nextDatagram() {
            guard bytes.count >= 9 else { continue }
            if site.isClient {
                guard let number = site.flowLoads[flow.slot] else { continue }
                let serial = bytes.loadUnaligned(as: UInt64.self)
                self.cameBack(site, number, serial)
            } else {
                self.payload.copyMemory(from: bytes)
                let copy = UnsafeRawBufferPointer(rebasing: self.payload[..<bytes.count])
                site.engine.send(copy, on: flow, at: self.now)
            }
        }
    }

    private func cameBack(_ site: Site, _ number: Int, _ serial: UInt64) {
        guard case .echo(let perSecond, _) = self.load(site, number).kind else { return }
        let offset = serial * 1_000_000_000 / perSecond
        let due = site.loads[number].firstMessageAt + Instant.Interval(nanoseconds: offset)
        guard self.counts(due) else { return }
        let latency = Double(self.now.since(due).nanoseconds) / 1e6
        self.tally(site.tunnel, number) { $0.latencies.append(latency) }
        self.noteProgress(site, number, byteCount: 0)
    }

    private func noteProgress(_ site: Site, _ number: Int, byteCount: Int) {
        guard self.isMeasuring else { return }
        let now = self.now.nanoseconds
        self.tally(site.tunnel, number) { tally in
            tally.byteCount += UInt64(byteCount)
            tally.longestGap = max(tally.longestGap, Double(now - tally.lastAt) / 1e6)
            tally.lastAt = now
        }
    }

    /// A stream has bytes to read or room to write.
    private func run(_ stream: StreamHandle, of site: Site) {
        let number: Int
        if let known = site.streamLoads[stream.slot] {
            number = known
        } else {
            let region = site.engine.beginRead(from: stream)
            guard let first = region.first else { return }
            number = Int(first)
            site.engine.consumed(1, from: stream, at: self.now)
            site.streamLoads[stream.slot] = number
            site.loads[number].stream = stream
        }
        switch self.load(site, number).kind {
        case .bulk(let isUpload):
            if site.isClient == isUpload {
                self.fill(site, stream)
            } else {
                let count = self.swallow(site, stream)
                if count > 0 { self.noteProgress(site, number, byteCount: count) }
            }
        case .stalled:
            if !site.isClient { self.fill(site, stream) }
        case .idle: return
        case .echo(_, let byteCount):
            let count = self.swallow(site, stream)
            guard site.isClient else {
                site.loads[number].backlog += count
                return self.flush(site, number)
            }
            self.flush(site, number)
            let before = site.loads[number].returned / UInt64(byteCount)
            site.loads[number].returned += UInt64(count)
            for serial in before..<site.loads[number].returned / UInt64(byteCount) {
                self.cameBack(site, number, serial)
            }
        }
    }

    private func swallow(_ site: Site, _ stream: StreamHandle) -> Int {
        var sum = 0
        while true {
            let count = site.engine.beginRead(from: stream).count
            guard count > 0 else { return sum }
            site.engine.consumed(count, from: stream, at: self.now)
            sum += count
        }
    }
}
