import Primitives

/// GF(2^8) modulo 0x11d as a textbook has it, sharing nothing with the kernels.
enum ReferenceField {
    static func multiply(_ a: UInt8, _ b: UInt8) -> UInt8 {
        var product: UInt16 = 0
        for bit in 0..<8 where (b >> UInt8(bit)) & 1 == 1 { product ^= UInt16(a) << UInt16(bit) }
        for bit in stride(from: 14, through: 8, by: -1) where (product >> UInt16(bit)) & 1 == 1 {
            product ^= 0x11D << UInt16(bit - 8)
        }
        return UInt8(product)
    }

    static let table: [[UInt8]] = (0...255).map { a in
        (0...255).map { b in Self.multiply(UInt8(a), UInt8(b)) }
    }

    static func inverse(_ a: UInt8) -> UInt8 {
        UInt8((1...255).first { Self.table[Int(a)][$0] == 1 } ?? 0)
    }

    static func combine(_ factors: [UInt8], _ sources: [[UInt8]], count: Int) -> [UInt8] {
        var sum = [UInt8](repeating: 0, count: count)
        for (factor, source) in zip(factors, sources) {
            let row = Self.table[Int(factor)]
            for index in 0..<min(count, source.count) { sum[index] ^= row[Int(source[index])] }
        }
        return sum
    }

    /// One equation: factors of the unknowns, and what they add up to.
    struct Equation {
        var factors: [UInt8]
        var sum: [UInt8]

        /// Takes away `factor` times another one.
        mutating func subtract(_ other: Self, times factor: UInt8) {
            let row = ReferenceField.table[Int(factor)]
            self.factors = zip(self.factors, other.factors).map { $0 ^ row[Int($1)] }
            self.sum = zip(self.sum, other.sum).map { $0 ^ row[Int($1)] }
        }
    }

    /// Which unknowns the equations determine, by Gauss and Jordan over the whole system.
    static func solve(_ equations: [Equation]) -> [Int: [UInt8]] {
        var rows = equations
        var rank = 0
        for column in 0..<(rows.first?.factors.count ?? 0) {
            guard let pivot = (rank..<rows.count).first(where: { rows[$0].factors[column] != 0 })
            else { continue }
            rows.swapAt(rank, pivot)
            rows[rank].subtract(rows[rank], times: Self.inverse(rows[rank].factors[column]) ^ 1)
            let line = rows[rank]
            for other in rows.indices where other != rank && rows[other].factors[column] != 0 {
                rows[other].subtract(line, times: rows[other].factors[column])
            }
            rank += 1
            if rank == rows.count { break }
        }
        var solved: [Int: [UInt8]] = [:]
        for row in rows[..<rank] {
            let unknowns = row.factors.indices.filter { row.factors[$0] != 0 }
            if unknowns.count == 1 { solved[unknowns[0]] = row.sum }
        }
        return solved
    }
}

extension SeededGenerator {
    mutating func bytes(_ count: Int) -> [UInt8] {
        (0..<count).map { _ in UInt8(truncatingIfNeeded: self.next()) }
    }

    /// A message that says which one it is and has a length of its own.
    mutating func message(_ number: UInt32, upTo limit: Int) -> [UInt8] {
        let tail = self.bytes(Int(self.below(UInt64(limit - 3))))
        return withUnsafeBytes(of: number.littleEndian) { Array($0) } + tail.dropFirst()
    }
}
