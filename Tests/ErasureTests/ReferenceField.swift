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

    /// Solves `matrix * x = right` by Gauss with row exchanges; `nil` if singular.
    static func solve(_ matrix: [[UInt8]], _ right: [[UInt8]]) -> [[UInt8]]? {
        var matrix = matrix
        var right = right
        let size = matrix.count
        for pivot in 0..<size {
            guard let row = (pivot..<size).first(where: { matrix[$0][pivot] != 0 }) else {
                return nil
            }
            matrix.swapAt(pivot, row)
            right.swapAt(pivot, row)
            let scale = Self.table[Int(Self.inverse(matrix[pivot][pivot]))]
            matrix[pivot] = matrix[pivot].map { scale[Int($0)] }
            right[pivot] = right[pivot].map { scale[Int($0)] }
            for other in 0..<size where other != pivot && matrix[other][pivot] != 0 {
                let factor = Self.table[Int(matrix[other][pivot])]
                let (line, bytes) = (matrix[pivot], right[pivot])
                matrix[other] = zip(matrix[other], line).map { $0 ^ factor[Int($1)] }
                right[other] = zip(right[other], bytes).map { $0 ^ factor[Int($1)] }
            }
        }
        return right
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
