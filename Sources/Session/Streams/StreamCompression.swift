import Compression
import KCP
import Primitives

/// Where the bytes of a compressed stream are from the moment the local side has room for them
/// until they are compressed, which is the time of one call: one for all streams of an engine.
final class CompressionPages {
    static let byteCount = 16_384
    fileprivate let outgoing = UnsafeMutableRawBufferPointer.allocate(
        byteCount: byteCount,
        alignment: 64
    )
    fileprivate let framed = UnsafeMutableRawBufferPointer.allocate(
        byteCount: byteCount * 2,
        alignment: 64
    )

    deinit {
        self.outgoing.deallocate()
        self.framed.deallocate()
    }
}

/// What stands between the local side and the conversation of a compressed stream.
///
/// Memory is bounded by construction: a page of plain bytes from the peer, the states of both
/// compressors, and never more output than the page has room for, whatever the peer's bytes expand
/// to.
final class StreamCompression {
    private static let page = CompressionPages.byteCount
    /// Bytes of memory that every compressed stream needs, whatever it carries.
    static let leastByteCount = page + CompressedStreamReader.memoryByteCount

    /// And one that compresses.
    static let mostByteCount = leastByteCount + StreamDeflater.memoryByteCount

    private let writer: CompressedStreamWriter
    private let reader = CompressedStreamReader()
    private let incoming = UnsafeMutableRawBufferPointer.allocate(byteCount: page, alignment: 64)
    private var incomingHead = 0
    private var incomingTail = 0
    /// Why the peer's bytes cannot be taken any further.
    private(set) var fault: CompressedStreamReader.Fault?

    /// Stores what it sends until it may deflate, and inflates what comes.
    init() { self.writer = CompressedStreamWriter(mayCompress: false) }

    /// From now on this end's direction may be deflated.
    func allowDeflating() { self.writer.mayCompress = true }

    /// A deflated block of the peer's ends the stream.
    func forbidInflating() { self.reader.mayInflate = false }

    deinit { self.incoming.deallocate() }

    var memoryByteCount: Int { Self.leastByteCount + self.writer.memoryByteCount }

    /// Where the local side's next bytes go, as far as the conversation can take the result.
    func writableRegion(
        room: Int,
        _ pages: CompressionPages
    ) -> UnsafeMutableRawBufferPointer {
        // Framed bytes may be a little longer than plain ones; less than half of the room is safe.
        let count = min(Self.page, max(0, (room - 128) / 2))
        return UnsafeMutableRawBufferPointer(rebasing: pages.outgoing[..<count])
    }

    /// Compresses the first `count` bytes of the region into `sender`, holding nothing back.
    ///
    /// With `mayGrow` false it does not begin to compress, for which it would need memory.
    func wrote(
        _ count: Int,
        to sender: inout HostedSender,
        _ pages: CompressionPages,
        mayGrow: Bool
    ) {
        precondition(count >= 0 && count <= Self.page)
        if !mayGrow { self.writer.refrain() }
        var done = 0
        repeat {
            let rest = UnsafeRawBufferPointer(rebasing: pages.outgoing[done..<count])
            let step = self.writer.write(rest, into: pages.framed, flush: true)
            done += step.consumed
            let taken = sender.write(
                UnsafeRawBufferPointer(rebasing: pages.framed[..<step.produced])
            )
            precondition(taken == step.produced, "the region was larger than the room")
            guard step.consumed > 0 || step.produced > 0 else { break }
        } while done < count || self.writer.holdsBack
    }

    /// Plain bytes for the local side.
    func unpack(from receiver: inout HostedReceiver) -> UnsafeRawBufferPointer {
        if self.incomingHead == self.incomingTail { self.fill(from: &receiver) }
        return UnsafeRawBufferPointer(
            rebasing: self.incoming[self.incomingHead..<self.incomingTail]
        )
    }

    func consumed(_ count: Int) {
        precondition(count >= 0 && count <= self.incomingTail - self.incomingHead)
        self.incomingHead += count
    }

    private func fill(from receiver: inout HostedReceiver) {
        self.incomingHead = 0
        self.incomingTail = 0
        while self.incomingTail < Self.page {
            let raw = receiver.readableRegion()
            let step = self.reader.read(
                raw,
                into: UnsafeMutableRawBufferPointer(rebasing: self.incoming[self.incomingTail...])
            )
            receiver.consumed(step.consumed)
            self.incomingTail += step.produced
            assert(self.incomingTail <= Self.page, "more than the page holds")
            self.fault = self.reader.fault
            guard step.consumed > 0 || step.produced > 0, !step.isCorrupt else { break }
        }
        if receiver.isFinished, self.incomingTail == 0, !self.reader.isBetweenBlocks {
            self.fault = .corrupt
        }
    }

    /// The peer has ended and everything was unpacked and consumed.
    func isFinished(_ receiver: borrowing HostedReceiver) -> Bool {
        receiver.isFinished && self.incomingHead == self.incomingTail
            && self.reader.isBetweenBlocks
    }
}
