import CGalois

/// One implementation of arithmetic over GF(2^8) modulo 0x11d; all of them give the same bytes.
///
/// A processor has some of them. ``best`` is what shipped code uses; the others exist to be tested
/// and compared.
public struct Galois: Sendable, Hashable {
    let kernel: CGalois_kernel
    /// What the kernel is built on: `portable`, `ssse3`, `avx2`, `gfni`, `gfni512` or `neon`.
    public let name: String

    private init(_ kernel: CGalois_kernel, _ name: String) {
        self.kernel = kernel
        self.name = name
    }

    private static let known = [
        Self(CGalois_portable, "portable"), Self(CGalois_ssse3, "ssse3"),
        Self(CGalois_avx2, "avx2"), Self(CGalois_gfni, "gfni"),
        Self(CGalois_gfni512, "gfni512"), Self(CGalois_neon, "neon"),
    ]

    /// The kernels this processor can run, slowest first.
    public static let available = Self.known.filter { CGalois_supports($0.kernel) != 0 }

    /// The fastest kernel that this processor can run, found once for each process.
    public static let best =
        Self.known.first { $0.kernel == CGalois_best() } ?? Self(CGalois_portable, "portable")

    /// The product of two elements, by table; for single factors, not for data.
    public static func multiply(_ a: UInt8, _ b: UInt8) -> UInt8 { CGalois_multiply(a, b) }

    /// The inverse of a factor other than 0.
    public static func inverse(_ a: UInt8) -> UInt8 {
        precondition(a != 0)
        return CGalois_inverse(a)
    }

    /// Adds `factor` times the source to the target; both may be the same buffer.
    public func multiplyAdd(
        _ target: UnsafeMutablePointer<UInt8>,
        _ source: UnsafePointer<UInt8>,
        count: Int,
        factor: UInt8
    ) {
        CGalois_multiply_add(self.kernel, target, source, count, factor)
    }

    /// Makes every target the sum of all sources, each times its factor.
    ///
    /// Row `o` of `factors` has `sources.count` elements and belongs to target `o`. With `adds` the
    /// sums are added to what the targets hold. No target overlaps a source.
    public func combine(
        _ sources: UnsafeBufferPointer<UnsafePointer<UInt8>?>,
        factors: UnsafePointer<UInt8>,
        into targets: UnsafeBufferPointer<UnsafeMutablePointer<UInt8>?>,
        count: Int,
        adds: Bool = false
    ) {
        CGalois_combine(
            self.kernel,
            factors,
            sources.count,
            targets.count,
            sources.baseAddress,
            targets.baseAddress,
            count,
            adds ? 1 : 0
        )
    }
}

extension CGalois_kernel: @unchecked @retroactive Sendable {}
