/// What a PROXY v2 header before the client said of a connection besides its addresses, for the
/// header that the backend gets.
public struct OpenContext: Hashable, Sendable {
    /// Identifies the connection from end to end; empty: nobody has said.
    public let uniqueID: [UInt8]
    /// The host name that the player asked for; empty: nobody has said.
    public let authority: [UInt8]

    /// Most bytes of a unique id, as in the PROXY v2 header that it comes from.
    public static let uniqueIDLimit = 128
    /// What an OPEN has room for, type and length bytes included; it is repeated in every packet
    /// until the server has it, so it must leave most of one to what it opens.
    public static let byteCountLimit = 256

    /// Nothing was said.
    public init() {
        self.uniqueID = []
        self.authority = []
    }

    /// Leaves out an identifier longer than 128 bytes, and a name that no longer fits beside it.
    public init(uniqueID: [UInt8], authority: [UInt8]) {
        self.uniqueID = uniqueID.count <= Self.uniqueIDLimit ? uniqueID : []
        let room = Self.byteCountLimit - Self.fieldByteCount(self.uniqueID)
        self.authority = Self.fieldByteCount(authority) <= room ? authority : []
    }

    /// What it takes in an OPEN.
    var byteCount: Int {
        Self.fieldByteCount(self.uniqueID) + Self.fieldByteCount(self.authority)
    }

    private static func fieldByteCount(_ value: [UInt8]) -> Int {
        value.isEmpty ? 0 : 2 + value.count
    }
}
