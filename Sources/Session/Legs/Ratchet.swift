import Primitives
import Sealing

/// One end's part in making the keys of one handshake stronger.
///
/// The client sends its public key, the server the ciphertext. Both travel in four parts, each
/// small enough for any packet, and each repeated when it is lost.
final class Ratchet {
    /// One of the two messages: ``partCount`` parts of one size.
    struct Message {
        private(set) var bytes: [UInt8]
        /// Which parts are here; of one to send, which are due.
        private(set) var parts: UInt8 = 0

        /// One to send, all of it due.
        init(sending bytes: [UInt8]) {
            precondition(bytes.count % Ratchet.partCount == 0, "its parts are not of one size")
            self.bytes = bytes
            self.parts = Ratchet.allParts
        }

        /// One to receive.
        init(receivingByteCount count: Int) { self.bytes = [UInt8](repeating: 0, count: count) }

        var partByteCount: Int { self.bytes.count / Ratchet.partCount }
        var isComplete: Bool { self.parts == Ratchet.allParts }

        func range(of part: UInt8) -> Range<Int> {
            let start = Int(part) * self.partByteCount
            return start..<start + self.partByteCount
        }

        /// The next part that is due, from now on not due; `nil` if none is.
        mutating func takeDue() -> UInt8? {
            guard self.parts != 0 else { return nil }
            let part = UInt8(clamping: self.parts.trailingZeroBitCount)
            assert(part < Ratchet.partCount)
            self.parts &= ~(1 << part)
            return part
        }

        mutating func repeatPart(_ part: UInt8) {
            precondition(part < Ratchet.partCount, "a part of which there is none")
            self.parts |= 1 << part
        }

        /// False for a part that is here already, or of another size.
        mutating func receive(_ part: UInt8, _ content: UnsafeRawBufferPointer) -> Bool {
            let bit: UInt8 = 1 << part
            guard self.parts & bit == 0, content.count == self.partByteCount else { return false }
            let range = self.range(of: part)
            precondition(range.upperBound <= self.bytes.count)
            self.bytes.withUnsafeMutableBytes {
                UnsafeMutableRawBufferPointer(rebasing: $0[range]).copyMemory(from: content)
            }
            self.parts |= bit
            return true
        }
    }

    static let partCount = 4
    static let allParts: UInt8 = 0b1111
    // The sender's new receiver index (4), then the public key.
    static let offerByteCount = 4 + KeyEncapsulation.publicKeyByteCount
    // The same, the ciphertext, the confirmation.
    static let answerByteCount =
        4 + KeyEncapsulation.ciphertextByteCount + RatchetSecret.confirmationByteCount
    /// What it is charged with: both messages and a private key.
    static let byteCount = 8192

    /// Until the peer's message has been looked at.
    private var secret: RatchetSecret?
    /// The server's receiver index of the handshake, by which both ends name it.
    let handshake: UInt32
    /// This end's receiver index under the new keys; 0 on a server before it has answered.
    private(set) var localIndex: UInt32 = 0
    let startedAt: Instant
    /// Client: the private key.
    private let key: (any DecapsulationKey)?
    var outgoing: Message?
    var incoming: Message?
    /// Whether the peer's message has been looked at, which costs too much to be done twice.
    var isSpent: Bool { self.secret == nil }

    /// Client: offers the public key of `key`.
    init(
        _ secret: RatchetSecret,
        handshake: UInt32,
        offering key: any DecapsulationKey,
        localIndex: UInt32,
        at now: Instant
    ) {
        self.secret = secret
        self.handshake = handshake
        self.key = key
        self.localIndex = localIndex
        self.startedAt = now
        self.outgoing = Message(sending: Self.littleEndian(localIndex) + key.publicKey)
        self.incoming = Message(receivingByteCount: Self.answerByteCount)
    }

    /// Server: waits for an offer.
    init(_ secret: RatchetSecret, handshake: UInt32, at now: Instant) {
        self.secret = secret
        self.handshake = handshake
        self.key = nil
        self.startedAt = now
    }

    private static func littleEndian(_ index: UInt32) -> [UInt8] {
        withUnsafeBytes(of: index.littleEndian) { [UInt8]($0) }
    }

    /// What it is charged with: a server's, which any client may begin, with nothing before an
    /// offer comes.
    var memoryByteCount: Int {
        self.key != nil || self.incoming != nil || self.isSpent ? Self.byteCount : 0
    }

    /// The index that the peer's message begins with.
    private static func index(in message: UnsafeRawBufferPointer) -> UInt32 {
        UInt32(littleEndian: message.loadUnaligned(as: UInt32.self))
    }

    /// Server: answers the offer, which is complete; `nil` if it holds no public key.
    func answer(
        by mechanism: KeyEncapsulation,
        localIndex: UInt32
    ) -> (keys: TransportKeys, remoteIndex: UInt32)? {
        guard let (offer, secret) = self.takeMessage() else { return nil }
        var answer = Self.littleEndian(localIndex)
        answer += [UInt8](repeating: 0, count: KeyEncapsulation.ciphertextByteCount)
        let made = answer.withUnsafeMutableBytes { answer in
            offer.withUnsafeBytes { offer in
                secret.answer(
                    UnsafeRawBufferPointer(rebasing: offer[4...]),
                    by: mechanism,
                    ciphertext: UnsafeMutableRawBufferPointer(rebasing: answer[4...])
                )
            }
        }
        guard let made else { return nil }
        self.localIndex = localIndex
        self.outgoing = Message(sending: answer + made.confirmation)
        return (made.keys, offer.withUnsafeBytes(Self.index(in:)))
    }

    /// Client: takes the answer, which is complete; `nil` if it is none to this offer.
    func finish() -> (keys: TransportKeys, remoteIndex: UInt32)? {
        guard let key = self.key, let (answer, secret) = self.takeMessage() else {
            return nil
        }
        return answer.withUnsafeBytes { answer in
            let end = answer.count - RatchetSecret.confirmationByteCount
            let keys = secret.finish(
                key,
                ciphertext: UnsafeRawBufferPointer(rebasing: answer[4..<end]),
                confirmation: UnsafeRawBufferPointer(rebasing: answer[end...])
            )
            return keys.map { ($0, Self.index(in: answer)) }
        }
    }

    private func takeMessage() -> (bytes: [UInt8], secret: RatchetSecret)? {
        guard let secret = self.secret, let incoming = self.incoming, incoming.isComplete else {
            return nil
        }
        self.secret = nil
        self.incoming = nil
        return (incoming.bytes, secret)
    }
}
