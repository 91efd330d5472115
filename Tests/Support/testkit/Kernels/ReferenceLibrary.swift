import Glibc

/// Intel's ISA-L as Debian packages it (`libisal2`), looked up at run time: nothing links to it.
struct ReferenceLibrary {
    private typealias Bytes = UnsafeMutablePointer<UInt8>
    private typealias MakeMatrix = @convention(c) (Bytes, Int32, Int32) -> Void
    private typealias MakeTables = @convention(c) (Int32, Int32, Bytes, Bytes) -> Void
    private typealias Encode =
        @convention(c) (
            Int32, Int32, Int32, Bytes, UnsafePointer<UnsafeMutablePointer<UInt8>>,
            UnsafePointer<UnsafeMutablePointer<UInt8>>
        ) -> Void

    private let makeMatrix: MakeMatrix
    private let makeTables: MakeTables
    private let encode: Encode

    /// `nil` where the library is not installed, or does not have that variant of its encoder.
    ///
    /// `ec_encode_data` picks the fastest variant for the processor, AVX-512 where there is that.
    init?(encoder: String = "ec_encode_data") {
        guard
            let library = dlopen("libisal.so.2", RTLD_NOW),
            let makeMatrix = dlsym(library, "gf_gen_cauchy1_matrix"),
            let makeTables = dlsym(library, "ec_init_tables"),
            let encode = dlsym(library, encoder)
        else { return nil }
        self.makeMatrix = unsafeBitCast(makeMatrix, to: MakeMatrix.self)
        self.makeTables = unsafeBitCast(makeTables, to: MakeTables.self)
        self.encode = unsafeBitCast(encode, to: Encode.self)
    }

    /// The expanded tables of a code, for the caller to free.
    func tables(_ shape: BlockShape) -> UnsafeMutablePointer<UInt8> {
        let total = shape.dataCount + shape.parityCount
        let matrix = Bytes.allocate(capacity: total * shape.dataCount)
        defer { matrix.deallocate() }
        self.makeMatrix(matrix, Int32(total), Int32(shape.dataCount))
        let tables = Bytes.allocate(capacity: 32 * shape.dataCount * shape.parityCount)
        let parityRows = matrix + shape.dataCount * shape.dataCount
        self.makeTables(Int32(shape.dataCount), Int32(shape.parityCount), parityRows, tables)
        return tables
    }

    func encode(
        _ shape: BlockShape,
        tables: UnsafeMutablePointer<UInt8>,
        shards: UnsafeBufferPointer<UnsafeMutablePointer<UInt8>>
    ) {
        guard let base = shards.baseAddress else { return }
        self.encode(
            Int32(shape.byteCount),
            Int32(shape.dataCount),
            Int32(shape.parityCount),
            tables,
            base,
            base + shape.dataCount
        )
    }
}
