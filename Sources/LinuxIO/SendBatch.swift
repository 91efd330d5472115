import CLinuxShims
import Glibc
public import Primitives

/// Datagrams on their way to one socket: trains of equal size, each one UDP_SEGMENT send.
///
/// Fill it (``freeBuffer`` and ``commit(byteCount:segmentSize:to:from:)``, or ``append``), then
/// call ``UDPSocket/send(_:)`` until that says `.done`. Nothing is allocated after `init`.
public final class SendBatch {
    /// The largest payload of one send: what one IPv4 packet holds.
    static let trainByteLimit = 65_507
    /// The kernel's own limit was 64 until Linux 6.9, which made it 128.
    static let trainSegmentLimit = 64
    static let bufferSize = 65_536
    /// Equal datagrams up to this size are sent as one train; larger ones might need fragments,
    /// which UDP_SEGMENT refuses.
    private static let coalescedSizeLimit = 1_400
    private static let entryLimit = 64
    private static let messageLimit = 64

    struct Entry {
        var offset: Int
        var byteCount: Int
        var segmentSize: Int
        var destination: SocketAddress
        var source: SocketAddress
        var hasSource: Bool
    }

    private let capacity: Int
    private let arena: UnsafeMutableRawPointer
    private let entries: UnsafeMutablePointer<Entry>
    private let names: UnsafeMutableRawPointer
    private let controls: UnsafeMutableRawPointer
    private let vectors: UnsafeMutablePointer<iovec>
    private let messages: UnsafeMutablePointer<CLinuxShims_mmsghdr>

    private var count = 0
    private var used = 0
    /// The first entry not wholly sent, and how much of it was.
    private var head = 0
    private var headOffset = 0
    /// An entry being sent without UDP_SEGMENT because the kernel refused it whole, or −1.
    private var singledEntry = -1
    private var singledCode: Int32 = 0

    /// `capacity`: bytes of packets held at most, at least 128 KiB.
    public init(capacity: Int = 512 << 10) {
        precondition(capacity >= 2 * Self.bufferSize)
        self.capacity = capacity
        self.arena = .allocate(byteCount: capacity, alignment: 4096)
        self.entries = .allocate(capacity: Self.entryLimit)
        self.names = .allocate(byteCount: Self.messageLimit * addressCapacity, alignment: 16)
        self.controls = .allocate(
            byteCount: Self.messageLimit * Int(CLinuxShims_control_size),
            alignment: 16
        )
        self.vectors = .allocate(capacity: Self.messageLimit)
        self.messages = .allocate(capacity: Self.messageLimit)
    }

    deinit {
        self.arena.deallocate()
        self.entries.deallocate()
        self.names.deallocate()
        self.controls.deallocate()
        self.vectors.deallocate()
        self.messages.deallocate()
    }

    /// Whether everything has been handed to the kernel.
    public var isEmpty: Bool { self.count == 0 }

    /// 64 KiB to write the next train into, or `nil` when the batch is full.
    public var freeBuffer: UnsafeMutableRawBufferPointer? {
        guard self.count < Self.entryLimit, self.capacity - self.used >= Self.bufferSize else {
            return nil
        }
        return UnsafeMutableRawBufferPointer(
            start: self.arena + self.used,
            count: Self.bufferSize
        )
    }

    /// Adds the front of ``freeBuffer``: packets of `segmentSize` bytes, the last maybe shorter.
    ///
    /// `source` is the local address to send from, where the socket's own choice would be wrong.
    public func commit(
        byteCount: Int,
        segmentSize: Int,
        to destination: SocketAddress,
        from source: SocketAddress?
    ) {
        precondition(self.count < Self.entryLimit && byteCount <= Self.bufferSize)
        precondition(byteCount >= 0 && segmentSize >= 0 && (segmentSize > 0 || byteCount == 0))
        self.entries[self.count] = Entry(
            offset: self.used,
            byteCount: byteCount,
            segmentSize: segmentSize,
            destination: destination,
            source: source ?? destination,
            hasSource: source != nil
        )
        self.count += 1
        self.used += byteCount
    }

    /// Adds a copy of one datagram, to the train before it where that fits; false when full.
    public func append(
        _ bytes: UnsafeRawBufferPointer,
        to destination: SocketAddress,
        from source: SocketAddress?
    ) -> Bool {
        precondition(bytes.count <= Self.bufferSize)
        guard self.capacity - self.used >= bytes.count else { return false }
        let joins = self.lastTrainTakes(bytes.count, destination, source)
        guard joins || self.count < Self.entryLimit else { return false }
        if let base = bytes.baseAddress {
            (self.arena + self.used).copyMemory(from: base, byteCount: bytes.count)
        }
        if joins {
            self.entries[self.count - 1].byteCount += bytes.count
            self.used += bytes.count
        } else {
            self.commit(
                byteCount: bytes.count,
                segmentSize: bytes.count,
                to: destination,
                from: source
            )
        }
        return true
    }

    private func lastTrainTakes(
        _ size: Int,
        _ destination: SocketAddress,
        _ source: SocketAddress?
    ) -> Bool {
        guard self.count > 0, size > 0, size <= Self.coalescedSizeLimit else { return false }
        let last = self.entries + self.count - 1
        let segment = last.pointee.segmentSize
        guard segment >= size, segment <= Self.coalescedSizeLimit,
            last.pointee.byteCount % segment == 0,
            last.pointee.byteCount / segment < Self.trainSegmentLimit,
            last.pointee.byteCount + size <= Self.trainByteLimit
        else { return false }
        return last.pointee.destination == destination
            && last.pointee.hasSource == (source != nil)
            && (source == nil || last.pointee.source == source)
    }

