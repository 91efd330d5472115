/// The equations between lost symbols that repairs have given, kept solved as far as they go.
///
/// Gauss-Jordan on arrival: every row has a pivot column in which it alone is not 0, and its pivot
/// is 1. A row with nothing but its pivot is a recovered symbol. There are at most ``limit`` rows
/// and columns, and all memory is taken at the start.
///
/// Row sets and column sets are bit maps.
final class RepairSystem {
    static let limit = 64

    private let galois: Galois
    private let stride: Int
    private let payloads: UnsafeMutablePointer<UInt8>
    private let payloadByteCounts: UnsafeMutablePointer<Int>
    private let coefficients: UnsafeMutablePointer<UInt8>
    private let pivots: UnsafeMutablePointer<Int>
    private let pivotRows: UnsafeMutablePointer<Int>
    private let columnIDs: UnsafeMutablePointer<UInt32>
    private var rows: UInt64 = 0
    private(set) var columns: UInt64 = 0
    /// Rows added to rows so far, each a symbol long; giving a symbol up counts as sixteen more.
    private(set) var work = 0

    /// `stride` is the largest symbol, a multiple of 64.
    init(stride: Int, galois: Galois) {
        self.galois = galois
        self.stride = stride
        self.payloads = SymbolShape.allocate(stride * Self.limit)
        self.payloadByteCounts = .allocate(capacity: Self.limit)
        self.coefficients = SymbolShape.allocate(Self.limit * Self.limit)
        self.pivots = .allocate(capacity: Self.limit)
        self.pivotRows = .allocate(capacity: Self.limit)
        self.columnIDs = .allocate(capacity: Self.limit)
    }

    deinit {
        self.payloads.deallocate()
        self.payloadByteCounts.deallocate()
        self.coefficients.deallocate()
        self.pivots.deallocate()
        self.pivotRows.deallocate()
        self.columnIDs.deallocate()
    }

    /// What holds between any two calls; looked at where asserts are.
    ///
    /// Each row has a pivot in a column that is in use, and each such column names its row.
    private func check() {
        var left = self.rows
        while let row = Self.takeFirst(&left) {
            let column = self.pivots[row]
            assert(column >= 0 && column < Self.limit)
            assert(self.columns & (1 << UInt64(column)) != 0, "a pivot in a column that is gone")
            assert(self.pivotRows[column] == row, "a pivot that is another row's")
            assert(self.line(row)[column] == 1, "a pivot that is not 1")
            assert(self.payloadByteCounts[row] <= self.stride)
        }
        assert(self.rows.nonzeroBitCount <= self.columns.nonzeroBitCount, "more rows than columns")
    }

    var freeColumnCount: Int { Self.limit - self.columns.nonzeroBitCount }

    func id(of column: Int) -> UInt32 { self.columnIDs[column] }

    func payload(_ row: Int) -> UnsafeMutablePointer<UInt8> { self.payloads + row * self.stride }

    /// Bytes of a row's payload that may be other than 0, a multiple of 64.
    func payloadByteCount(_ row: Int) -> Int { self.payloadByteCounts[row] }

    private func line(_ row: Int) -> UnsafeMutablePointer<UInt8> {
        self.coefficients + row * Self.limit
    }

    func removeAll() {
        self.rows = 0
        self.columns = 0
    }

    /// Takes a column for a symbol; there must be a free one.
    func addColumn(for id: UInt32) -> Int {
        let column = (~self.columns).trailingZeroBitCount
        precondition(column < Self.limit)
        self.columns |= 1 << UInt64(column)
        self.columnIDs[column] = id
        self.pivotRows[column] = -1
        return column
    }

    /// A row without coefficients that holds a copy of the combination; `nil` if none is free.
    ///
    /// Part of the system only once ``insert(_:)`` was called.
    func draft(_ combination: UnsafeRawBufferPointer) -> Int? {
        let row = (~self.rows).trailingZeroBitCount
        guard row < Self.limit, combination.count <= self.stride else { return nil }
        self.line(row).initialize(repeating: 0, count: Self.limit)
        let payload = UnsafeMutableRawBufferPointer(start: self.payload(row), count: self.stride)
        payload.copyMemory(from: combination)
        payload[combination.count...].initializeMemory(as: UInt8.self, repeating: 0)
        self.payloadByteCounts[row] = SymbolShape.padded(combination.count)
        return row
    }

    func setCoefficient(_ factor: UInt8, row: Int, column: Int) { self.line(row)[column] = factor }

    /// Makes a draft part of the system; false if it says nothing new.
    func insert(_ row: Int) -> Bool {
        precondition(self.rows & (1 << UInt64(row)) == 0, "the row is in use")
        defer { self.check() }
        let line = self.line(row)
        var left = self.columns
        while let column = Self.takeFirst(&left) {
            let pivotRow = self.pivotRows[column]
            guard pivotRow >= 0, line[column] != 0 else { continue }
            self.add(line[column], times: pivotRow, to: row)
        }
        return self.reduce(by: row)
    }

