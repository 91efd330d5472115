/// What each side tells the other inside the handshake, encrypted and authenticated.
public struct Hello: Hashable, Sendable {
    /// Names this process or session.
    ///
    /// A server continues a session (a rekey) iff it still has one for this client key and
    /// instance.
    public var instance: UInt64
    /// The largest UDP payload this end accepts.
    public var maximumPacketSize: UInt16
    /// Filled in by the initiator and the responder from their own preference.
    public var ciphers: CipherSet
    /// What the sender would choose; informative, since the server decides.
    public var preference: CipherPreference
    /// The lowest protocol version that the sender speaks.
    public var minimumVersion: UInt8
    /// The highest one; the server refuses a client whose range does not hold its own version.
    public var maximumVersion: UInt8
    /// Wall-clock time, advisory: nobody is locked out for a wrong clock.
    ///
    /// 0 is "no clock".
    public var unixMilliseconds: UInt64
    /// Which worker the sender would like to be served by; has no meaning to this module.
    public var workerHint: UInt32
    /// Filled in likewise: whether this end strengthens its keys, and insists on it.
    public var postQuantum = PostQuantumPolicy.off

    /// The only version there is.
    public static let version: UInt8 = 1
    static let byteCount = 32

    /// A hello of this version without ciphers, which the handshake fills in.
    public init(
        instance: UInt64 = 0,
        maximumPacketSize: UInt16 = 1200,
        unixMilliseconds: UInt64 = 0,
        workerHint: UInt32 = 0
    ) {
        self.instance = instance
        self.maximumPacketSize = maximumPacketSize
        self.ciphers = []
        self.preference = .auto
        self.minimumVersion = Self.version
        self.maximumVersion = Self.version
        self.unixMilliseconds = unixMilliseconds
        self.workerHint = workerHint
    }
}

/// Why a server says no to somebody who has proved to know its public key.
public enum RefusalReason: UInt8, Sendable, CaseIterable {
    /// The server does not know the client's public key.
    case unknownKey = 1
    /// Those of PROTOCOL.md, section 3, in this order: status 2 to 6.
    case noPermission, cipherMismatch, versionMismatch, limit, keyExpired
    /// One end insists on the post-quantum exchange that the other does not do.
    case postQuantum

    /// What logs, metrics and the client's messages call the reason.
    public var label: String {
        switch self {
        case .unknownKey: "unknown-key"
        case .noPermission: "no-permission"
        case .cipherMismatch: "cipher-mismatch"
        case .versionMismatch: "version-mismatch"
        case .limit: "limit"
        case .keyExpired: "key-expired"
        case .postQuantum: "post-quantum"
        }
    }

    /// Who is turned away for it, in one sentence.
    public var meaning: String {
        switch self {
        case .unknownKey: "Clients whose public key no `[[peer]]` names."
        case .noPermission: "Clients whose `[[peer]]` lists no service."
        case .cipherMismatch: "Clients that allow no cipher which this server allows."
        case .versionMismatch: "Clients that speak other versions of the protocol."
        case .limit: "Clients with as many sessions as they may have."
        case .keyExpired: "Clients whose `[[peer]]` is past `expires` or not enabled."
        case .postQuantum: "Clients that do not agree with this server on `post_quantum`."
        }
    }
}

/// The server's verdict, as it travels in a response.
struct Answer {
    var cipher: Cipher?
    var refusal: RefusalReason?
    var continuesSession = false
    /// Whether the keys are to be strengthened, and whether the server insists on it.
    var strengthens = false
    var insists = false
    /// The server's receiver index once more, because the header is not part of Noise's transcript.
    var senderIndex: UInt32 = 0
}

extension Hello {
    /// Writes the 32 bytes of an initiation's hello.
    ///
    /// `0 ms u64 | 8 instance u64 | 16 version u8, u8 | 18 size u16 | 20 ciphers u8, preference u8,
    /// mechanisms u8 (1: ML-KEM-768), flags u8 (1: required) | 24 worker u32 | 28 0`
    func write(to target: UnsafeMutableRawPointer) {
        target.storeBytes(of: self.unixMilliseconds.littleEndian, as: UInt64.self)
        target.storeBytes(of: self.instance.littleEndian, toByteOffset: 8, as: UInt64.self)
        target.storeBytes(of: self.minimumVersion, toByteOffset: 16, as: UInt8.self)
        target.storeBytes(of: self.maximumVersion, toByteOffset: 17, as: UInt8.self)
        let size = self.maximumPacketSize.littleEndian
        target.storeBytes(of: size, toByteOffset: 18, as: UInt16.self)
        target.storeBytes(of: self.ciphers.rawValue, toByteOffset: 20, as: UInt8.self)
        target.storeBytes(of: self.preference.rawValue, toByteOffset: 21, as: UInt8.self)
        let mechanisms: UInt8 = self.postQuantum == .off ? 0 : 1
        target.storeBytes(of: mechanisms, toByteOffset: 22, as: UInt8.self)
        let flags: UInt8 = self.postQuantum == .require ? 1 : 0
        target.storeBytes(of: flags, toByteOffset: 23, as: UInt8.self)
        target.storeBytes(of: self.workerHint.littleEndian, toByteOffset: 24, as: UInt32.self)
        target.storeBytes(of: 0, toByteOffset: 28, as: UInt32.self)
    }

