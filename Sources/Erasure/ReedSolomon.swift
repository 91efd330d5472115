/// A systematic Reed-Solomon block code: any `dataCount` of all shards give the data back.
///
/// The parity rows are a Cauchy matrix, `1 / (x + y)` over `x = dataCount + row` and `y = column`,
/// every square part of which can be inverted. Kept for comparison: at game rates a block's parity
/// comes too late, and a burst longer than `parityCount` takes the whole block.
///
/// An instance has scratch memory of its own and serves one thread; no call allocates.
public final class ReedSolomon {
    /// The memory of one shard, owned by the caller; all shards of a block have one length.
    public typealias Shard = UnsafeMutablePointer<UInt8>

    /// Shards that hold the block's data, first in the block.
    public let dataCount: Int
    /// Shards that may be lost, last in the block.
    public let parityCount: Int
    private let galois: Galois
    /// `parityCount` rows of `dataCount` factors.
    private let rows: UnsafeMutablePointer<UInt8>
    /// The factors of a decode: one row for each missing shard.
    private let factors: UnsafeMutablePointer<UInt8>
    /// The system of the missing shards, and its inverse beside it.
    private let system: UnsafeMutablePointer<UInt8>
    private let sources: UnsafeMutablePointer<UnsafePointer<UInt8>?>
    private let targets: UnsafeMutablePointer<UnsafeMutablePointer<UInt8>?>
    private let missing: UnsafeMutablePointer<Int>
    private let repairs: UnsafeMutablePointer<Int>

    /// At least one shard of each kind, at most 256 together.
    public init(dataCount: Int, parityCount: Int, galois: Galois = .best) {
        precondition(dataCount > 0 && parityCount > 0 && dataCount + parityCount <= 256)
        self.dataCount = dataCount
        self.parityCount = parityCount
        self.galois = galois
        self.rows = .allocate(capacity: dataCount * parityCount)
        self.factors = .allocate(capacity: dataCount * parityCount)
        self.system = .allocate(capacity: 2 * parityCount * parityCount)
        self.sources = .allocate(capacity: dataCount)
        self.targets = .allocate(capacity: parityCount)
        self.missing = .allocate(capacity: parityCount)
        self.repairs = .allocate(capacity: parityCount)
        for row in 0..<parityCount {
            for column in 0..<dataCount {
                let difference = UInt8(dataCount + row) ^ UInt8(column)  // bound: 256 shards
                self.rows[row * dataCount + column] = Galois.inverse(difference)
            }
        }
    }

    deinit {
        self.rows.deallocate()
        self.factors.deallocate()
        self.system.deallocate()
        self.sources.deallocate()
        self.targets.deallocate()
        self.missing.deallocate()
        self.repairs.deallocate()
    }

    /// Computes the parity shards, the last `parityCount` of `shards`, from the data shards.
    public func encode(_ shards: UnsafeBufferPointer<Shard>, byteCount: Int) {
        precondition(shards.count == self.dataCount + self.parityCount)
        for index in 0..<self.dataCount { self.sources[index] = UnsafePointer(shards[index]) }
        for index in 0..<self.parityCount {
            self.targets[index] = shards[self.dataCount + index]
        }
        self.galois.combine(
            UnsafeBufferPointer(start: self.sources, count: self.dataCount),
            factors: self.rows,
            into: UnsafeBufferPointer(start: self.targets, count: self.parityCount),
            count: byteCount
        )
    }

    /// Computes every data shard that `isPresent` says is missing; false if too many are.
    ///
    /// Missing parity is not recomputed. Subtracting the known shards leaves a system as small as
    /// the loss, which costs a fraction of inverting the code's whole matrix.
    public func decode(
        _ shards: UnsafeBufferPointer<Shard>,
        isPresent: UnsafeBufferPointer<Bool>,
        byteCount: Int
    ) -> Bool {
        precondition(shards.count == self.dataCount + self.parityCount)
        precondition(isPresent.count == shards.count)
        var losses = 0
        for index in 0..<self.dataCount where !isPresent[index] {
            guard losses < self.parityCount else { return false }
            self.missing[losses] = index
            losses += 1
        }
        guard losses > 0 else { return true }
        var found = 0
        for index in 0..<self.parityCount where found < losses {
            guard isPresent[self.dataCount + index] else { continue }
            self.repairs[found] = index
            found += 1
        }
        guard found == losses else { return false }
        self.invert(losses)
        self.fold(losses, shards: shards)
        self.galois.combine(
            UnsafeBufferPointer(start: self.sources, count: self.dataCount),
            factors: self.factors,
            into: UnsafeBufferPointer(start: self.targets, count: losses),
            count: byteCount
        )
        return true
    }

    /// Leaves the inverse of the `size` × `size` system of the missing shards in the right half.
    private func invert(_ size: Int) {
        let width = 2 * size
        for row in 0..<size {
            let line = self.system + row * width
            for column in 0..<size {
                line[column] = self.rows[self.repairs[row] * self.dataCount + self.missing[column]]
                line[size + column] = row == column ? 1 : 0
            }
        }
        for pivot in 0..<size {
            // A part of a Cauchy matrix never runs out of pivots, and its leading minors are such
            // parts themselves: no row has to be exchanged.
            let line = self.system + pivot * width
            precondition(line[pivot] != 0, "no part of a Cauchy matrix")
            let scale = Galois.inverse(line[pivot])
            for column in 0..<width { line[column] = Galois.multiply(line[column], scale) }
            for row in 0..<size where row != pivot {
                let other = self.system + row * width
                let factor = other[pivot]
                guard factor != 0 else { continue }
                for column in 0..<width {
                    other[column] ^= Galois.multiply(factor, line[column])
                }
            }
        }
    }

    /// Multiplies the inverse with the rows of the code, so that one pass over the shards does all.
    ///
    /// The sources are the known data shards in order, with the used parity in the missing places.
    private func fold(_ losses: Int, shards: UnsafeBufferPointer<Shard>) {
        for index in 0..<self.dataCount { self.sources[index] = UnsafePointer(shards[index]) }
        for row in 0..<losses {
            let inverse = self.system + row * 2 * losses + losses
            let line = self.factors + row * self.dataCount
            for column in 0..<self.dataCount {
                var sum: UInt8 = 0
                for term in 0..<losses {
                    let factor = self.rows[self.repairs[term] * self.dataCount + column]
                    sum ^= Galois.multiply(inverse[term], factor)
                }
                line[column] = sum
            }
            for term in 0..<losses { line[self.missing[term]] = inverse[term] }
            self.targets[row] = shards[self.missing[row]]
        }
        for term in 0..<losses {
            let parity = shards[self.dataCount + self.repairs[term]]
            self.sources[self.missing[term]] = UnsafePointer(parity)
        }
    }
}
