import CSodium
public import Primitives

/// What the owner of the sessions says to an authentic initiation.
public enum ResponderDecision: Sendable {
    /// `continues`: there is a session of this client and instance, which the new keys will carry.
    /// `presharedKey`: what this client has to know besides.
    case accept(continues: Bool, presharedKey: PresharedKey? = nil)
    /// Answer with a refusal for this reason, as often as its source may have one.
    case refuse(RefusalReason)
    /// Say nothing; the next attempt will find things decided.
    case wait
}

/// Why an initiation got no answer.
///
/// One case, one counter.
public enum HandshakeDrop: UInt8, Sendable, CaseIterable {
    /// Not an initiation of this version, or of an impossible size.
    case malformed
    /// Its sender does not know the server's public key.
    case stranger
    /// Knows the key but does not decrypt, or uses a low-order point.
    case unauthentic
    /// A copy that has been answered often enough, or that comes from elsewhere.
    case replayed
    /// This source asks too often.
    case sourceLimit
    /// This client key asks too often.
    case clientLimit
}

/// What became of an initiation.
public enum ResponderOutcome {
    /// There is nothing to send; count it.
    case dropped(HandshakeDrop)
    /// Send the first bytes of the reply buffer back to where the initiation came from: a cookie,
    /// or the answer to a copy. Nothing else has changed.
    case reply(byteCount: Int)
    /// Send the reply, which tells this client why not. Nothing else has changed.
    case refused(RefusalReason, client: PublicKey, replyByteCount: Int)
    /// New keys, unconfirmed until a data packet arrives under them. Send the reply.
    case accepted(EstablishedKeys, client: PublicKey, replyByteCount: Int)
}

/// The server's half of the handshake.
///
/// Silent to whoever does not know the server's public key; never sends more bytes than it got;
/// keeps nothing for clients it has not accepted; allocates nothing for initiations it rejects.
/// Belongs to one thread.
public final class HandshakeResponder {
    /// What this server says of itself; its owner keeps the clock in it current.
    ///
    /// Ciphers and versions are filled in here.
    public var hello = Hello()
    /// Whether this server strengthens keys, and insists on it.
    public var postQuantum = PostQuantumPolicy.off

    private let local: SecretKey
    private let mask: HeaderMask
    private let ciphers: CipherSet
    private let entropy: EntropySource
    private let arena = KeyArena()
    private let noise = NoiseSession()
    private var cookies = CookieJar()
    private var load: LoadDetector
    private var replays: ReplayMemory
    private var clients = ClientLedger()
    private var sources: SourceBuckets
    private var refusals: SourceBuckets
    private var doubtful: SourceBuckets
    private let memory = GuardedMemory(byteCount: 320)

    /// `loadThreshold`: initiations a second from which on cookies are demanded; 2000 is about 15 %
    /// of a core.
    public convenience init(
        local: SecretKey,
        mask: HeaderMask,
        cipher: CipherPreference,
        entropy: EntropySource,
        loadThreshold: Int = 2000
    ) {
        self.init(
            local: local,
            mask: mask,
            ciphers: CipherSet(allowedBy: cipher),
            entropy: entropy,
            loadThreshold: loadThreshold
        )
    }

    init(
        local: SecretKey,
        mask: HeaderMask,
        ciphers: CipherSet,
        entropy: EntropySource,
        loadThreshold: Int
    ) {
        precondition(local.publicKey == mask.serverPublicKey)
        self.local = local
        self.mask = mask
        self.ciphers = ciphers
        self.entropy = entropy
        self.load = LoadDetector(threshold: loadThreshold)
        self.replays = ReplayMemory(entropy: entropy)
        self.sources = SourceBuckets(perSecond: 20, burst: 5, entropy: entropy)
        self.refusals = SourceBuckets(perSecond: 5, burst: 10, entropy: entropy)
        self.doubtful = SourceBuckets(
            perSecond: 4,
            burst: 8,
            hashKey: self.refusals.hashKey
        )
        mask.derive("mac1", local.publicKey, into: self.mac1Key, byteCount: 32)
        mask.derive("cookie", local.publicKey, into: self.cookieKey, byteCount: 32)
    }

    private var mac1Key: UnsafeMutableRawPointer { self.memory.base }
    private var cookieKey: UnsafeMutableRawPointer { self.memory.base + 32 }
    private var peerMACKey: UnsafeMutableRawPointer { self.memory.base + 64 }
    private var prologue: UnsafeMutableRawPointer { self.memory.base + 96 }
    private var answer: UnsafeMutableRawPointer { self.memory.base + 128 }

    /// A data packet has arrived under the keys of `localIndex`: copies of their initiation get no
    /// answer any more.
    public func confirmed(_ localIndex: UInt32) { self.replays.confirmed(localIndex) }

    /// The client's preshared key is another one now: answers made with the former one are not
    /// given again.
    public func forgetAnswers(to client: PublicKey) { self.replays.forget(client) }

    /// Whether initiations must show a cookie at the moment.
    public func isUnderLoad(at now: Instant) -> Bool { self.load.isLoaded(at: now) }

