import CLinuxShims
import Glibc
public import Primitives

/// One datagram in a ``ReceiveBatch``.
@frozen
public struct ReceivedPacket {
    /// Valid until the batch is used for the next receive.
    public var bytes: UnsafeMutableRawBufferPointer
    /// Who sent the datagram.
    public var source: SocketAddress
    /// The address it was sent to, if the socket reports that, else what the socket is bound to.
    public var destination: SocketAddress
}

/// The memory that packets are received into: eight slots of 64 KiB, each of which the kernel fills
/// with one datagram or, aggregated by UDP_GRO, with many of one size from one peer.
///
/// One batch serves all sockets of a thread in turn. Nothing is allocated after `init`.
public final class ReceiveBatch {
    static let slotCount = 8
    static let slotSize = 65_536
    private static let nameSize = 128

    private let slab: UnsafeMutableRawPointer
    private let names: UnsafeMutableRawPointer
    private let controls: UnsafeMutableRawPointer
    private let vectors: UnsafeMutablePointer<iovec>
    private let messages: UnsafeMutablePointer<CLinuxShims_mmsghdr>

    private var count = 0
    private var slot = 0
    private var offset = 0
    private var slotLength = 0
    private var segmentSize = 0
    private var source = SocketAddress.anyIPv4(port: 0)
    private var destination = SocketAddress.anyIPv4(port: 0)
    private var bound = SocketAddress.anyIPv4(port: 0)

    /// Allocates eight slots of 64 KiB, which are given back with the object.
    public init() {
        let slots = Self.slotCount
        let control = Int(CLinuxShims_control_size)
        self.slab = .allocate(byteCount: slots * Self.slotSize, alignment: 4096)
        self.names = .allocate(byteCount: slots * Self.nameSize, alignment: 16)
        self.controls = .allocate(byteCount: slots * control, alignment: 16)
        self.vectors = .allocate(capacity: slots)
        self.messages = .allocate(capacity: slots)
        for index in 0..<slots {
            self.vectors[index] = iovec(
                iov_base: self.slab + index * Self.slotSize,
                iov_len: Self.slotSize
            )
            self.messages[index] = CLinuxShims_mmsghdr()
            self.messages[index].msg_hdr.msg_name = self.names + index * Self.nameSize
            self.messages[index].msg_hdr.msg_iov = self.vectors + index
            self.messages[index].msg_hdr.msg_iovlen = 1
            self.messages[index].msg_hdr.msg_control = self.controls + index * control
        }
    }

    deinit {
        self.slab.deallocate()
        self.names.deallocate()
        self.controls.deallocate()
        self.vectors.deallocate()
        self.messages.deallocate()
    }

    /// Receives what waits, at most eight messages; returns how many came.
    fileprivate func fill(from socket: UDPSocket) throws(IOError) -> Int {
        for index in 0..<Self.slotCount {
            self.messages[index].msg_hdr.msg_namelen = socklen_t(Self.nameSize)
            self.messages[index].msg_hdr.msg_controllen = Int(CLinuxShims_control_size)
        }
        self.count = 0
        self.slot = 0
        self.offset = 0
        self.slotLength = 0
        self.bound = socket.localAddress
        let result = try systemCall("recvmmsg") {
            CLinuxShims_recvmmsg(
                socket.descriptor,
                self.messages,
                UInt32(Self.slotCount),
                Int32(MSG_DONTWAIT)
            )
        }
        guard case .done(let count) = result else { return 0 }
        self.count = Int(count)
        if self.count > 0 { self.open(slot: 0) }
        return self.count
    }

    /// Whether the kernel filled every slot, so that more may wait.
    public var isFull: Bool { self.count == Self.slotCount }

    /// The next datagram in the order of arrival, or `nil` when all were taken.
    public func next() -> ReceivedPacket? {
        while self.slot < self.count {
            if let packet = self.take() { return packet }
            self.slot += 1
            if self.slot < self.count { self.open(slot: self.slot) }
        }
        return nil
    }

    private func take() -> ReceivedPacket? {
        guard self.offset < self.slotLength || (self.slotLength == 0 && self.offset == 0) else {
            return nil
        }
        let length = min(self.segmentSize, self.slotLength - self.offset)
        let packet = ReceivedPacket(
            bytes: UnsafeMutableRawBufferPointer(
                start: self.slab + self.slot * Self.slotSize + self.offset,
                count: length
            ),
            source: self.source,
            destination: self.destination
        )
        // A datagram of no bytes is one datagram too, and moves past itself.
        self.offset += max(length, 1)
        return packet
    }

    private func open(slot: Int) {
        let message = self.messages + slot
        self.offset = 0
        self.slotLength = Int(message.pointee.msg_len)
        var control = CLinuxShims_control()
        withUnsafePointer(to: &message.pointee.msg_hdr) {
            CLinuxShims_parse_control($0, &control)
        }
        self.segmentSize = control.segment_size > 0 ? Int(control.segment_size) : self.slotLength
        let source = SocketAddress(
            kernel: self.names + slot * Self.nameSize,
            length: message.pointee.msg_hdr.msg_namelen
        )
        guard let source else {
            // Not an IP peer: nothing an IP socket can produce, and nothing to answer.
            self.offset = 1
            self.slotLength = 0
            return
        }
        self.source = source
        self.destination = self.bound
        guard control.has_destination != 0 else { return }
        let isLinkLocal = control.destination_high >> 54 == 0xFE80 >> 6
        self.destination = SocketAddress(
            high: control.destination_high,
            low: control.destination_low,
            port: control.destination_port == 0 ? self.bound.port : control.destination_port,
            scope: isLinkLocal ? control.interface : 0
        )
    }
}

extension UDPSocket {
    /// Receives what waits into `batch`; returns how many messages came, 0 when there were none.
    ///
    /// A pending error, such as a connected peer's closed port, is counted and otherwise nothing.
    public func receive(into batch: ReceiveBatch) -> Int {
        do throws(IOError) {
            return try batch.fill(from: self)
        } catch {
            self.counters.receiveErrors &+= 1
            return 0
        }
    }
}
