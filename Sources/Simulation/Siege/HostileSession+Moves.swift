import Primitives

/// The frames of each deed: most of them valid, so that they get far.
extension HostileSession {
    func write(_ move: Move, to frames: inout FrameBytes, _ dice: inout SeededGenerator) {
        switch move {
        case .openStream: self.openStream(&frames, &dice)
        case .openFlow: self.openFlow(&frames, &dice)
        case .openAndReset:
            for _ in 0..<8 {
                self.openStream(&frames, &dice)
                if let last = self.streams.last { self.reset(0, last.id, &frames, &dice) }
            }
        case .segment: self.writeSegment(ahead: 0, &frames, &dice)
        case .segmentAhead:
            let ahead = UInt32(1) << UInt32(dice.below(16))
            self.writeSegment(ahead: ahead, &frames, &dice)
        case .part: self.writePart(&frames, &dice)
        case .close: self.writeClose(&frames, &dice)
        case .window: self.writeWindow(&frames, &dice)
        case .datagram: self.writeDatagram(&frames, &dice)
        case .bomb: self.writeBomb(&frames, &dice)
        case .fragment: self.writeFragments(areSound: true, &frames, &dice)
        case .brokenFragment: self.writeFragments(areSound: false, &frames, &dice)
        case .copies: self.writeCopies(&frames, &dice)
        case .repairTrain: self.writeRepairs(&frames, &dice)
        case .path: self.writePath(&frames, &dice)
        case .reset:
            let kind = UInt8(dice.below(3))
            self.reset(kind, Self.anyID(&dice, below: self.nextStream), &frames, &dice)
        case .rate:
            frames.append(frame: WireFrame.rate) { $0.append(dice.next() >> dice.below(64)) }
        case .unknown, .malformed: self.writeNonsense(move, &frames, &dice)
        case .forgery: self.openFlow(&frames, &dice)
        case .spoofedAddress, .replay, .noise, .initiation, .initiationReplay:
            frames.append(frame: WireFrame.ping) { _ in }
        }
    }

    private static func anyID(_ dice: inout SeededGenerator, below next: UInt32) -> UInt32 {
        dice.chance(1, in: 8)
            ? UInt32(truncatingIfNeeded: dice.next())
            : UInt32(dice.below(UInt64(next) + 1))
    }

    private static func bytes(_ count: Int, _ dice: inout SeededGenerator) -> [UInt8] {
        [UInt8](repeating: UInt8(truncatingIfNeeded: dice.next()), count: count)
    }

    /// One of many, and more often one of the oldest: these get deep.
    private static func pick(_ count: Int, _ dice: inout SeededGenerator) -> Int? {
        guard count > 0 else { return nil }
        return Int(dice.below(UInt64(dice.chance(3, in: 4) ? min(count, 2) : count)))
    }

    private func stream(_ dice: inout SeededGenerator) -> Int? {
        Self.pick(self.streams.count, &dice)
    }

    private func flow(_ dice: inout SeededGenerator) -> Int? {
        Self.pick(self.flows.count, &dice)
    }

    // MARK: - Opening and ending

    private func open(
        kind: UInt8,
        id: UInt32,
        flags: UInt8,
        class trafficClass: UInt8,
        service: String,
        _ frames: inout FrameBytes,
        _ dice: inout SeededGenerator
    ) {
        frames.append(frame: WireFrame.open) {
            $0.append(kind)
            $0.append(id)
            $0.append(flags)
            $0.append(trafficClass)
            $0.append(UInt16(truncatingIfNeeded: dice.next()))
            $0.append(UInt32(truncatingIfNeeded: dice.next() >> dice.below(64)))
            for flag: UInt8 in [2, 4] where flags & flag != 0 {
                for _ in 0..<9 { $0.append(UInt16(truncatingIfNeeded: dice.next())) }
            }
            $0.append(UInt8(service.utf8.count))
            $0.append(Array(service.utf8))
        }
    }

    func openStream(
        _ frames: inout FrameBytes,
        _ dice: inout SeededGenerator,
        service: String? = nil
    ) {
        let names = [
            Siege.echoService, Siege.echoService, Siege.floodService, Siege.sinkService,
            Siege.stuckService, "nowhere",
        ]
        let name = service ?? names[Int(dice.below(6))]
        var flags: UInt8 = 0
        if service == nil, dice.chance(1, in: 4) { flags |= 8 }
        // The server knows of this peer that it speaks for nobody else.
        if service == nil, dice.chance(1, in: 8) { flags |= 2 }
        if dice.chance(1, in: 8) { flags |= 4 }
        self.open(
            kind: 0,
            id: self.nextStream,
            flags: flags,
            class: UInt8(dice.below(4)),
            service: name,
            &frames,
            &dice
        )
        self.streams.append(Channel(id: self.nextStream))
        self.nextStream += dice.chance(1, in: 64) ? UInt32(1 + dice.below(10_000)) : 1
        if self.streams.count > 4_096 { self.streams.removeFirst(2_048) }
    }

