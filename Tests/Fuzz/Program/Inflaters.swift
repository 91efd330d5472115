import Compression

/// Compressed streams in pieces, and compressed datagrams.
func fuzzInflaters(_ input: inout Input) {
    let output = UnsafeMutableRawBufferPointer.allocate(byteCount: 65_536, alignment: 16)
    defer { output.deallocate() }
    guard input.byte() & 1 == 0 else {
        let packed = input.everything()
        let compressor = DatagramCompressor()
        let count = packed.withUnsafeBytes { compressor.decompressDatagram($0, into: output) }
        guard let count else { return }
        Oracle.hold(count <= output.count, "a datagram is longer than its buffer")
        Oracle.isWritten(UnsafeRawBufferPointer(rebasing: output[..<count]), "a datagram")
        return
    }
    let reader = CompressedStreamReader()
    while !input.isEmpty {
        let room = 1 + input.below(255) * 64
        var piece = input.bytes(1 + input.below(255))[...]
        while !piece.isEmpty {
            let target = UnsafeMutableRawBufferPointer(rebasing: output[..<room])
            let result = piece.withUnsafeBytes { reader.read($0, into: target) }
            Oracle.hold(result.produced <= room, "more came out than there is room for")
            Oracle.hold(result.consumed <= piece.count, "more was read than there is")
            Oracle.isWritten(
                UnsafeRawBufferPointer(rebasing: target[..<result.produced]),
                "a stream"
            )
            guard !result.isCorrupt else { return }
            Oracle.hold(result.consumed + result.produced > 0, "the reader stands still")
            piece = piece.dropFirst(result.consumed)
        }
    }
}
