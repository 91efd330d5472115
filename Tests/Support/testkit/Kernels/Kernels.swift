import ArgumentParser
import Erasure
import Glibc

/// Measures the erasure kernels and holds them against Debian's libisal, where it is installed;
/// and the post-quantum exchange.
///
/// Prints one line for each kernel and the three ratios that `docs/PERFORMANCE.md` quotes. Every
/// time is the best of 15 runs, in processor time of this thread.
struct Kernels: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "kernels",
        abstract: "Times of the erasure kernels, beside libisal if installed, and of ML-KEM."
    )

    func run() throws {
        let shape = BlockShape(dataCount: 10, parityCount: 3, byteCount: 1408)
        let block = Block(shape)
        print(
            "Reed-Solomon \(shape.dataCount)+\(shape.parityCount), \(shape.byteCount) bytes a shard"
        )
        var encodeTimes: [String: Double] = [:]
        for galois in Galois.available {
            let time = block.encodeTime(galois)
            encodeTimes[galois.name] = time
            Self.line("\(galois.name) encode", time, shape)
        }
        for name in ["ec_encode_data_avx2", "ec_encode_data"] {
            guard let library = ReferenceLibrary(encoder: name) else { continue }
            encodeTimes[name] = block.encodeTime(library)
            Self.line("ISA-L \(name)", block.encodeTime(library), shape)
        }
        for losses in 1...shape.parityCount {
            Self.line("best decode, \(losses) lost", block.decodeTime(.best, losses: losses), nil)
        }
        for window in [8, 16, 32, 64, 128] {
            Self.line("one repair over \(window)", block.repairTime(window: window), nil)
        }
        Self.line("window, a message", block.slidingWindowTime(), nil)
        Self.ratio(
            "AVX2 / ISA-L AVX2",
            encodeTimes["ec_encode_data_avx2"],
            encodeTimes["avx2"],
            "0.90"
        )
        Self.ratio("AVX2 / ISA-L", encodeTimes["ec_encode_data"], encodeTimes["avx2"], nil)
        let best = encodeTimes[Galois.best.name]
        Self.ratio("best / ISA-L", encodeTimes["ec_encode_data"], best, nil)
        let gfni = [encodeTimes["gfni"], encodeTimes["gfni512"]].compactMap(\.self).min()
        Self.ratio("GFNI / AVX2", encodeTimes["avx2"], gfni, "2.00")
        let decode = block.decodeTime(.best, losses: 1) / 1000
        print("decode of one loss: \(Self.decimal(decode, 3)) us (wanted 0.500)")
        if encodeTimes["ec_encode_data"] == nil {
            print("libisal.so.2 is not installed: no comparison")
        }
        let times = Mechanism.times()
        print("ML-KEM-768")
        Self.line("key pair", times.keyPair, nil)
        Self.line("encapsulation", times.encapsulation, nil)
        Self.line("decapsulation", times.decapsulation, nil)
    }

    /// How much faster the second is; nothing where one of them does not exist.
    private static func ratio(
        _ name: String,
        _ reference: Double?,
        _ time: Double?,
        _ goal: String?
    ) {
        guard let reference, let time else { return }
        let suffix = goal.map { " (wanted \($0))" } ?? ""
        print("ratio \(name): \(Self.decimal(reference / time, 2))\(suffix)")
    }

    private static func line(_ name: String, _ nanoseconds: Double, _ shape: BlockShape?) {
        var text = name + String(repeating: " ", count: max(1, 28 - name.count))
        text += Self.decimal(nanoseconds, 0) + " ns"
        if let shape {
            let rate = Double(shape.dataCount * shape.byteCount) / nanoseconds
            text += "  " + Self.decimal(rate, 1) + " GB/s of data"
        }
        print(text)
    }

    /// A number with so many digits after the point.
    private static func decimal(_ value: Double, _ digits: Int) -> String {
        var scale = 1
        for _ in 0..<digits { scale *= 10 }
        let units = Int(value * Double(scale) + 0.5)
        guard digits > 0 else { return "\(units)" }
        let fraction = String(units % scale)
        let padding = String(repeating: "0", count: digits - fraction.count)
        return "\(units / scale).\(padding)\(fraction)"
    }
}