    /// Forgets whatever was not sent; returns how many packets that were.
    @discardableResult
    public func discard() -> Int {
        var packets = 0
        while self.head < self.count {
            packets += self.packetCount(from: self.headOffset, of: self.head)
            self.head += 1
            self.headOffset = 0
        }
        self.reset()
        return packets
    }

    private func reset() {
        self.count = 0
        self.used = 0
        self.head = 0
        self.headOffset = 0
        self.singledEntry = -1
    }

    private func packetCount(from offset: Int, of entry: Int) -> Int {
        let rest = self.entries[entry].byteCount - offset
        let size = max(self.entries[entry].segmentSize, 1)
        return max(1, (rest + size - 1) / size)
    }
}

// MARK: Sending

/// How far a batch got.
@frozen
public enum SendResult: Sendable {
    /// The batch is empty: everything was sent, or refused and counted.
    case done
    /// The socket is full: watch it for writability, and send the rest then.
    case blocked
}

extension UDPSocket {
    /// Hands the batch to the kernel, and empties it unless the socket is full.
    ///
    /// Packets that the kernel refuses are counted as lost. A refused UDP_SEGMENT is tried again
    /// packet by packet, and given up for this socket if that works.
    public func send(_ batch: SendBatch) -> SendResult { batch.flush(through: self) }
}

extension SendBatch {
    fileprivate func flush(through socket: UDPSocket) -> SendResult {
        while self.head < self.count {
            let messages = self.prepare(for: socket)
            let sent = CLinuxShims_sendmmsg(
                socket.descriptor,
                self.messages,
                UInt32(messages),
                Int32(MSG_DONTWAIT)
            )
            if sent > 0 {
                self.learn(from: socket)
                for index in 0..<Int(sent) { self.advance(by: self.vectors[index].iov_len) }
                continue
            }
            switch errno {
            case EINTR: continue
            case EAGAIN: return .blocked
            case let code: self.refused(code, by: socket)
            }
        }
        self.reset()
        return .done
    }

    /// Builds as many messages as fit, from the head on; returns how many.
    private func prepare(for socket: UDPSocket) -> Int {
        var message = 0
        var entry = self.head
        var offset = self.headOffset
        while entry < self.count, message < Self.messageLimit {
            let rest = self.entries[entry].byteCount - offset
            let isWhole = socket.usesSegmentation && entry != self.singledEntry
            let size = min(rest, isWhole ? self.trainSize(entry) : self.entries[entry].segmentSize)
            self.build(message, entry, offset, size, socket)
            message += 1
            offset += size
            guard offset == self.entries[entry].byteCount else { continue }
            entry += 1
            offset = 0
        }
        return message
    }

    /// The longest run of whole segments that one send may carry.
    private func trainSize(_ entry: Int) -> Int {
        let segment = self.entries[entry].segmentSize
        guard segment > 0 else { return 0 }
        return segment * max(1, min(Self.trainSegmentLimit, Self.trainByteLimit / segment))
    }

    private func build(_ index: Int, _ entry: Int, _ offset: Int, _ size: Int, _ socket: UDPSocket)
    {
        let train = self.entries + entry
        self.vectors[index] = iovec(
            iov_base: self.arena + train.pointee.offset + offset,
            iov_len: size
        )
        var header = msghdr()
        header.msg_iov = self.vectors + index
        header.msg_iovlen = 1
        if !socket.isConnected {
            let name = self.names + index * addressCapacity
            let length = train.pointee.destination.store(to: name, family: socket.family)
            header.msg_name = name
            header.msg_namelen = length
        }
        let segment = size > train.pointee.segmentSize ? train.pointee.segmentSize : 0
        if segment > 0 || train.pointee.hasSource {
            header.msg_control = self.controls + index * Int(CLinuxShims_control_size)
            CLinuxShims_build_control(
                &header,
                UInt16(segment),
                train.pointee.hasSource ? socket.family : 0,
                train.pointee.source.high,
                train.pointee.source.low,
                train.pointee.source.scope
            )
        }
        self.messages[index] = CLinuxShims_mmsghdr(msg_hdr: header, msg_len: 0)
    }

    private func advance(by size: Int) {
        self.headOffset += size
        guard self.headOffset >= self.entries[self.head].byteCount else { return }
        self.head += 1
        self.headOffset = 0
    }

    /// If what was sent is a packet of a refused train, then UDP_SEGMENT was the trouble.
    private func learn(from socket: UDPSocket) {
        guard self.head == self.singledEntry else { return }
        if self.singledCode == EIO || self.singledCode == EINVAL { socket.usesSegmentation = false }
    }

    private func refused(_ code: Int32, by socket: UDPSocket) {
        let size = self.vectors[0].iov_len
        let isTrain = size > self.entries[self.head].segmentSize
        if isTrain, code == EIO || code == EINVAL || code == EMSGSIZE {
            self.singledEntry = self.head
            self.singledCode = code
            return
        }
        let segment = max(self.entries[self.head].segmentSize, 1)
        let packets = UInt64(max(1, (size + segment - 1) / segment))
        if code == EMSGSIZE {
            socket.counters.sendTooLarge &+= packets
        } else {
            socket.counters.sendRefused &+= packets
        }
        self.advance(by: size)
    }
}