    /// Takes one initiation, its header unmasked; its bytes are lost.
    ///
    /// `reply` has room for as many bytes as `packet` has. `decide` must change nothing: an
    /// initiation may be a recording. `newIndex` is asked for a receiver index that is not in use,
    /// only when the client is accepted.
    public func receive(
        _ packet: UnsafeMutableRawBufferPointer,
        from source: SocketAddress,
        reply: UnsafeMutableRawBufferPointer,
        at now: Instant,
        decide: (PublicKey, Hello) -> ResponderDecision,
        newIndex: () -> UInt32
    ) -> ResponderOutcome {
        let largest = Layout.initiationByteCount + Layout.maximumPadding
        guard let base = packet.baseAddress, let target = reply.baseAddress,
            Layout.initiationByteCount...largest ~= packet.count,
            reply.count >= packet.count, Layout.isHeader(of: .initiation, base)
        else { return .dropped(.malformed) }
        self.mask.applyToEphemeral(packet)
        let noiseEnd = packet.count - 2 * Layout.macByteCount
        guard Layout.isMACValid(after: noiseEnd, of: base, key: self.mac1Key, keyByteCount: 32)
        else { return .dropped(.stranger) }

        // Checked at once: further down mac2 covers bytes that decryption has changed.
        let mustShowCookie = self.load.note(at: now)
        let showsCookie = self.cookies.isValid(
            UnsafeRawBufferPointer(packet),
            from: source,
            entropy: self.entropy,
            at: now
        )
        let request = Request(
            base: base,
            byteCount: packet.count,
            target: target,
            source: source,
            now: now,
            showsCookie: showsCookie,
            hash: self.replays.hash(of: base + Layout.ephemeral)
        )
        if mustShowCookie {
            guard showsCookie else { return self.replyCookie(to: request) }
            guard self.sources.take(for: source, at: now) else { return .dropped(.sourceLimit) }
        }
        switch self.replays.find(request.hash, from: source, at: now) {
        case .unseen: break
        case .spent: return .dropped(.replayed)
        case .resend(let response):
            guard response.count <= packet.count else { return .dropped(.replayed) }
            reply.copyMemory(from: response)
            return .reply(byteCount: response.count)
        }
        defer { self.noise.wipe() }
        guard let hello = self.readInitiation(packet, noiseEnd: noiseEnd) else {
            return .dropped(.unauthentic)
        }
        let decision = decide(self.noise.remoteStatic, hello)
        return self.answer(request, hello, decision, newIndex: newIndex)
    }

    /// One initiation on its way through the checks.
    private struct Request {
        let base: UnsafeMutableRawPointer
        let byteCount: Int
        let target: UnsafeMutableRawPointer
        let source: SocketAddress
        let now: Instant
        let showsCookie: Bool
        let hash: UInt64
    }

    private func readInitiation(_ packet: UnsafeMutableRawBufferPointer, noiseEnd: Int) -> Hello? {
        guard let base = packet.baseAddress else { return nil }
        Layout.writePrologue(for: base, to: self.prologue)
        self.noise.begin(
            isInitiator: false,
            prologue: UnsafeRawBufferPointer(
                start: self.prologue,
                count: Layout.prologueByteCount
            ),
            local: self.local,
            remote: nil
        )
        let message = UnsafeMutableRawBufferPointer(
            start: base + Layout.ephemeral,
            count: noiseEnd - Layout.ephemeral
        )
        guard let payload = self.noise.read(message), payload.count >= Hello.byteCount else {
            return nil
        }
        return Hello(initiation: base + Layout.ephemeral + payload.lowerBound)
    }

    private func answer(
        _ request: Request,
        _ hello: Hello,
        _ decision: ResponderDecision,
        newIndex: () -> UInt32
    ) -> ResponderOutcome {
        if case .wait = decision { return .dropped(.clientLimit) }
        let client = self.noise.remoteStatic
        var (answer, presharedKey) = self.verdict(decision, hello)
        guard answer.refusal == nil, let cipher = answer.cipher else {
            return self.refuse(request, answer.refusal ?? .cipherMismatch)
        }
        // A clock that went back, or a recording: the sender must show that it receives here, and
        // takes a token of its source, so that recordings leave the client's own tokens alone.
        // The same goes for whoever finds none of those left.
        let isDoubtful = self.clients.isStale(hello.unixMilliseconds, of: client)
        if isDoubtful || !self.clients.take(for: client, at: request.now) {
            guard request.showsCookie else { return self.replyCookie(to: request) }
            guard self.doubtful.take(for: request.source, at: request.now) else {
                return .dropped(.clientLimit)
            }
        }
        answer.senderIndex = newIndex()
        self.noise.setPresharedKey(presharedKey)
        guard let byteCount = self.writeResponse(request, answer) else {
            return .dropped(.unauthentic)
        }
        self.clients.accept(hello.unixMilliseconds, of: client)
        self.replays.remember(
            request.hash,
            client: client,
            localIndex: answer.senderIndex,
            source: request.source,
            response: UnsafeRawBufferPointer(start: request.target, count: byteCount),
            at: request.now
        )
        let keys = self.split(cipher)
        var established = EstablishedKeys(
            keys: keys,
            remoteIndex: Layout.index(at: Layout.senderIndex, of: request.base),
            localIndex: answer.senderIndex,
            peerHello: hello,
            continuesSession: answer.continuesSession,
            handshakeHash: self.noise.handshakeHash
        )
        if answer.strengthens {
            established.ratchet = RatchetSecret(
                of: self.noise,
                cipher: cipher,
                arena: self.arena,
                mask: self.mask
            )
            established.requiresRatchet = answer.insists || hello.postQuantum == .require
        }
        return .accepted(established, client: client, replyByteCount: byteCount)
    }

