import Primitives

@testable import Compression

/// Sample data with known character.
enum Sample {
    static func text(_ count: Int, seed: UInt64) -> [UInt8] {
        let words = [
            "level", "player", "joined", "x=", "y=", "health", "\n", "chat", "0.5", "tick",
        ]
        var generator = SeededGenerator(seed: seed)
        var bytes: [UInt8] = []
        while bytes.count < count {
            bytes += words[Int(generator.below(UInt64(words.count)))].utf8
            bytes.append(32)
        }
        return Array(bytes[..<count])
    }

    static func noise(_ count: Int, seed: UInt64) -> [UInt8] {
        var generator = SeededGenerator(seed: seed)
        return (0..<count).map { _ in UInt8(truncatingIfNeeded: generator.next()) }
    }
}

extension CompressedStreamWriter {
    /// Frames all of `input`, offered in one piece, through rooms of `room` bytes.
    func frame(_ input: [UInt8], flush: Bool = true, room: Int = 4096) -> [UInt8] {
        var output: [UInt8] = []
        var scratch = [UInt8](repeating: 0, count: room)
        var taken = 0
        while true {
            let step = input[taken...].withUnsafeBytes { source in
                scratch.withUnsafeMutableBytes { self.write(source, into: $0, flush: flush) }
            }
            taken += step.consumed
            output += scratch[..<step.produced]
            if step.consumed == 0 && step.produced == 0 { break }
        }
        precondition(taken == input.count)
        return output
    }
}

extension CompressedStreamReader {
    /// Decodes all of `input` through rooms of `room` bytes; stops when corrupt.
    func decode(_ input: [UInt8], room: Int = 4096, limit: Int = .max) -> [UInt8] {
        var output: [UInt8] = []
        var scratch = [UInt8](repeating: 0, count: room)
        var taken = 0
        while output.count < limit {
            let step = input[taken...].withUnsafeBytes { source in
                scratch.withUnsafeMutableBytes { self.read(source, into: $0) }
            }
            taken += step.consumed
            output += scratch[..<step.produced]
            if step.consumed == 0 && step.produced == 0 { break }
        }
        return output
    }
}
