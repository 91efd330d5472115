/// What packets of one session may cost in a turn of the driver's loop.
///
/// A packet full of small frames costs as much as a hundred others. Whoever sends many of them must
/// not hold up everybody's packets, so its own wait for the next turn.
struct WorkShare {
    /// Units a turn; beyond them packets wait.
    ///
    /// That is a few milliseconds' work. Who leads thousands of players here comes near it only
    /// after the machine has stood still for a while.
    static let perTurn = 1024
    /// What every packet may hold for nothing.
    static let freePerPacket = 8

    var turn: UInt64 = 0
    var spent = 0
    /// Packets of this session wait, so that later ones have to wait behind them.
    var isWaiting = false

    /// What the frames of a packet cost, about 3 µs a unit at most.
    static func units(of plaintext: UnsafeRawBufferPointer) -> Int {
        var units = 0
        var offset = 0
        while offset + FrameHeader.byteCount <= plaintext.count {
            let type = plaintext[offset]
            guard type != FrameType.padding else { break }
            switch type {
            case FrameType.open, FrameType.reset: units += 4
            case FrameType.datagram, FrameType.fragment, FrameType.repair, FrameType.copies:
                units += 2
            default: units += 1
            }
            let length = Int(plaintext[offset + 1]) | Int(plaintext[offset + 2]) << 8
            offset += FrameHeader.byteCount + length
        }
        return max(0, units - Self.freePerPacket)
    }
}

/// The shares of all sessions of an engine.
struct WorkShares {
    /// For so many turns after two sessions sent something, they are taken to do so still.
    private static let memory: UInt64 = 256

    /// The driver's turns; 0: it never spoke of any.
    private var turn: UInt64 = 0
    private var shares: [WorkShare] = []
    private var lastSlot: UInt32?
    /// The last turn in which a packet came from another session than the one before it.
    private var sharedTurn: UInt64?

    mutating func beginTurn() { self.turn &+= 1 }

    mutating func hasCaughtUp(_ slot: UInt32) {
        if Int(slot) < self.shares.count { self.shares[Int(slot)].isWaiting = false }
    }

    mutating func mustWait(_ slot: UInt32, isLate: Bool) -> Bool {
        guard self.turn > 0 else { return false }
        let place = Int(slot)
        while self.shares.count <= place { self.shares.append(WorkShare()) }
        if self.lastSlot.map({ $0 != slot }) ?? false { self.sharedTurn = self.turn }
        self.lastSlot = slot
        if self.shares[place].turn != self.turn {
            self.shares[place].turn = self.turn
            self.shares[place].spent = 0
        }
        // Who is alone keeps nobody waiting.
        let isShared = self.sharedTurn.map { self.turn &- $0 < Self.memory } ?? false
        let isSpent = isShared && self.shares[place].spent >= WorkShare.perTurn
        guard isSpent || (self.shares[place].isWaiting && !isLate) else { return false }
        self.shares[place].isWaiting = true
        return true
    }

    mutating func charge(_ slot: UInt32, for plaintext: UnsafeRawBufferPointer) {
        guard self.turn > 0 else { return }
        self.shares[Int(slot)].spent += WorkShare.units(of: plaintext)
    }
}

extension Engine {
    /// A turn of the driver's loop begins: every session may cost as much as in any other.
    ///
    /// Without a word of turns nothing ever has to wait.
    public func beginTurn() { self.work.beginTurn() }

    /// No packet of the session in `slot` waits any more.
    public func hasCaughtUp(_ slot: UInt32) { self.work.hasCaughtUp(slot) }
}
