import CSodium
public import Primitives

/// What became of a packet given to an initiator.
public enum InitiatorOutcome {
    /// Why a packet changed nothing; counted as a drop.
    public enum Reason: UInt8, Sendable, CaseIterable {
        /// No handshake is under way, or the packet belongs to another one.
        case unexpected
        /// Of no type or size that a server sends to a client.
        case malformed
        /// A MAC or a seal does not fit: forged, damaged, or made with another key.
        case unauthentic
    }

    /// Nothing has changed; count it and go on waiting.
    case ignored(Reason)
    /// Ask for the next packet: the initiation is due again, now with the cookie.
    case cookieStored
    /// The handshake is over, and its keys seal from now on.
    case established(EstablishedKeys)
    /// The server said no. The handshake is over.
    case refused(RefusalReason)
}

/// The client's half of the handshake: one at a time, repeated until it succeeds or is cancelled.
///
/// Only authentic packets change anything. Belongs to one thread.
public final class HandshakeInitiator {
    /// Whether a handshake is under way.
    public private(set) var isActive = false
    /// When the first initiation of this handshake went out.
    ///
    /// The server's silence is the caller's to judge.
    public var firstSentAt: Instant? { self.schedule.firstSentAt }
    /// What the server has to know besides its own key; a change acts on the next attempt.
    public var presharedKey: PresharedKey?
    /// Likewise acts on the next attempt.
    public var postQuantum = PostQuantumPolicy.off
    /// Whether this handshake had an answer that its keys do not open.
    ///
    /// The likely reason is another preshared key at the other end. Whoever knows both public keys
    /// can forge such an answer, so that it ends nothing.
    public private(set) var hasUnreadableAnswer = false

    /// The addresses of the server; see ``Addresses``.
    public var addresses = Addresses()

    /// The addresses of a server that are tried beside each other, each with a key of its own.
    public struct Addresses: Sendable {
        /// How many there are, at least one; acts on the next attempt.
        public var count = 1
        /// Which of them the last packet is for, 0..<``count``.
        ///
        /// What a cookie asks for belongs where the cookie came from: the caller says so.
        public var index = 0
    }

    private let local: SecretKey
    private let remote: PublicKey
    private let mask: HeaderMask
    private let ciphers: CipherSet
    private let preference: CipherPreference
    private let entropy: EntropySource
    private let arena = KeyArena()

    /// The newest attempt and those before it, whose answers may still be on their way.
    private var attempts: [Attempt]
    private var newest = 0
    private var localIndex: UInt32 = 0
    private var routeIndex: UInt32 = 0
    private var hello = Hello()
    private var schedule = Schedule()
    private var cookieReceivedAt: Instant?
    private let memory = GuardedMemory(byteCount: 384)

    /// When the initiation goes out, and goes out again.
    private struct Schedule {
        var startedAt = Instant(nanoseconds: 0)
        var sentCount = 0
        var firstSentAt: Instant?
        var dueAt = Instant.never
        /// When it would be due but for the hurry.
        var scheduledAt = Instant.never
        /// Whether the next packet is the one a cookie asked for, outside the schedule.
        var isHurried = false
        var mayHurry = false
    }

    /// Tries that share the first ephemeral key: the server repeats an answer three times.
    ///
    /// It repeats it only where the first of them came from, so a client whose address changes
    /// needs another key; the later tries are rare enough to have one each.
    private static let quickTries = 4
    /// The last goes on, and a fifth more stays below the 3 s in which a player is to be back.
    private static let retryMilliseconds: [UInt64] = [250, 500, 1000, 2000, 2400]
    /// How long an address has the server for itself before the next one is tried beside it, give
    /// or take a fifth (RFC 8305 §5).
    private static let raceMilliseconds: UInt64 = 200
    private static let attemptCount = 4
    static let maximumPacketByteCount = Layout.initiationByteCount + Layout.maximumPadding

    /// A client's half with nothing under way; allocates guarded memory for two attempts.
    ///
    /// `local` is shared, not copied; `mask` has to be derived from `remote`.
    public convenience init(
        local: SecretKey,
        remote: PublicKey,
        mask: HeaderMask,
        cipher: CipherPreference,
        entropy: EntropySource
    ) {
        self.init(
            local: local,
            remote: remote,
            mask: mask,
            ciphers: CipherSet(allowedBy: cipher),
            preference: cipher,
            entropy: entropy
        )
    }