    /// What is said to `hello`, and the preshared key that goes with it.
    private func verdict(
        _ decision: ResponderDecision,
        _ hello: Hello
    ) -> (answer: Answer, presharedKey: PresharedKey?) {
        var answer = Answer()
        guard case .accept(let continues, let presharedKey) = decision else {
            if case .refuse(let reason) = decision { answer.refusal = reason }
            return (answer, nil)
        }
        answer.continuesSession = continues
        answer.cipher = self.ciphers.intersection(hello.ciphers).best
        answer.strengthens = self.postQuantum != .off && hello.postQuantum != .off
        answer.insists = self.postQuantum == .require
        if !(hello.minimumVersion...max(hello.minimumVersion, hello.maximumVersion)
            ~= Hello.version)
        {
            answer.refusal = .versionMismatch
        } else if answer.cipher == nil {
            answer.refusal = .cipherMismatch
        } else if !answer.strengthens, answer.insists || hello.postQuantum == .require {
            answer.refusal = .postQuantum
        }
        return (answer, presharedKey)
    }

    private func split(_ cipher: Cipher) -> TransportKeys {
        let (forward, backward) = self.noise.split()
        return TransportKeys(
            cipher: cipher,
            sending: backward,
            receiving: forward,
            isInitiator: false,
            arena: self.arena,
            mask: self.mask
        )
    }

    /// Says no under a preshared key of zeros: whoever lacks the right one is to know why, too.
    private func refuse(_ request: Request, _ reason: RefusalReason) -> ResponderOutcome {
        guard self.refusals.take(for: request.source, at: request.now) else {
            return .dropped(.sourceLimit)
        }
        var refusal = Answer()
        refusal.refusal = reason
        guard let byteCount = self.writeResponse(request, refusal) else {
            return .dropped(.unauthentic)
        }
        let client = self.noise.remoteStatic
        return .refused(reason, client: client, replyByteCount: byteCount)
    }

    private func writeResponse(_ request: Request, _ answer: Answer) -> Int? {
        let room = min(request.byteCount - Layout.responseByteCount, Layout.maximumPadding)
        let padding = self.mask.drawPadding(upTo: room, entropy: self.entropy)
        sodium_memzero(self.answer, Hello.byteCount + padding)
        self.hello.write(answer: answer, to: self.answer)
        Layout.writeHeader(
            .response,
            receiverIndex: Layout.index(at: Layout.senderIndex, of: request.base),
            senderIndex: answer.senderIndex,
            to: request.target
        )
        self.noise.setEphemeral(self.entropy.fill)
        let written = self.noise.write(
            payload: self.answer,
            Hello.byteCount + padding,
            to: request.target + Layout.ephemeral
        )
        guard let written else { return nil }
        let noiseEnd = Layout.ephemeral + written
        self.mask.derive("mac1", self.noise.remoteStatic, into: self.peerMACKey, byteCount: 32)
        Layout.writeMAC(
            after: noiseEnd,
            of: request.target,
            key: self.peerMACKey,
            keyByteCount: 32
        )
        let byteCount = noiseEnd + Layout.macByteCount
        let response = UnsafeMutableRawBufferPointer(start: request.target, count: byteCount)
        self.mask.applyToEphemeral(response)
        self.mask.applyToHeader(response)
        return byteCount
    }

    private func replyCookie(to request: Request) -> ResponderOutcome {
        let target = request.target
        let receiverIndex = Layout.index(at: Layout.senderIndex, of: request.base)
        Layout.writeHeader(.cookie, receiverIndex: receiverIndex, senderIndex: 0, to: target)
        self.entropy.fill(UnsafeMutableRawBufferPointer(start: target + 12, count: 24))
        let cookie = self.cookies.cookie(
            for: request.source,
            entropy: self.entropy,
            at: request.now
        )
        let mac1 = request.base + (request.byteCount - 2 * Layout.macByteCount)
        crypto_aead_xchacha20poly1305_ietf_encrypt(
            (target + 36).bytes,
            nil,
            cookie.bytes,
            16,
            mac1.bytes,
            16,
            nil,
            (target + 12).bytes,
            self.cookieKey.bytes
        )
        self.mask.applyToHeader(
            UnsafeMutableRawBufferPointer(start: target, count: Layout.cookieByteCount)
        )
        return .reply(byteCount: Layout.cookieByteCount)
    }
}
