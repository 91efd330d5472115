import Erasure
import Primitives

/// Repairs and copies from a peer who computes them as it likes.
///
/// Besides memory, the work for each frame is bounded: a core must not be had for a few bytes.
func fuzzDecoders(_ input: inout Input) {
    let begin = Oracle.work
    let decoder = SlidingWindowDecoder(from: 1, maximumMessageByteCount: 256, hasBudget: true)
    var number: UInt32 = 1
    var messages = 0
    while !input.isEmpty, messages < 2048 {
        switch input.below(6) {
        case 0, 1:
            number = number &+ UInt32(input.byte() & 7)
            let message = input.bytes(input.below(64))
            message.withUnsafeBytes { decoder.received(number, $0) }
            messages += 1
        case 2:
            let repair = input.bytes(input.below(64))
            _ = repair.withUnsafeBytes { decoder.received(repair: $0) }
            messages += 1
        case 3, 4:
            // A train of tiny repairs whose windows walk on.
            let step = UInt32(input.byte() & 31)
            let window = max(1, input.byte() & 127)
            var key = UInt16(truncatingIfNeeded: input.number(2))
            let tail = input.bytes(9)
            for _ in 0...input.below(128) {
                number = number &+ step
                key = key &* 25_173 &+ 13_849
                let repair =
                    (0..<4).map { UInt8(truncatingIfNeeded: number >> ($0 * 8)) }
                    + [window, UInt8(truncatingIfNeeded: key), UInt8(key >> 8)] + tail
                _ = repair.withUnsafeBytes { decoder.received(repair: $0) }
                messages += 1
            }
        default:
            let copies = input.bytes(input.below(200))
            copies.withUnsafeBytes { bytes in
                var reader = CopyReader(bytes)
                while let (number, message) = reader.next() {
                    decoder.received(number, message)
                    messages += 1
                }
            }
        }
        while let (_, message) = decoder.nextRecovered() {
            Oracle.isWritten(message, "a recovered message")
        }
    }
    let spent = Oracle.work - begin
    Oracle.hold(
        spent <= 600_000 + UInt64(messages) * 9000,
        "\(messages) messages cost \(spent) units of work"
    )
}