    init(
        local: SecretKey,
        remote: PublicKey,
        mask: HeaderMask,
        ciphers: CipherSet,
        preference: CipherPreference,
        entropy: EntropySource
    ) {
        self.local = local
        self.remote = remote
        self.mask = mask
        self.ciphers = ciphers
        self.preference = preference
        self.entropy = entropy
        self.attempts = (0..<Self.attemptCount).map { _ in Attempt() }
        mask.derive("mac1", remote, into: self.mac1Key, byteCount: 32)
        mask.derive("mac1", local.publicKey, into: self.ownMACKey, byteCount: 32)
        mask.derive("cookie", remote, into: self.cookieKey, byteCount: 32)
    }

    private var mac1Key: UnsafeMutableRawPointer { self.memory.base }
    private var ownMACKey: UnsafeMutableRawPointer { self.memory.base + 32 }
    private var cookieKey: UnsafeMutableRawPointer { self.memory.base + 64 }
    private var cookie: UnsafeMutableRawPointer { self.memory.base + 96 }
    private var prologue: UnsafeMutableRawPointer { self.memory.base + 128 }
    private var payload: UnsafeMutableRawPointer { self.memory.base + 160 }

    /// One initiation, kept as before masking, and the Noise state that waits for its answer.
    private final class Attempt {
        let noise = NoiseSession()
        let packet = UnsafeMutableRawPointer.allocate(
            byteCount: HandshakeInitiator.maximumPacketByteCount,
            alignment: 16
        )
        /// 0 when there is nothing to wait for.
        var byteCount = 0
        var presharedKey: PresharedKey?

        deinit { self.packet.deallocate() }

        var mac1: UnsafeMutableRawPointer {
            self.packet + (self.byteCount - 2 * Layout.macByteCount)
        }

        func wipe() {
            self.noise.wipe()
            self.byteCount = 0
            self.presharedKey = nil
        }
    }

    /// Begins a handshake, giving up one that is under way.
    ///
    /// `routeIndex` is the server's receiver index of the session being renewed, else 0: it leads
    /// the initiation to the worker that owns the session.
    public func start(localIndex: UInt32, routeIndex: UInt32, hello: Hello, at now: Instant) {
        self.cancel()
        self.isActive = true
        self.localIndex = localIndex
        self.routeIndex = routeIndex
        self.hello = hello
        self.hello.ciphers = self.ciphers
        self.hello.preference = self.preference
        self.hello.postQuantum = self.postQuantum
        self.schedule.startedAt = now
        self.schedule.dueAt = now
    }

    /// Ends the handshake and wipes it.
    ///
    /// A cookie stays: the next handshake may need it.
    public func cancel() {
        self.isActive = false
        self.schedule.firstSentAt = nil
        self.schedule.sentCount = 0
        self.schedule.dueAt = .never
        self.schedule.mayHurry = false
        self.hasUnreadableAnswer = false
        for attempt in self.attempts { attempt.wipe() }
    }

    /// When ``nextPacket(into:at:)`` has something; ``Instant/never`` when idle.
    public var deadline: Instant { self.schedule.dueAt }

    /// Writes the initiation that is due, masked, and returns its size; `nil` when none is.
    ///
    /// `buffer` has room for at least 268 bytes.
    public func nextPacket(into buffer: UnsafeMutableRawBufferPointer, at now: Instant) -> Int? {
        guard self.isActive, now >= self.schedule.dueAt, let target = buffer.baseAddress else {
            return nil
        }
        precondition(buffer.count >= Self.maximumPacketByteCount)
        let isScheduled = !self.schedule.isHurried
        // Copies are answered where the first came from: another address needs another key.
        let isFresh =
            self.schedule.sentCount == 0 || self.schedule.sentCount >= Self.quickTries
            || self.addresses.count > 1
        if isScheduled, isFresh {
            guard self.makeAttempt(at: now) else {
                // The server's key is a low-order point: nobody can ever answer.
                self.cancel()
                return nil
            }
        }
        let attempt = self.attempts[self.newest]
        target.copyMemory(from: attempt.packet, byteCount: attempt.byteCount)
        self.writeMAC2(target, attempt.byteCount, at: now)
        let packet = UnsafeMutableRawBufferPointer(start: target, count: attempt.byteCount)
        self.mask.applyToEphemeral(packet)
        self.mask.applyToHeader(packet)
        if self.firstSentAt == nil { self.schedule.firstSentAt = now }
        self.schedule.isHurried = false
        if isScheduled {
            self.addresses.index = self.schedule.sentCount % max(1, self.addresses.count)
            self.schedule.sentCount += 1
            self.schedule.mayHurry = true
            self.schedule.scheduledAt = now + self.retryInterval()
        }
        self.schedule.dueAt = self.schedule.scheduledAt
        return packet.count
    }

