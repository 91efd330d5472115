import Compression

/// How a datagram of a compressed flow travels: one byte says whether the rest is deflated.
///
/// Each datagram stands alone, because any other may be lost; it is deflated only where that makes
/// it smaller.
final class DatagramPacking {
    /// What a flow's compressed datagrams may become.
    struct InflationRule {
        /// False where the service forbids compression.
        var mayInflate = true
        var allowance = InflationAllowance()
    }

    /// The largest payload of a UDP datagram over IPv4.
    static let largest = 65_507
    private static let stored: UInt8 = 0
    private static let deflated: UInt8 = 1

    private let compressor = DatagramCompressor()
    private let packed = UnsafeMutableRawBufferPointer.allocate(
        byteCount: largest + 1,
        alignment: 16
    )
    private let plain = UnsafeMutableRawBufferPointer.allocate(byteCount: largest, alignment: 16)

    deinit {
        self.packed.deallocate()
        self.plain.deallocate()
    }

    /// The bytes to send, valid until the next call.
    func pack(_ datagram: UnsafeRawBufferPointer, mayCompress: Bool) -> UnsafeRawBufferPointer {
        precondition(datagram.count <= Self.largest, "larger than any datagram")
        let content = UnsafeMutableRawBufferPointer(rebasing: self.packed[1...])
        if mayCompress, let count = self.compressor.compressDatagram(datagram, into: content) {
            self.packed[0] = Self.deflated
            return UnsafeRawBufferPointer(rebasing: self.packed[...count])
        }
        self.packed[0] = Self.stored
        content.copyMemory(from: datagram)
        return UnsafeRawBufferPointer(rebasing: self.packed[...datagram.count])
    }

    enum Unpacked {
        /// Valid until the next call.
        case datagram(UnsafeRawBufferPointer)
        case dropped(DropReason)
    }

    /// What a flow's peer sent, of which no more is inflated than `rule` lets.
    func unpack(_ bytes: UnsafeRawBufferPointer, under rule: inout InflationRule) -> Unpacked {
        guard let kind = bytes.first, bytes.count <= Self.largest + 1 else {
            return .dropped(.malformed)
        }
        rule.allowance.earn(bytes.count)
        let content = UnsafeRawBufferPointer(rebasing: bytes[1...])
        switch kind {
        case Self.stored:
            return .datagram(content)
        case Self.deflated:
            guard rule.mayInflate else { return .dropped(.compressionForbidden) }
            let count = self.compressor.decompressDatagram(
                content,
                into: self.plain,
                within: &rule.allowance
            )
            guard let count else {
                return .dropped(rule.allowance.isOverdrawn ? .inflationBudget : .malformed)
            }
            return .datagram(UnsafeRawBufferPointer(rebasing: self.plain[..<count]))
        default:
            return .dropped(.malformed)
        }
    }
}
