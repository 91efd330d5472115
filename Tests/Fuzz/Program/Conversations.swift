import KCP
import Primitives

/// Both kinds of conversation, at a peer that numbers and acknowledges as it likes.
func fuzzConversations(_ input: inout Input) {
    switch input.below(3) {
    case 0: fuzzHostedReceiver(&input)
    case 1: fuzzHostedSender(&input)
    default: fuzzStandalone(&input)
    }
}

private func fuzzHostedReceiver(_ input: inout Input) {
    let begin = Oracle.heap
    var receiver = HostedReceiver(window: 65_536, limit: 1 << 20)
    var now = Instant(nanoseconds: 1_000_000_000)
    var received = 0
    while !input.isEmpty {
        switch input.below(5) {
        case 0, 1:
            let number = UInt32(truncatingIfNeeded: input.number(2))
            let offset = UInt32(truncatingIfNeeded: input.number(2))
            let bytes = [UInt8](repeating: input.byte() & 0x7F, count: input.below(256) * 5)
            let mayGrow = input.byte() & 3 != 0
            let before = receiver.memoryByteCount
            _ = bytes.withUnsafeBytes {
                receiver.receive(
                    number: number,
                    offset: offset,
                    $0,
                    allowance: mayGrow ? .unbounded : .none
                )
            }
            // What is reserved for every stream always finds room.
            let reserved = MemoryAllowance.smallByteCount
            Oracle.hold(
                mayGrow || receiver.memoryByteCount <= max(before, reserved),
                "memory grows that may not"
            )
            received += bytes.count + 15
        case 2:
            let number = receiver.unacknowledged &+ UInt32(input.byte())
            let bytes = input.bytes(input.below(64)).map { $0 & 0x7F }
            _ = bytes.withUnsafeBytes {
                receiver.receivePart(
                    number: number,
                    offset: UInt32(truncatingIfNeeded: input.number(2)),
                    segmentByteCount: Int(input.number(2)),
                    firstChunk: input.below(80),
                    $0
                )
            }
            received += bytes.count + 18
        case 3: _ = receiver.finish(at: receiver.unacknowledged &+ UInt32(input.byte()))
        default:
            now = now + .init(nanoseconds: input.nanoseconds())
            let region = receiver.readableRegion()
            Oracle.isWritten(region, "a stream")
            receiver.consumed(min(region.count, Int(input.byte()) * 16))
            _ = receiver.creditUpdate(roundTrip: .milliseconds(40), growth: 65_536, at: now)
        }
        // The ring, twice while it grows, and a record for what came.
        let allowed = 3 * receiver.memoryByteCount + 131_072 + 64 * received
        let held = Oracle.heap - begin
        Oracle.hold(held <= allowed, "\(received) bytes of segments make \(held) bytes be held")
    }
}

private func fuzzHostedSender(_ input: inout Input) {
    var sender = HostedSender(capacity: 65_536, credit: 65_536)
    let scratch = UnsafeMutableRawPointer.allocate(byteCount: 65_536, alignment: 16)
    defer { scratch.deallocate() }
    while !input.isEmpty {
        switch input.below(6) {
        case 0:
            let bytes = [UInt8](repeating: 7, count: Int(input.byte()) * 40)
            _ = bytes.withUnsafeBytes { sender.write($0) }
        case 1:
            guard let segment = sender.cutSegment(room: 1 + Int(input.byte()) * 8) else { break }
            sender.copy(segment, to: scratch)
            Oracle.isWritten(
                UnsafeRawBufferPointer(start: scratch, count: segment.byteCount),
                "a segment"
            )
        case 2:
            let part = SegmentPart(first: input.below(64), count: 1 + input.below(4))
            let number = UInt32(truncatingIfNeeded: sender.segmentCount) &- UInt32(input.byte())
            _ = sender.acknowledge(number, part: input.byte() & 1 == 0 ? .whole : part)
        case 3:
            let number = UInt32(truncatingIfNeeded: sender.segmentCount) &- UInt32(input.byte())
            _ = sender.lose(number)
        case 4:
            let room = 300 + Int(input.byte()) * 4
            guard let segment = sender.takeLost(room: room, largest: room, partRoom: room) else {
                break
            }
            sender.copy(segment, to: scratch)
        default: sender.raiseCredit(to: input.number(input.below(9)))
        }
        Oracle.hold(sender.heldByteCount >= 0, "fewer than no bytes are held")
    }
}

private func fuzzStandalone(_ input: inout Input) {
    let begin = Oracle.heap
    var settings = StandaloneSettings(conversation: 1)
    if input.byte() & 1 == 1 { settings.useFastMode() }
    settings.isStream = input.byte() & 1 == 1
    let conversation = StandaloneConversation(settings)
    let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 65_536, alignment: 16)
    defer { buffer.deallocate() }
    var now = Instant(nanoseconds: 1_000_000_000)
    while !input.isEmpty {
        switch input.below(4) {
        case 0: now = now + .init(nanoseconds: input.nanoseconds())
        case 1:
            let bytes = [UInt8](repeating: 7, count: Int(input.byte()) * 8)
            _ = bytes.withUnsafeBytes { conversation.send($0) }
        default:
            let datagram = [1, 0, 0, 0] + input.bytes(input.below(96))
            _ = datagram.withUnsafeBytes { conversation.input($0, at: now) }
        }
        conversation.update(at: now)
        while conversation.nextDatagram(into: buffer, at: now) != nil {}
        while let count = conversation.receive(into: buffer), count > 0 {
            Oracle.isWritten(UnsafeRawBufferPointer(rebasing: buffer[..<count]), "a message")
        }
        let held = Oracle.heap - begin
        Oracle.hold(held < 8 << 20, "a conversation holds \(held) bytes")
    }
}
