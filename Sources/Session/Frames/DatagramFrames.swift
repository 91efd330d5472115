import Primitives

/// One datagram of a flow; its bytes follow.
struct DatagramFrame: Frame, Equatable {
    var flow: UInt32
    var number: UInt32

    var type: UInt8 { FrameType.datagram }
    static let fieldByteCount = 8
}

extension DatagramFrame {
    init?(parsing reader: inout ByteReader) {
        guard let flow: UInt32 = reader.read(), let number: UInt32 = reader.read() else {
            return nil
        }
        self.init(flow: flow, number: number)
    }

    func encode(to writer: inout ByteWriter) {
        writer.write(self.flow)
        writer.write(self.number)
    }
}

/// A part of a datagram that no packet has room for; its bytes follow.
struct FragmentFrame: Frame, Equatable {
    /// The datagram that it is a part of.
    var datagram: DatagramFrame
    var index: UInt8
    /// How many fragments the datagram has.
    var count: UInt8
    /// Where this one begins in the datagram, in bytes.
    var offset: UInt16
    /// Bytes of the whole datagram.
    var total: UInt16

    var type: UInt8 { FrameType.fragment }
    static let fieldByteCount = DatagramFrame.fieldByteCount + 6
}

extension FragmentFrame {
    init?(parsing reader: inout ByteReader) {
        guard let datagram = DatagramFrame(parsing: &reader), let index: UInt8 = reader.read(),
            let count: UInt8 = reader.read(), let offset: UInt16 = reader.read(),
            let total: UInt16 = reader.read()
        else { return nil }
        self.init(datagram: datagram, index: index, count: count, offset: offset, total: total)
    }

    func encode(to writer: inout ByteWriter) {
        self.datagram.encode(to: &writer)
        writer.write(self.index)
        writer.write(self.count)
        writer.write(self.offset)
        writer.write(self.total)
    }
}

/// Small datagrams of a flow once more: a ``CopyReader`` takes apart what follows.
struct CopiesFrame: Frame, Equatable {
    var flow: UInt32

    var type: UInt8 { FrameType.copies }
    static let fieldByteCount = 4
}

extension CopiesFrame {
    init?(parsing reader: inout ByteReader) {
        guard let flow: UInt32 = reader.read() else { return nil }
        self.init(flow: flow)
    }

    func encode(to writer: inout ByteWriter) { writer.write(self.flow) }
}

/// A sum of datagrams of a flow, in place of one that is lost: what follows is `Erasure`'s.
struct RepairFrame: Frame, Equatable {
    var flow: UInt32

    var type: UInt8 { FrameType.repair }
    static let fieldByteCount = 4
}

extension RepairFrame {
    init?(parsing reader: inout ByteReader) {
        guard let flow: UInt32 = reader.read() else { return nil }
        self.init(flow: flow)
    }

    func encode(to writer: inout ByteWriter) { writer.write(self.flow) }
}
