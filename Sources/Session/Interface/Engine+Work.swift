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

extension Engine {
    /// A turn of the driver's loop begins: every session may cost as much as in any other.
    ///
    /// Without a word of turns nothing ever has to wait.
    public func beginTurn() { self.turn &+= 1 }

    /// No packet of the session in `slot` waits any more.
    public func hasCaughtUp(_ slot: UInt32) {
        if Int(slot) < self.shares.count { self.shares[Int(slot)].isWaiting = false }
    }

    /// Whether a packet of the session in `slot` has to wait for another turn.
    func mustWait(_ slot: UInt32, isLate: Bool) -> Bool {
        guard self.turn > 0 else { return false }
        let place = Int(slot)
        while self.shares.count <= place { self.shares.append(WorkShare()) }
        if self.shares[place].turn != self.turn {
            self.shares[place].turn = self.turn
            self.shares[place].spent = 0
        }
        let isSpent = self.shares[place].spent >= WorkShare.perTurn
        guard isSpent || (self.shares[place].isWaiting && !isLate) else { return false }
        self.shares[place].isWaiting = true
        return true
    }

    func charge(_ slot: UInt32, for plaintext: UnsafeRawBufferPointer) {
        guard self.turn > 0 else { return }
        self.shares[Int(slot)].spent += WorkShare.units(of: plaintext)
    }
}
