/// How a backend is asked whether it lives.
public enum ProbeKind: Hashable, Sendable {
    /// A TCP connection that is accepted says enough.
    case connect
    /// Source engine's A2S_INFO, over UDP.
    case a2s
    /// RakNet's unconnected ping (Minecraft Bedrock and others), over UDP.
    case raknet
    /// Minecraft's status request, over TCP; the host name is told to the server.
    case minecraft(host: String, port: UInt16)
    /// A query for the address of a name, or for the name servers of the root, over UDP; any answer
    /// but SERVFAIL will do.
    case dns(name: String?)
    /// Sends bytes and expects the answer to contain others; over either.
    case sendExpect(send: [UInt8], expect: [UInt8])
}

/// One probe of one backend as bytes: what to send, and what the answer means.
///
/// Write the request and send it, hand over whatever comes back, and do as ``Step`` says. For
/// ``ProbeKind/connect`` the request is empty and the connection itself is the answer.
public struct ProbeExchange: Sendable {
    /// What the prober does next.
    public enum Step: Hashable, Sendable {
        /// Not decided; wait for more.
        case wait
        /// Ask for the request once more and send that: it has changed.
        case sendAgain
        /// It has answered as expected: the probe is over.
        case alive
        /// Something answered, but not what was expected.
        case wrong
    }

    /// What a stream may send before it must have said what is expected.
    static let answerLimit = 65_536

    /// What is asked of the backend.
    public let kind: ProbeKind
    /// Unpredictable, so that nobody can answer who was not asked.
    private let nonce: UInt64
    private var challenge: UInt32?
    private var challengeCount = 0
    private var search: ByteSearch
    private var held: [UInt8] = []

    /// A probe of which nothing has been sent; `nonce` has to be unpredictable for UDP.
    public init(_ kind: ProbeKind, nonce: UInt64) {
        self.kind = kind
        self.nonce = nonce
        if case .sendExpect(_, let expect) = kind {
            self.search = ByteSearch(expect)
        } else {
            self.search = ByteSearch([])
        }
    }

    /// The bytes to send.
    public var request: [UInt8] {
        switch self.kind {
        case .connect: []
        case .a2s: A2SQuery.request(challenge: self.challenge)
        case .raknet: RakNetPing.request(time: self.nonce, client: ~self.nonce)
        case .minecraft(let host, let port): MinecraftStatus.request(host: host, port: port)
        case .dns(let name):
            DNSQuery.request(id: UInt16(truncatingIfNeeded: self.nonce), name: name)
        case .sendExpect(let send, _): send
        }
    }

    /// A datagram, or the next bytes of a stream.
    public mutating func receive(_ bytes: UnsafeRawBufferPointer) -> Step {
        switch self.kind {
        case .connect:
            return .alive
        case .a2s:
            return unsafe self.receiveA2S(bytes)
        case .raknet:
            return unsafe RakNetPing.isPong(bytes, time: self.nonce) ? .alive : .wait
        case .dns:
            return unsafe DNSQuery.judge(bytes, id: UInt16(truncatingIfNeeded: self.nonce))
        case .minecraft:
            guard self.held.count < MinecraftStatus.headLimit else { return .wrong }
            unsafe self.held.append(contentsOf: bytes.prefix(MinecraftStatus.headLimit))
            return MinecraftStatus.judge(self.held)
        case .sendExpect:
            if unsafe self.search.feed(bytes) { return .alive }
            return self.search.byteCount < Self.answerLimit ? .wait : .wrong
        }
    }

    private mutating func receiveA2S(_ bytes: UnsafeRawBufferPointer) -> Step {
        switch unsafe A2SQuery.read(bytes) {
        case .info: return .alive
        case .challenge(let value):
            // A server may change its mind once; one that never stops would keep us for ever.
            self.challengeCount += 1
            guard self.challengeCount <= 2 else { return .wrong }
            self.challenge = value
            return .sendAgain
        case .other: return .wait
        }
    }
}

/// Finds a pattern in a stream, however it was cut (Knuth, Morris and Pratt, 1977).
struct ByteSearch: Sendable {
    private let pattern: [UInt8]
    /// For each length matched: how much of it still matches when the next byte does not.
    private let fallback: [Int]
    private var matched = 0
    private(set) var byteCount = 0

    init(_ pattern: [UInt8]) {
        self.pattern = pattern
        var fallback = [Int](repeating: 0, count: pattern.count)
        var length = 0
        for place in pattern.indices.dropFirst() {
            while length > 0, pattern[place] != pattern[length] { length = fallback[length - 1] }
            if pattern[place] == pattern[length] { length += 1 }
            fallback[place] = length
        }
        self.fallback = fallback
    }

    /// True once the pattern has been seen; an empty one is seen in anything, even in nothing.
    mutating func feed(_ bytes: UnsafeRawBufferPointer) -> Bool {
        if self.matched == self.pattern.count { return true }
        for index in bytes.indices {
            let byte = unsafe bytes[index]
            self.byteCount += 1
            while self.matched > 0, byte != self.pattern[self.matched] {
                self.matched = self.fallback[self.matched - 1]
            }
            if byte == self.pattern[self.matched] { self.matched += 1 }
            if self.matched == self.pattern.count { return true }
        }
        return false
    }
}
