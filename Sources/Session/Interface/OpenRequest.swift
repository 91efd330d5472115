public import Erasure
public import Primitives

/// What a stream or flow is for; decides who goes first.
public enum TrafficClass: UInt8, Sendable { case auto, interactive, realtime, bulk }

/// How the datagrams of a flow travel.
public enum Delivery: UInt8, Sendable {
    /// Unordered, never retransmitted, protected by redundancy alone.
    case datagram
    /// Retransmitted while younger than the flow's maximum age.
    case deadline
    /// In order and complete, as messages of a KCP conversation.
    case reliable
}

/// What the service's backends speak.
public enum ServiceProtocol: UInt8, Sendable { case tcp, udp }

/// What the opener of a stream or flow asks for; the body of an OPEN frame.
public struct OpenRequest: Hashable, Sendable {
    /// 1 to 64 bytes of UTF-8 without control and format characters, as configurations allow.
    public var service: String
    /// What the opener's player speaks; the service has to speak the same.
    public var serviceProtocol: ServiceProtocol
    /// The player, as the client claims it.
    public var origin: SocketAddress?
    /// The address the player connected to.
    public var destination: SocketAddress?
    /// What the stream or flow is for.
    public var trafficClass = TrafficClass.auto
    /// Whether both directions use the framing of PROTOCOL.md, section 10.
    public var isCompressed = false
    /// How lost datagrams are dealt with; means nothing to a TCP connection.
    public var delivery = Delivery.datagram
    /// How old a datagram may get, for ``Delivery/deadline``.
    public var maximumAge = Instant.Interval.milliseconds(150)
    /// How long a flow may be silent before it ends.
    public var idleTimeout = Instant.Interval.seconds(120)

    /// What a header before the client said of the connection besides its addresses.
    public var context = OpenContext()

    /// How long bytes of a stream may wait for the other end's acknowledgement before both ends
    /// reset it, in either direction; `nil`: for ever.
    public var maximumStall: Instant.Interval?

    /// Which port of a range the player used; `nil` where the forward has but one.
    public var port: PortPlace?

    /// What this end spends against loss in the direction it sends; not sent to the peer.
    public var redundancy = RedundancyLevel.auto

    /// Most bytes of a service's name.
    public static let serviceByteCountLimit = 64
    /// The longest that a flow may ask to be kept without a word: what configurations allow.
    public static let longestIdle = Instant.Interval.seconds(86_400)

    /// A request for the service without an origin, with every other field at its default.
    public init(service: String, serviceProtocol: ServiceProtocol) {
        self.service = service
        self.serviceProtocol = serviceProtocol
    }
}

/// The layout of docs/PROTOCOL.md, "OPEN".
extension OpenRequest {
    private enum Flags {
        static let udp: UInt8 = 1
        static let origin: UInt8 = 2
        static let destination: UInt8 = 4
        static let compressed: UInt8 = 8
    }

    /// Writes the request; the caller has made sure of ``encodedByteCountLimit`` bytes of room.
    func write(to writer: inout ByteWriter) {
        var flags: UInt8 = self.serviceProtocol == .udp ? Flags.udp : 0
        if self.origin != nil { flags |= Flags.origin }
        if self.destination != nil { flags |= Flags.destination }
        if self.isCompressed { flags |= Flags.compressed }
        writer.write(flags)
        writer.write(self.trafficClass.rawValue | self.delivery.rawValue << 4)
        writer.write(UInt16(clamping: self.maximumAge.milliseconds))
        writer.write(UInt32(clamping: self.idleTimeout.milliseconds))
        for address in [self.origin, self.destination] {
            guard let address else { continue }
            writer.write(address.high.byteSwapped)
            writer.write(address.low.byteSwapped)
            writer.write(address.port)
        }
        writer.write(UInt8(self.service.utf8.count))  // bound: 64, see Configuration
        for byte in self.service.utf8 { writer.write(byte) }
        OpenFields(self).write(to: &writer)
    }

    /// Without ``OpenFields``.
    static let encodedByteCountLimit = 8 + 2 * 18 + 1 + serviceByteCountLimit

    init?(parsing reader: inout ByteReader) {
        guard let flags: UInt8 = reader.read(), let kind: UInt8 = reader.read(),
            let age: UInt16 = reader.read(), let idle: UInt32 = reader.read(),
            let trafficClass = TrafficClass(rawValue: kind & 15),
            let delivery = Delivery(rawValue: kind >> 4)
        else { return nil }
        var addresses: [SocketAddress?] = [nil, nil]
        for (index, flag) in [Flags.origin, Flags.destination].enumerated()
        where flags & flag != 0 {
            guard let high: UInt64 = reader.read(), let low: UInt64 = reader.read(),
                let port: UInt16 = reader.read()
            else { return nil }
            addresses[index] = SocketAddress(
                high: high.byteSwapped,
                low: low.byteSwapped,
                port: port
            )
        }
        guard let length: UInt8 = reader.read(), length > 0,
            Int(length) <= Self.serviceByteCountLimit, let name = reader.read(count: Int(length)),
            let service = String(validating: name, as: UTF8.self), PlainText.isPlain(service),
            let fields = OpenFields(parsing: &reader)
        else { return nil }
        self.init(service: service, serviceProtocol: flags & Flags.udp != 0 ? .udp : .tcp)
        self.origin = addresses[0]
        self.destination = addresses[1]
        self.trafficClass = trafficClass
        self.isCompressed = flags & Flags.compressed != 0
        self.delivery = delivery
        self.maximumAge = .milliseconds(UInt64(age))
        self.idleTimeout = min(max(.milliseconds(UInt64(idle)), .seconds(1)), Self.longestIdle)
        self.context = fields.context
        self.maximumStall = self.serviceProtocol == .tcp ? fields.maximumStall : nil
        self.port = fields.port
    }
}
