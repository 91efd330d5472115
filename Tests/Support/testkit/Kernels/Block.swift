import Erasure
import Glibc

struct BlockShape {
    let dataCount: Int
    let parityCount: Int
    let byteCount: Int
}

/// Sixteen groups of shards that take turns, so that they come from the second-level cache as
/// packets do.
final class Block {
    private static let groupCount = 16
    private let shape: BlockShape
    private let shards: [UnsafeMutablePointer<UInt8>]
    private let memory: UnsafeMutableRawPointer

    init(_ shape: BlockShape) {
        self.shape = shape
        let total = (shape.dataCount + shape.parityCount) * Self.groupCount
        self.memory = .allocate(byteCount: total * shape.byteCount, alignment: 64)
        let bytes = self.memory.bindMemory(to: UInt8.self, capacity: total * shape.byteCount)
        for index in 0..<total * shape.byteCount {
            bytes[index] = UInt8(truncatingIfNeeded: index &* 2_654_435_761 >> 7)
        }
        self.shards = (0..<total).map { bytes + $0 * shape.byteCount }
    }

    deinit { self.memory.deallocate() }

    /// Nanoseconds of one call, best of 15 runs of so many calls.
    static func best(calls: Int = 4000, _ body: (Int) -> Void) -> Double {
        var best = Double.infinity
        for _ in 0..<15 {
            let start = Self.processorTime()
            for turn in 0..<calls { body(turn) }
            best = min(best, (Self.processorTime() - start) / Double(calls))
        }
        return best
    }

    private static func processorTime() -> Double {
        var time = timespec()
        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time)
        return Double(time.tv_sec) * 1e9 + Double(time.tv_nsec)
    }

    private var groupSize: Int { self.shape.dataCount + self.shape.parityCount }

    func encodeTime(_ galois: Galois) -> Double {
        let code = ReedSolomon(
            dataCount: self.shape.dataCount,
            parityCount: self.shape.parityCount,
            galois: galois
        )
        return self.shards.withUnsafeBufferPointer { shards in
            Self.best { turn in
                code.encode(self.group(turn, shards), byteCount: self.shape.byteCount)
            }
        }
    }

    func encodeTime(_ library: ReferenceLibrary) -> Double {
        let tables = library.tables(self.shape)
        defer { tables.deallocate() }
        return self.shards.withUnsafeBufferPointer { shards in
            Self.best { turn in
                let group = self.group(turn, shards)
                library.encode(self.shape, tables: tables, shards: group)
            }
        }
    }

    func decodeTime(_ galois: Galois, losses: Int) -> Double {
        let code = ReedSolomon(
            dataCount: self.shape.dataCount,
            parityCount: self.shape.parityCount,
            galois: galois
        )
        let isPresent = (0..<self.groupSize).map { $0 % 3 != 1 || $0 > 3 * losses }
        return self.shards.withUnsafeBufferPointer { shards in
            isPresent.withUnsafeBufferPointer { isPresent in
                Self.best { turn in
                    let group = self.group(turn, shards)
                    let isDecoded = code.decode(
                        group,
                        isPresent: isPresent,
                        byteCount: self.shape.byteCount
                    )
                    precondition(isDecoded)
                }
            }
        }
    }

    func repairTime(window: Int) -> Double {
        let size = self.shape.byteCount - 2
        let encoder = SlidingWindowEncoder(maximumMessageByteCount: size)
        for number in 0..<UInt32(window) {
            encoder.sent(number, UnsafeRawBufferPointer(start: self.memory, count: size))
        }
        let target = UnsafeMutableRawBufferPointer.allocate(
            byteCount: encoder.repairByteCount(window: window),
            alignment: 64
        )
        defer { target.deallocate() }
        return Self.best { _ in
            let count = encoder.repair(window: window, into: target)
            precondition(count == target.count)
        }
    }

    /// Nanoseconds a message costs both ends together, one in 32 lost and repaired.
    func slidingWindowTime() -> Double {
        let size = self.shape.byteCount - 2
        let encoder = SlidingWindowEncoder(maximumMessageByteCount: size)
        let decoder = SlidingWindowDecoder(from: 0, maximumMessageByteCount: size)
        let message = UnsafeRawBufferPointer(start: self.memory, count: size)
        let repair = UnsafeMutableRawBufferPointer.allocate(byteCount: size + 9, alignment: 64)
        defer { repair.deallocate() }
        var number: UInt32 = 0
        return Self.best { _ in
            encoder.sent(number, message)
            if number % 32 != 7 { decoder.received(number, message) }
            if number % 32 == 31, let count = encoder.repair(window: 32, into: repair) {
                _ = decoder.received(repair: UnsafeRawBufferPointer(rebasing: repair[..<count]))
                let recovered = decoder.nextRecovered()
                precondition(recovered?.number == number - 24)
            }
            number &+= 1
        }
    }

    private func group(
        _ turn: Int,
        _ shards: UnsafeBufferPointer<UnsafeMutablePointer<UInt8>>
    ) -> UnsafeBufferPointer<UnsafeMutablePointer<UInt8>> {
        let first = turn % Self.groupCount * self.groupSize
        return UnsafeBufferPointer(rebasing: shards[first..<first + self.groupSize])
    }
}