    /// Reads the 32 bytes of an initiation's hello.
    ///
    /// Unknown preferences count as `auto`.
    init(initiation source: UnsafeRawPointer) {
        self.init(common: source)
        self.ciphers = CipherSet(rawValue: source.load(fromByteOffset: 20, as: UInt8.self))
        let preference = source.load(fromByteOffset: 21, as: UInt8.self)
        self.preference = CipherPreference(rawValue: preference) ?? .auto
        if source.load(fromByteOffset: 23, as: UInt8.self) & 1 == 1 {
            self.postQuantum = .require
        } else if source.load(fromByteOffset: 22, as: UInt8.self) & 1 == 1 {
            self.postQuantum = .prefer
        }
        let hint = source.loadUnaligned(fromByteOffset: 24, as: UInt32.self)
        self.workerHint = UInt32(littleEndian: hint)
    }

    private init(common source: UnsafeRawPointer) {
        self.init()
        self.unixMilliseconds = UInt64(littleEndian: source.loadUnaligned(as: UInt64.self))
        let instance = source.loadUnaligned(fromByteOffset: 8, as: UInt64.self)
        self.instance = UInt64(littleEndian: instance)
        self.minimumVersion = source.load(fromByteOffset: 16, as: UInt8.self)
        self.maximumVersion = source.load(fromByteOffset: 17, as: UInt8.self)
        let size = source.loadUnaligned(fromByteOffset: 18, as: UInt16.self)
        self.maximumPacketSize = UInt16(littleEndian: size)
    }

    /// Writes the 32 bytes of a response's hello.
    ///
    /// `0 ms u64 | 8 instance u64 | 16 version u8, cipher u8 | 18 size u16 | 20 status u8 (0 or a
    /// ``RefusalReason``), flags u8 (1: continues), mechanism u8 (1: ML-KEM-768), flags u8
    /// (1: required) | 24 sender index u32 | 28 0`
    func write(answer: Answer, to target: UnsafeMutableRawPointer) {
        self.write(to: target)
        target.storeBytes(of: Self.version, toByteOffset: 16, as: UInt8.self)
        target.storeBytes(of: answer.cipher?.rawValue ?? 0, toByteOffset: 17, as: UInt8.self)
        target.storeBytes(of: answer.refusal?.rawValue ?? 0, toByteOffset: 20, as: UInt8.self)
        let flags: UInt8 = answer.continuesSession ? 1 : 0
        target.storeBytes(of: flags, toByteOffset: 21, as: UInt8.self)
        target.storeBytes(of: answer.strengthens ? 1 : 0, toByteOffset: 22, as: UInt8.self)
        target.storeBytes(of: answer.insists ? 1 : 0, toByteOffset: 23, as: UInt8.self)
        target.storeBytes(of: answer.senderIndex.littleEndian, toByteOffset: 24, as: UInt32.self)
    }

    /// Reads the 32 bytes of a response's hello; `nil` if they contradict themselves.
    static func parse(response source: UnsafeRawPointer) -> (hello: Self, answer: Answer)? {
        var hello = Self(common: source)
        var answer = Answer()
        let status = source.load(fromByteOffset: 20, as: UInt8.self)
        if status != 0 {
            answer.refusal = RefusalReason(rawValue: status) ?? .limit
        } else {
            guard hello.minimumVersion == Self.version,
                let cipher = Cipher(rawValue: hello.maximumVersion)
            else { return nil }
            answer.cipher = cipher
            hello.ciphers = CipherSet(cipher)
        }
        hello.maximumVersion = hello.minimumVersion
        answer.continuesSession = source.load(fromByteOffset: 21, as: UInt8.self) & 1 == 1
        answer.strengthens = source.load(fromByteOffset: 22, as: UInt8.self) == 1
        answer.insists = source.load(fromByteOffset: 23, as: UInt8.self) & 1 == 1
        let index = source.loadUnaligned(fromByteOffset: 24, as: UInt32.self)
        answer.senderIndex = UInt32(littleEndian: index)
        return (hello, answer)
    }
}

/// What a completed handshake hands over.
public struct EstablishedKeys {
    /// What seals and opens the DATA packets from now on.
    public var keys: TransportKeys
    /// The peer's receiver index: goes into every packet we send.
    public var remoteIndex: UInt32
    /// Our receiver index, as given to the handshake.
    public var localIndex: UInt32
    /// What the peer says of itself, authenticated by the handshake.
    public var peerHello: Hello
    /// Whether the server still has the session this handshake belongs to.
    public var continuesSession: Bool
    /// The same 64 bytes at both ends, never secret: names the handshake.
    public var handshakeHash: [UInt8]
    /// What stronger keys are made of, if both ends do that.
    public var ratchet: RatchetSecret?
    /// Whether one of them carries nothing of an application before.
    public var requiresRatchet = false
}
