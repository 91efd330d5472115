import Primitives

/// What may follow the service's name in an OPEN: fields of a type, a length and that many bytes.
struct OpenFields {
    private enum Field {
        static let uniqueID: UInt8 = 1
        static let authority: UInt8 = 2
        static let maximumStall: UInt8 = 3
        static let port: UInt8 = 4
    }

    /// A shorter one would only make work.
    static let leastStall = Instant.Interval.milliseconds(100)

    var context = OpenContext()
    var maximumStall: Instant.Interval?
    var port: PortPlace?

    /// What they take, type and length bytes included.
    var byteCount: Int {
        self.context.byteCount + (self.maximumStall == nil ? 0 : 6) + (self.port == nil ? 0 : 6)
    }

    func write(to writer: inout ByteWriter) {
        let texts = [
            (Field.uniqueID, self.context.uniqueID), (Field.authority, self.context.authority),
        ]
        for (type, value) in texts where !value.isEmpty {
            writer.write(type)
            writer.write(UInt8(value.count))  // bound: `OpenContext.byteCountLimit`
            value.withUnsafeBytes { writer.write($0) }
        }
        if let maximumStall {
            writer.write(Field.maximumStall)
            writer.write(UInt8(4))
            writer.write(UInt32(clamping: maximumStall.milliseconds))
        }
        if let port {
            writer.write(Field.port)
            writer.write(UInt8(4))
            writer.write(port.offset)
            writer.write(port.count)
        }
    }

    init(_ request: OpenRequest) {
        self.context = request.context
        self.maximumStall = request.maximumStall
        self.port = request.port
    }

    /// Reads to the end; `nil` if that is malformed.
    ///
    /// Fields of other types, and bytes behind a number, are for later versions.
    init?(parsing reader: inout ByteReader) {
        var uniqueID: [UInt8] = []
        var authority: [UInt8] = []
        while reader.remaining > 0 {
            guard let type: UInt8 = reader.read(), let count: UInt8 = reader.read(),
                let value = reader.read(count: Int(count))
            else { return nil }
            var number = ByteReader(value)
            switch type {
            case Field.uniqueID:
                guard value.count <= OpenContext.uniqueIDLimit else { return nil }
                uniqueID = Array(value)
            case Field.authority: authority = Array(value)
            case Field.maximumStall:
                guard let stall: UInt32 = number.read() else { return nil }
                let wanted = Instant.Interval.milliseconds(UInt64(stall))
                self.maximumStall = stall == 0 ? nil : max(wanted, Self.leastStall)
            case Field.port:
                guard let offset: UInt16 = number.read(), let count: UInt16 = number.read(),
                    offset < count
                else { return nil }
                self.port = PortPlace(offset: offset, count: count)
            default: break
            }
        }
        self.context = OpenContext(uniqueID: uniqueID, authority: authority)
    }
}

/// Which of the ports of a forward a player used.
public struct PortPlace: Hashable, Sendable {
    /// From the first one; below ``count``.
    public var offset: UInt16
    /// How many ports the forward has.
    public var count: UInt16

    /// Needs `offset` to be below `count`.
    public init(offset: UInt16, count: UInt16) {
        self.offset = offset
        self.count = count
    }
}