    /// The schedule of the design, give or take a fifth, so that clients cut off together do not
    /// come back together.
    private func retryInterval() -> Instant.Interval {
        let count = max(1, self.addresses.count)
        let step = min((self.schedule.sentCount - 1) / count, Self.retryMilliseconds.count - 1)
        // A round takes as long as the pause of one address would.
        let taken = UInt64(clamping: count - 1) * Self.raceMilliseconds  // bound: a few addresses
        let pause =
            self.schedule.sentCount % count == 0
            ? max(Self.retryMilliseconds[step], taken + Self.raceMilliseconds) - taken
            : Self.raceMilliseconds
        let microseconds = pause * 1000
        let jitter = self.entropy.next(UInt64.self) % (microseconds * 2 / 5)  // bound: the schedule
        return .microseconds(microseconds * 4 / 5 + jitter)  // bound: the schedule
    }

    private func makeAttempt(at now: Instant) -> Bool {
        // Two tries of one address are far apart, those of several are not.
        let kept = self.addresses.count > 1 ? Self.attemptCount : 2
        self.newest = (self.newest + 1) % kept
        let attempt = self.attempts[self.newest]
        attempt.wipe()
        let padding = self.mask.drawPadding(upTo: Layout.maximumPadding, entropy: self.entropy)
        Layout.writeHeader(
            .initiation,
            receiverIndex: self.routeIndex,
            senderIndex: self.localIndex,
            to: attempt.packet
        )
        Layout.writePrologue(for: attempt.packet, to: self.prologue)
        attempt.noise.begin(
            isInitiator: true,
            prologue: UnsafeRawBufferPointer(
                start: self.prologue,
                count: Layout.prologueByteCount
            ),
            local: self.local,
            remote: self.remote
        )
        attempt.presharedKey = self.presharedKey
        attempt.noise.setPresharedKey(self.presharedKey)
        attempt.noise.setEphemeral(self.entropy.fill)
        // A later attempt is a later reading of the clock, or it would look like a recording.
        var hello = self.hello
        if hello.unixMilliseconds != 0 {
            hello.unixMilliseconds &+= now.since(self.schedule.startedAt).milliseconds
        }
        sodium_memzero(self.payload, Hello.byteCount + padding)
        hello.write(to: self.payload)
        let written = attempt.noise.write(
            payload: self.payload,
            Hello.byteCount + padding,
            to: attempt.packet + Layout.ephemeral
        )
        guard let written else { return false }
        let noiseEnd = Layout.ephemeral + written
        attempt.byteCount = noiseEnd + 2 * Layout.macByteCount
        Layout.writeMAC(after: noiseEnd, of: attempt.packet, key: self.mac1Key, keyByteCount: 32)
        return true
    }

    /// With a cookie a MAC, else random bytes that look the same.
    private func writeMAC2(_ packet: UnsafeMutableRawPointer, _ byteCount: Int, at now: Instant) {
        let offset = byteCount - Layout.macByteCount
        if let cookieReceivedAt, now.since(cookieReceivedAt) < KeyLifetime.cookieLifetime {
            Layout.writeMAC(
                after: offset,
                of: packet,
                key: self.cookie,
                keyByteCount: Layout.macByteCount
            )
        } else {
            let mac2 = UnsafeMutableRawBufferPointer(start: packet + offset, count: 16)
            self.entropy.fill(mac2)
        }
    }

    /// Takes a response or a cookie, its header unmasked; its bytes are lost.
    public func receive(
        _ packet: UnsafeMutableRawBufferPointer,
        at now: Instant
    ) -> InitiatorOutcome {
        guard let base = packet.baseAddress, packet.count >= Layout.cookieByteCount else {
            return .ignored(.malformed)
        }
        guard self.isActive, Layout.index(at: Layout.receiverIndex, of: base) == self.localIndex
        else { return .ignored(.unexpected) }
        if Layout.isHeader(of: .cookie, base) { return self.receiveCookie(packet, base, at: now) }
        if Layout.isHeader(of: .response, base) { return self.receiveResponse(packet, base) }
        return .ignored(.malformed)
    }

    private func receiveCookie(
        _ packet: UnsafeMutableRawBufferPointer,
        _ base: UnsafeMutableRawPointer,
        at now: Instant
    ) -> InitiatorOutcome {
        guard packet.count == Layout.cookieByteCount,
            Layout.index(at: Layout.senderIndex, of: base) == 0
        else { return .ignored(.malformed) }
        // Only an answer to what we have sent opens, because our mac1 is authenticated with it.
        for attempt in self.attempts where attempt.byteCount > 0 {
            let status = crypto_aead_xchacha20poly1305_ietf_decrypt(
                self.payload.bytes,
                nil,
                nil,
                (base + 36).bytes,
                32,
                attempt.mac1.bytes,
                16,
                (base + 12).bytes,
                self.cookieKey.bytes
            )
            guard status == 0 else { continue }
            self.cookie.copyMemory(from: self.payload, byteCount: Layout.macByteCount)
            self.cookieReceivedAt = now
            // At most one hurried packet per scheduled one, or two machines could keep each other
            // busy for ever.
            if self.schedule.mayHurry {
                self.schedule.mayHurry = false
                self.schedule.isHurried = true
                self.schedule.dueAt = now
            }
            return .cookieStored
        }
        return .ignored(.unauthentic)
    }

