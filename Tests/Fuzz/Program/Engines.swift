import Primitives

@testable import Session

/// Frames of an authorised peer's own making, both ways; the client stays where it is.
func fuzzEngines(_ input: inout Input) { play(&input, moves: false) }

/// The same from addresses of others as well.
func fuzzMoves(_ input: inout Input) { play(&input, moves: true) }

/// Datagrams in pieces that need not fit together.
func fuzzReassembly(_ input: inout Input) {
    let duel = Duel()
    duel.begin()
    var number: UInt64 = 100
    while !input.isEmpty {
        let choice = input.byte()
        if choice & 15 == 15 { duel.pass(.init(nanoseconds: input.nanoseconds())) }
        number = choice & 16 == 0 ? number + 1 : 100 + UInt64(input.below(40))
        let count = 2 + input.below(4)
        let total = 2 + Int(input.number(2)) % 1200
        // As they should be, but for what the input changes about each.
        for place in 0..<count {
            let change = input.byte()
            var start = total * place / count
            var end = total * (place + 1) / count
            if change & 1 == 1 { start = Int(input.number(2)) % 1200 }
            if change & 2 == 2 { end = Int(input.number(2)) % 1200 }
            let index = change & 4 == 0 ? place : input.below(count)
            let header =
                little(UInt64(choice >> 5 & 1)) + little(number) + [UInt8(index), UInt8(count)]
                + little(UInt64(start), 2) + little(UInt64(total), 2)
            let bytes = [UInt8](repeating: 0x40, count: max(0, end - start))
            duel.forge(fromClient: true, [(FrameType.fragment, header + bytes)])
        }
    }
}

/// Handshake packets and anything else that comes in before there are keys, at both ends.
func fuzzPackets(_ input: inout Input) {
    let duel = Duel(captures: true)
    let prelude = input.byte()
    if prelude & 1 == 1 { duel.begin() }
    if prelude & 2 == 2 { duel.pass(milliseconds: 1) }
    while !input.isEmpty {
        let choice = input.byte()
        if choice & 7 == 0 { duel.pass(.init(nanoseconds: input.nanoseconds())) }
        duel.source = choice & 8 == 0 ? Duel.home : SocketAddress(ipv4: 0xC000_0301, port: 7)
        duel.isMute = (choice & 64 == 64, choice & 128 == 128)
        guard choice & 2 == 2, !duel.captured.isEmpty else {
            // Most lengths that matter are exact, and padding is what a handshake has most of.
            var packet = input.bytes(input.below(200))
            if choice & 16 == 16 {
                packet += [UInt8](repeating: 0, count: max(0, 1200 - packet.count))
            }
            duel.inject(packet, toServer: choice & 32 == 0)
            continue
        }
        // A recording, as it is or changed in a few places, to either end.
        var (fromClient, packet) = duel.captured[input.below(duel.captured.count)]
        for _ in 0..<input.below(4) where !packet.isEmpty {
            packet[Int(input.number(2)) % packet.count] ^= input.byte()
        }
        if choice & 16 == 16 { packet.removeLast(Int(input.number(2)) % (packet.count + 1)) }
        duel.inject(packet, toServer: fromClient != (choice & 32 == 0))
    }
}

private func play(_ input: inout Input, moves: Bool) {
    let duel = Duel()
    duel.begin()
    var steps = 0
    while !input.isEmpty, steps < 512 {
        steps += 1
        let fromClient = input.byte() & 3 != 0
        switch input.below(12) {
        case 0, 1: duel.pass(.init(nanoseconds: input.nanoseconds()))
        case 2: duel.openStream()
        case 3: duel.openFlow()
        case 4: duel.write(Int(input.byte()) * 32, toStream: input.below(8))
        case 5: duel.send(Int(input.byte()) * 32, onFlow: input.below(8))
        case 6:
            let choice = input.byte()
            duel.isMute = (choice & 1 == 1, choice & 2 == 2)
        case 7 where moves:
            let choice = UInt32(input.byte() & 3)
            duel.source =
                choice == 0 ? Duel.home : SocketAddress(ipv4: 0xC000_0300 + choice, port: 7)
        case 7, 8:
            let next = duel.nextNumber(ofClient: !fromClient)
            let last = next - min(next, UInt64(1 + input.below(8)))
            let body = ack(last, delay: input.nanoseconds() / 1000, length: UInt64(input.byte()))
            duel.forge(fromClient: fromClient, [(FrameType.ack, body)])
        default:
            var frames: [(UInt8, [UInt8])] = []
            for _ in 0...input.below(4) { frames.append(frame(&input, duel)) }
            duel.forge(fromClient: fromClient, frames)
        }
    }
}

private func little(_ value: UInt64, _ count: Int = 4) -> [UInt8] {
    (0..<count).map { UInt8(truncatingIfNeeded: value >> UInt64($0 * 8)) }
}

/// Bytes of a peer: not those that the memory is filled with.
private func payload(_ input: inout Input) -> [UInt8] {
    let count = Int(input.byte()) * 5
    return (0..<count).map { UInt8($0 % 97) }
}

private func frame(_ input: inout Input, _ duel: Duel) -> (UInt8, [UInt8]) {
    let id = UInt64(input.below(12))
    switch input.below(9) {
    case 0: return fragment(&input)
    case 1:
        return (
            FrameType.stream,
            little(id) + little(input.number(2)) + little(input.number(2)) + payload(&input)
        )
    case 2:
        let header = little(input.number(1)) + [input.byte(), input.byte(), 0]
        return (FrameType.repair, little(id) + header + payload(&input))
    case 3: return (FrameType.window, little(id) + little(input.number(input.below(9)), 8))
    case 4: return (FrameType.datagram, little(id) + little(input.number(1)) + payload(&input))
    case 5:
        let place = little(id) + little(input.number(1)) + little(input.number(2))
        let part = little(input.number(2), 2) + [input.byte()]
        return (FrameType.streamPart, place + part + payload(&input))
    case 6:
        // A quarter of a public key, or of a ciphertext.
        let isOffer = input.byte() & 1 == 0
        let part = little(duel.ratchetHandshake) + [input.byte() & 7]
        let count = isOffer ? Ratchet.offerByteCount : Ratchet.answerByteCount
        let bytes = [UInt8](repeating: input.byte() & 63, count: count / Ratchet.partCount)
        return (isOffer ? FrameType.ratchetOffer : FrameType.ratchetAnswer, part + bytes)
    default: return (input.byte() % 22, input.bytes(input.below(64)))
    }
}

private func fragment(_ input: inout Input) -> (UInt8, [UInt8]) {
    let place = little(UInt64(input.below(4))) + little(UInt64(input.byte()))
    let index = [input.byte() & 7, 1 + (input.byte() & 7)]
    let offset = little(input.number(2) % 4096, 2)
    let total = little(input.number(2) % 4096, 2)
    return (FrameType.fragment, place + index + offset + total + payload(&input))
}
