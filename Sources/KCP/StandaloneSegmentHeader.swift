/// The 24 bytes in front of every segment of the classical protocol, all little endian:
/// `conv u32 | cmd u8 | frg u8 | wnd u16 | ts u32 | sn u32 | una u32 | len u32`.
struct StandaloneSegmentHeader: Equatable {
    static let byteCount = 24

    /// `cmd`.
    enum Command {
        /// `IKCP_CMD_PUSH`: carries data.
        static let push: UInt8 = 81
        /// `IKCP_CMD_ACK`: echoes the `sn` and `ts` of one PUSH.
        static let acknowledgement: UInt8 = 82
        /// `IKCP_CMD_WASK`: asks for the window.
        static let askWindow: UInt8 = 83
        /// `IKCP_CMD_WINS`: tells the window.
        static let tellWindow: UInt8 = 84
    }

    /// `conv`.
    var conversation: UInt32
    /// `cmd`.
    var command: UInt8
    /// `frg`: how many fragments of the message still follow.
    var fragment: UInt8 = 0
    /// `wnd`: how many segments from `una` on there is room for.
    var window: UInt16
    /// `ts`, milliseconds.
    var timestamp: UInt32
    /// `sn`.
    var serial: UInt32
    /// `una`: everything before it has arrived.
    var unacknowledged: UInt32
    /// `len`: the data that follows.
    var length: UInt32 = 0
}

extension StandaloneSegmentHeader {
    init(from bytes: UnsafeRawPointer) {
        func word(_ offset: Int) -> UInt32 {
            UInt32(littleEndian: bytes.loadUnaligned(fromByteOffset: offset, as: UInt32.self))
        }
        self.conversation = word(0)
        self.command = bytes.load(fromByteOffset: 4, as: UInt8.self)
        self.fragment = bytes.load(fromByteOffset: 5, as: UInt8.self)
        self.window = UInt16(
            littleEndian: bytes.loadUnaligned(fromByteOffset: 6, as: UInt16.self)
        )
        self.timestamp = word(8)
        self.serial = word(12)
        self.unacknowledged = word(16)
        self.length = word(20)
    }

    func write(to bytes: UnsafeMutableRawPointer) {
        func put(_ word: UInt32, at offset: Int) {
            bytes.storeBytes(of: word.littleEndian, toByteOffset: offset, as: UInt32.self)
        }
        put(self.conversation, at: 0)
        bytes.storeBytes(of: self.command, toByteOffset: 4, as: UInt8.self)
        bytes.storeBytes(of: self.fragment, toByteOffset: 5, as: UInt8.self)
        bytes.storeBytes(of: self.window.littleEndian, toByteOffset: 6, as: UInt16.self)
        put(self.timestamp, at: 8)
        put(self.serial, at: 12)
        put(self.unacknowledged, at: 16)
        put(self.length, at: 20)
    }
}