    private func receiveResponse(
        _ packet: UnsafeMutableRawBufferPointer,
        _ base: UnsafeMutableRawPointer
    ) -> InitiatorOutcome {
        let largest = Layout.responseByteCount + Layout.maximumPadding
        guard Layout.responseByteCount...largest ~= packet.count else {
            return .ignored(.malformed)
        }
        self.mask.applyToEphemeral(packet)
        let noiseEnd = packet.count - Layout.macByteCount
        guard Layout.isMACValid(after: noiseEnd, of: base, key: self.ownMACKey, keyByteCount: 32)
        else { return .ignored(.unauthentic) }
        // Reading happens in place, so the second attempt needs the bytes once more.
        let message = Layout.ephemeral..<noiseEnd
        for attempt in self.attempts where attempt.byteCount > 0 {
            if let outcome = self.finish(attempt, UnsafeRawBufferPointer(packet), message) {
                return outcome
            }
        }
        self.hasUnreadableAnswer = true
        return .ignored(.unauthentic)
    }

    /// What an answer to `attempt` says; `nil`, and nothing changed, if it is not authentic.
    private func read(
        _ attempt: Attempt,
        _ packet: UnsafeRawBufferPointer,
        _ range: Range<Int>
    ) -> (hello: Hello, answer: Answer)? {
        let scratch = UnsafeMutableRawBufferPointer(start: self.payload, count: range.count)
        scratch.copyMemory(from: UnsafeRawBufferPointer(rebasing: packet[range]))
        attempt.noise.save()
        guard let payload = attempt.noise.read(scratch), payload.count >= Hello.byteCount,
            let packetBase = packet.baseAddress,
            let (hello, answer) = Hello.parse(response: self.payload + payload.lowerBound),
            answer.senderIndex == Layout.index(at: Layout.senderIndex, of: packetBase)
        else {
            attempt.noise.restore()
            return nil
        }
        return (hello, answer)
    }

    /// A server says no under a preshared key of zeros, and may say nothing else under it.
    private func readRefusal(
        _ attempt: Attempt,
        _ packet: UnsafeRawBufferPointer,
        _ range: Range<Int>
    ) -> InitiatorOutcome? {
        guard attempt.presharedKey != nil else { return nil }
        attempt.noise.setPresharedKey(nil)
        defer { attempt.noise.setPresharedKey(attempt.presharedKey) }
        guard let (_, answer) = self.read(attempt, packet, range) else { return nil }
        guard let refusal = answer.refusal else {
            attempt.noise.restore()
            return nil
        }
        return .refused(refusal)
    }

    /// `nil` if the response is not an authentic answer to `attempt`.
    private func finish(
        _ attempt: Attempt,
        _ packet: UnsafeRawBufferPointer,
        _ range: Range<Int>
    ) -> InitiatorOutcome? {
        guard let (hello, answer) = self.read(attempt, packet, range) else {
            guard let refusal = self.readRefusal(attempt, packet, range) else { return nil }
            self.cancel()
            return refusal
        }
        defer { self.cancel() }
        if let refusal = answer.refusal { return .refused(refusal) }
        guard let cipher = answer.cipher, self.ciphers.contains(CipherSet(cipher)) else {
            return .refused(.cipherMismatch)
        }
        let policy = self.hello.postQuantum
        guard answer.strengthens ? policy != .off : policy != .require && !answer.insists else {
            return .refused(.postQuantum)
        }
        let (forward, backward) = attempt.noise.split()
        let keys = TransportKeys(
            cipher: cipher,
            sending: forward,
            receiving: backward,
            isInitiator: true,
            arena: self.arena,
            mask: self.mask
        )
        var established = EstablishedKeys(
            keys: keys,
            remoteIndex: answer.senderIndex,
            localIndex: self.localIndex,
            peerHello: hello,
            continuesSession: answer.continuesSession,
            handshakeHash: attempt.noise.handshakeHash
        )
        if answer.strengthens {
            established.ratchet = RatchetSecret(
                of: attempt.noise,
                cipher: cipher,
                arena: self.arena,
                mask: self.mask
            )
            established.requiresRatchet = policy == .require || answer.insists
        }
        return .established(established)
    }
}