    private func openFlow(_ frames: inout FrameBytes, _ dice: inout SeededGenerator) {
        let isReliable = dice.chance(1, in: 5)
        var flags: UInt8 = 1
        if dice.chance(1, in: 4) { flags |= 8 }
        let delivery = isReliable ? UInt8(2) : UInt8(dice.below(2))
        let id = isReliable ? self.nextStream : self.nextFlow
        self.open(
            kind: isReliable ? 0 : 1,
            id: id,
            flags: flags,
            class: UInt8(dice.below(4)) | delivery << 4,
            service: Siege.voiceService,
            &frames,
            &dice
        )
        if isReliable {
            self.streams.append(Channel(id: id))
            self.nextStream += 1
        } else {
            self.flows.append(Channel(id: id))
            self.nextFlow += 1
            if self.flows.count > 4_096 { self.flows.removeFirst(2_048) }
        }
    }

    private func reset(
        _ kind: UInt8,
        _ id: UInt32,
        _ frames: inout FrameBytes,
        _ dice: inout SeededGenerator
    ) {
        frames.append(frame: WireFrame.reset) {
            $0.append(kind)
            $0.append(id)
            $0.append(UInt8(dice.below(20)))
        }
    }

    private func writeClose(_ frames: inout FrameBytes, _ dice: inout SeededGenerator) {
        guard let index = self.stream(&dice) else { return self.openStream(&frames, &dice) }
        let stream = self.streams[index]
        let isSound = dice.chance(3, in: 4)
        frames.append(frame: WireFrame.close) {
            $0.append(stream.id)
            $0.append(isSound ? stream.number : UInt32(truncatingIfNeeded: dice.next()))
        }
    }

    // MARK: - Streams

    private func writeSegment(
        ahead: UInt32,
        _ frames: inout FrameBytes,
        _ dice: inout SeededGenerator
    ) {
        guard let index = self.stream(&dice) else { return self.openStream(&frames, &dice) }
        let stream = self.streams[index]
        let count = 1 + Int(dice.below(ahead == 0 ? 1_100 : 64))
        // Just as far ahead as the rules allow, or a little further.
        let offset = stream.offset &+ ahead &+ (ahead > 0 ? UInt32(dice.below(4_096)) : 0)
        frames.append(frame: WireFrame.stream) {
            $0.append(stream.id)
            $0.append(stream.number &+ ahead)
            $0.append(offset)
            $0.append(Self.bytes(count, &dice))
        }
        guard ahead == 0 else { return }
        self.streams[index].number &+= 1
        self.streams[index].offset &+= UInt32(count)
    }

    private func writePart(_ frames: inout FrameBytes, _ dice: inout SeededGenerator) {
        guard let index = self.stream(&dice) else { return self.openStream(&frames, &dice) }
        let stream = self.streams[index]
        let length = UInt16(1 + dice.below(16_384))
        let chunk = dice.below(UInt64(length) / 256 + 1)
        let rest = UInt64(length) - chunk * 256
        let count = dice.chance(7, in: 8) ? min(rest, 1_024) : 1 + dice.below(1_024)
        let ahead = UInt32(dice.below(3) * dice.below(64))
        frames.append(frame: WireFrame.streamPart) {
            $0.append(stream.id)
            $0.append(stream.number &+ ahead)
            $0.append(stream.offset &+ ahead &* 256)
            $0.append(length)
            $0.append(UInt8(truncatingIfNeeded: chunk))
            $0.append(Self.bytes(Int(count), &dice))
        }
    }

    func writeWindow(_ frames: inout FrameBytes, _ dice: inout SeededGenerator) {
        guard let index = self.stream(&dice) else { return self.openStream(&frames, &dice) }
        self.credit += 65_536
        let isSound = dice.chance(7, in: 8)
        let limit = isSound ? self.credit : dice.next() >> dice.below(64)
        frames.append(frame: WireFrame.window) {
            $0.append(self.streams[index].id)
            $0.append(limit)
        }
    }

    // MARK: - Flows

    private func writeDatagram(_ frames: inout FrameBytes, _ dice: inout SeededGenerator) {
        guard let index = self.flow(&dice) else { return self.openFlow(&frames, &dice) }
        let count = Int(dice.below(1 << (1 + dice.below(10))))
        frames.append(frame: WireFrame.datagram) {
            $0.append(self.flows[index].id)
            $0.append(self.flows[index].number)
            // Of a compressed flow, the kind.
            if count > 0 { $0.append(UInt8(dice.below(2))) }
            $0.append(Self.bytes(max(0, count - 1), &dice))
        }
        self.flows[index].number &+= dice.chance(15, in: 16) ? 1 : UInt32(dice.below(2_000))
    }