    /// A symbol is known now, so its column goes.
    func substitute(_ column: Int, _ symbol: UnsafePointer<UInt8>, byteCount: Int) {
        precondition(self.columns & (1 << UInt64(column)) != 0, "the column is not in use")
        defer { self.check() }
        let count = SymbolShape.padded(byteCount)
        assert(count <= self.stride)
        var left = self.rows
        while let row = Self.takeFirst(&left) {
            let factor = self.line(row)[column]
            guard factor != 0 else { continue }
            self.line(row)[column] = 0
            self.work &+= 1
            self.galois.multiplyAdd(self.payload(row), symbol, count: count, factor: factor)
            self.payloadByteCounts[row] = max(self.payloadByteCounts[row], count)
        }
        self.columns &= ~(1 << UInt64(column))
        let widow = self.pivotRows[column]
        guard widow >= 0 else { return }
        self.rows &= ~(1 << UInt64(widow))
        _ = self.reduce(by: widow)
    }

    /// Gives up a symbol, keeping what the rows say about the others.
    ///
    /// Returns the columns that went: the symbol's own, and those no row mentions any more.
    func drop(_ column: Int) -> UInt64 {
        precondition(self.columns & (1 << UInt64(column)) != 0, "the column is not in use")
        defer { self.check() }
        self.work &+= 16
        let victim = self.pivotRows[column] >= 0 ? self.pivotRows[column] : self.anyRow(column)
        if let victim {
            let inverse = Galois.inverse(self.line(victim)[column])
            self.rows &= ~(1 << UInt64(victim))
            var left = self.rows
            while let row = Self.takeFirst(&left) {
                let factor = Galois.multiply(self.line(row)[column], inverse)
                if factor != 0 { self.add(factor, times: victim, to: row) }
            }
            self.pivotRows[self.pivots[victim]] = -1
        }
        let before = self.columns
        self.columns = self.mentioned & ~(1 << UInt64(column))
        return before & ~self.columns
    }

    /// A row that has only its pivot left, taken out together with its column.
    func takeSolved() -> (row: Int, id: UInt32)? {
        var left = self.rows
        while let row = Self.takeFirst(&left) {
            guard self.isSolved(row) else { continue }
            let column = self.pivots[row]
            self.rows &= ~(1 << UInt64(row))
            self.columns &= ~(1 << UInt64(column))
            self.check()
            return (row, self.columnIDs[column])
        }
        return nil
    }

    // MARK: Rows

    /// Gives a row, 0 in every pivot column, a pivot of its own, and makes it part of the system.
    private func reduce(by row: Int) -> Bool {
        let line = self.line(row)
        var left = self.columns
        while let column = Self.takeFirst(&left) {
            guard line[column] != 0 else { continue }
            // Adding `1 + inverse` times itself is multiplying by the inverse.
            self.add(Galois.inverse(line[column]) ^ 1, times: row, to: row)
            var others = self.rows
            while let other = Self.takeFirst(&others) {
                let factor = self.line(other)[column]
                if factor != 0 { self.add(factor, times: row, to: other) }
            }
            self.rows |= 1 << UInt64(row)
            self.pivots[row] = column
            self.pivotRows[column] = row
            return true
        }
        return false
    }

    private func add(_ factor: UInt8, times source: Int, to target: Int) {
        guard factor != 0 else { return }
        self.work &+= 1
        let count = self.payloadByteCounts[source]
        assert(count <= self.stride)
        self.galois.multiplyAdd(
            self.line(target),
            self.line(source),
            count: Self.limit,
            factor: factor
        )
        self.galois.multiplyAdd(
            self.payload(target),
            self.payload(source),
            count: count,
            factor: factor
        )
        self.payloadByteCounts[target] = max(self.payloadByteCounts[target], count)
    }

    private func anyRow(_ column: Int) -> Int? {
        var left = self.rows
        while let row = Self.takeFirst(&left) {
            if self.line(row)[column] != 0 { return row }
        }
        return nil
    }

    private func isSolved(_ row: Int) -> Bool {
        let line = self.line(row)
        var left = self.columns & ~(1 << UInt64(self.pivots[row]))
        while let column = Self.takeFirst(&left) {
            if line[column] != 0 { return false }
        }
        return true
    }

    /// Columns in use that some row mentions.
    private var mentioned: UInt64 {
        var mentioned: UInt64 = 0
        var left = self.columns
        while let column = Self.takeFirst(&left) {
            if self.anyRow(column) != nil { mentioned |= 1 << UInt64(column) }
        }
        return mentioned
    }

    static func takeFirst(_ set: inout UInt64) -> Int? {
        guard set != 0 else { return nil }
        let first = set.trailingZeroBitCount
        set &= set - 1
        return first
    }
}