    /// Zeros, deflated as far as they go.
    private func writeBomb(_ frames: inout FrameBytes, _ dice: inout SeededGenerator) {
        let isDatagram = dice.chance(1, in: 2)
        let bomb = DeflateBomb.bytes(of: 1 << (8 + Int(dice.below(9))), isFinal: isDatagram)
        if isDatagram, let index = self.flow(&dice) {
            frames.append(frame: WireFrame.datagram) {
                $0.append(self.flows[index].id)
                $0.append(self.flows[index].number)
                $0.append(UInt8(1))
                $0.append(bomb)
            }
            self.flows[index].number &+= 1
        } else if !isDatagram, let index = self.stream(&dice) {
            frames.append(frame: WireFrame.stream) {
                $0.append(self.streams[index].id)
                $0.append(self.streams[index].number)
                $0.append(self.streams[index].offset)
                $0.append(UInt8(1))
                $0.append(UInt16(bomb.count))
                $0.append(bomb)
            }
            self.streams[index].number &+= 1
            self.streams[index].offset &+= UInt32(bomb.count + 3)
        } else {
            self.openFlow(&frames, &dice)
        }
    }

    private func writeFragments(
        areSound: Bool,
        _ frames: inout FrameBytes,
        _ dice: inout SeededGenerator
    ) {
        guard let index = self.flow(&dice) else { return self.openFlow(&frames, &dice) }
        let flow = self.flows[index]
        let size = UInt16(1 + dice.below(300))
        let count = UInt16(2 + dice.below(3))
        let total = size * count
        // Some are left out, so that places fill.
        for piece in 0..<count where dice.chance(15, in: 16) {
            var offset = piece * size
            if !areSound {
                offset = dice.chance(1, in: 2) ? 0 : UInt16(dice.below(UInt64(total)))
            }
            frames.append(frame: WireFrame.fragment) {
                $0.append(flow.id)
                $0.append(flow.number)
                $0.append(UInt8(piece))
                $0.append(UInt8(count))
                $0.append(offset)
                $0.append(total)
                $0.append(Self.bytes(Int(size), &dice))
            }
        }
        self.flows[index].number &+= 1
    }

    // MARK: - Redundancy

    private func writeCopies(_ frames: inout FrameBytes, _ dice: inout SeededGenerator) {
        guard let index = self.flow(&dice) else { return self.openFlow(&frames, &dice) }
        let flow = self.flows[index]
        frames.append(frame: WireFrame.copies) {
            $0.append(flow.id)
            $0.append(flow.number)
            for _ in 0..<(1 + dice.below(12)) {
                let count = Int(dice.below(80))
                $0.append(UInt8(truncatingIfNeeded: dice.next()))
                $0.append(UInt16(count))
                $0.append(Self.bytes(count, &dice))
            }
        }
    }

    /// Repairs that never come to be solved: each covers what nobody sends.
    private func writeRepairs(_ frames: inout FrameBytes, _ dice: inout SeededGenerator) {
        guard let index = self.flow(&dice) else { return self.openFlow(&frames, &dice) }
        for _ in 0..<(1 + dice.below(40)) {
            let count = Int(1 + dice.below(24))
            guard frames.bytes.count + count < 1_300 else { break }
            let last = self.flows[index].number
            let first = self.flows[index].firstRepair ?? last
            self.flows[index].firstRepair = first
            // A window may not reach back to the first repair.
            let reach = UInt64(min(max(last &- first, 1), 128))
            frames.append(frame: WireFrame.repair) {
                $0.append(self.flows[index].id)
                $0.append(last)
                let window = dice.chance(3, in: 4) ? reach : 1 + dice.below(reach)
                $0.append(UInt8(dice.chance(1, in: 64) ? dice.below(256) : window))
                $0.append(UInt16(truncatingIfNeeded: dice.next()))
                for _ in 0..<count { $0.append(UInt8(truncatingIfNeeded: dice.next())) }
            }
            self.flows[index].number &+= UInt32(dice.below(3))
        }
    }

    // MARK: - The rest

    private func writePath(_ frames: inout FrameBytes, _ dice: inout SeededGenerator) {
        frames.append(frame: WireFrame.path) {
            // Challenges of its own, answers nobody asked for, and things that do not exist.
            $0.append(UInt8(dice.below(3)))
            $0.append(UInt8(dice.below(2)))
            $0.append(self.tokens.last?.token ?? dice.next())
        }
    }

    private func writeNonsense(
        _ move: Move,
        _ frames: inout FrameBytes,
        _ dice: inout SeededGenerator
    ) {
        let type = move == .unknown ? UInt8(19 + dice.below(230)) : UInt8(1 + dice.below(18))
        // Goodbyes have their own time.
        guard type != WireFrame.closeSession else { return }
        frames.append(frame: type) {
            for _ in 0..<dice.below(64) { $0.append(UInt8(truncatingIfNeeded: dice.next())) }
        }
        guard move == .malformed, dice.chance(1, in: 2) else { return }
        // A frame cut short: everything behind it is lost as well.
        frames.append(UInt8(WireFrame.stream))
        frames.append(UInt16(60_000))
    }
}
