import Glibc
import Primitives
import Recovery
import Sealing

/// The kinds of value that both files use.
extension Section {
    static let addressForm = "an IP address and port such as \"0.0.0.0:4600\" or \"[::]:4600\""
    static let endpointForm =
        "an address and port such as \"192.0.2.1:4600\", \"[2001:db8::1]:4600\" or \"host:4600\""
    static let serverForm = Self.endpointForm + ", or \"srv:_fairlead._udp.example\""
    static let listenForm =
        "an IP address and port or ports such as"
        + " \"0.0.0.0:25565\", \"[::]:25565\" or \"0.0.0.0:20000-20010\""
    static let hostForm = "a host name such as \"monitor.example\", without a port"
    static let blockForm = "a network such as \"192.0.2.0/24\" or \"2001:db8::/32\""
    static let keyForm = "a public key, 44 characters of base64"
    static let pathForm = "the path of a key file"
    static let nameForm = "a name of 1 to 64 bytes without control characters"

    /// Names that end up in log lines and in OPEN frames, which hold 64 bytes.
    static func checkedName(_ text: String) -> String? {
        (1...64).contains(text.utf8.count) && PlainText.isPlain(text) ? text : nil
    }

    /// An address to bind; `localhost` is taken for 127.0.0.1.
    static func local(_ text: String) -> SocketAddress? {
        if text.hasPrefix("localhost:") {
            return SocketAddress("127.0.0.1:" + text.dropFirst("localhost:".count))
        }
        return SocketAddress(text)
    }

    func name(_ key: String) -> String? { self.value(key, Self.checkedName) }

    func publicKey(_ key: String) -> PublicKey? {
        guard let text = self.string(key) else { return nil }
        if let publicKey = PublicKey(base64: text) { return publicKey }
        let isSecret = KeyKind.allCases.contains { text.contains($0.label) }
        self.complain(
            key,
            got: isSecret ? "a private key (not shown; make a new one)" : Complaint.quoted(text),
            expected: Self.keyForm
        )
        return nil
    }

    func keyFile(_ key: String, relativeTo folder: String) -> KeyFile? {
        guard let text = self.string(key) else { return nil }
        // A key pasted in place of its path must not end up in a log.
        guard !Self.isKey(text) else {
            self.complain(key, got: "a key itself (not shown)", expected: Self.pathForm)
            return nil
        }
        guard !text.isEmpty else {
            self.complain(key, got: "\"\"", expected: Self.pathForm)
            return nil
        }
        return KeyFile(path: text, location: Self.resolve(text, relativeTo: folder))
    }

    /// The same without a word; `nil` for what ``keyFile(_:relativeTo:)`` has complained about.
    func quietKeyFile(_ key: String, relativeTo folder: String) -> KeyFile? {
        guard case .string(let text)? = self[key]?.value, !text.isEmpty, !Self.isKey(text) else {
            return nil
        }
        return KeyFile(path: text, location: Self.resolve(text, relativeTo: folder))
    }

    private static func isKey(_ text: String) -> Bool {
        PublicKey(base64: text) != nil || KeyKind.allCases.contains { text.contains($0.label) }
    }

    static func resolve(_ path: String, relativeTo folder: String) -> String {
        if path.hasPrefix("/") || folder.isEmpty { return path }
        return folder.hasSuffix("/") ? folder + path : "\(folder)/\(path)"
    }

    func admin() -> SocketAddress? { self.value("admin", Self.local) }

    func adminHosts() -> [String]? {
        self.values("admin_hosts") { text in
            let name = text.lowercased()
            let isName = name.utf8.allSatisfy {
                (97...122).contains($0) || (48...57).contains($0) || "-._".utf8.contains($0)
            }
            let labels = name.split(separator: ".", omittingEmptySubsequences: false)
            let isWhole = labels.allSatisfy { (1...63).contains($0.utf8.count) }
            return isName && isWhole && name.utf8.count <= 253 ? name : nil
        }
    }

    func control(relativeTo folder: String) -> ControlSocket? {
        self.value("control") { text in
            if text == "off" { return .off }
            // A unix socket's name holds 107 bytes and a zero (unix(7)).
            let path = Self.resolve(text, relativeTo: folder)
            return !text.isEmpty && path.utf8.count <= 107 ? .path(path) : nil
        }
    }

    /// Complains of a control socket that nobody could make: where its folder is none, or closed
    /// to this user.
    func checkControlFolder(relativeTo folder: String) {
        guard case .string(let text)? = self["control"]?.value, text != "off", !text.isEmpty else {
            return
        }
        let path = Self.resolve(text, relativeTo: folder)
        let parent = path.lastIndex(of: "/").map { String(path[..<$0]) } ?? "."
        let place = parent.isEmpty ? "/" : parent
        var status = stat()
        guard unsafe stat(place, &status) == 0, status.st_mode & S_IFMT == S_IFDIR else {
            let above = place.lastIndex(of: "/").map { String(place[..<$0]) } ?? "."
            // Where only the last folder is missing, the start makes it.
            let isMissing = unsafe lstat(place, &status) != 0
            guard unsafe !isMissing || access(above.isEmpty ? "/" : above, W_OK) != 0 else {
                return
            }
            return self.complain(
                "control",
                got: "\(Complaint.quoted(text)) in a folder that does not exist",
                expected: "a path in a folder that exists"
            )
        }
        guard unsafe access(place, W_OK | X_OK) != 0 else { return }
        self.complain(
            "control",
            got: "\(Complaint.quoted(text)) in a folder that uid \(geteuid()) may not write",
            expected: "a path in a folder that the user who runs fairlead may write"
        )
    }

    func networks(_ key: String) -> [AddressBlock]? {
        self.values(key, AddressBlock.init)
    }
}

/// What governs sending, in both files.
extension Section {
    func transport() -> TransportSettings {
        var settings = TransportSettings()
        settings.congestion = self.congestion() ?? settings.congestion
        settings.redundancy = self.choice("fec") ?? settings.redundancy
        settings.cipher = self.cipher() ?? settings.cipher
        settings.postQuantum = self.postQuantum() ?? settings.postQuantum
        settings.maximumPacketSize = self.integer("mtu")
        settings.workers = self.integer("workers") ?? settings.workers
        settings.connectTimeout = self.duration("connect_timeout") ?? settings.connectTimeout
        return settings
    }

    private enum CipherName: String, CaseIterable {
        case auto
        case chacha20Poly1305 = "chacha20-poly1305"
        case aes256GCM = "aes-256-gcm"
    }

    private func cipher() -> CipherPreference? {
        let name: CipherName? = self.choice("cipher")
        return switch name {
        case .auto: .auto
        case .chacha20Poly1305: .chacha20Poly1305
        case .aes256GCM: .aes256GCM
        case nil: nil
        }
    }

    private enum PostQuantumName: String, CaseIterable { case off, prefer, require }

    private func postQuantum() -> PostQuantumPolicy? {
        let name: PostQuantumName? = self.choice("post_quantum")
        return switch name {
        case .off: .off
        case .prefer: .prefer
        case .require: .require
        case nil: nil
        }
    }

    private enum CongestionName: String, CaseIterable { case auto, bbr, cubic, fixed }

    private func congestion() -> CongestionChoice? {
        let name: CongestionName? = self.choice("congestion")
        let rate = self.rate("rate")
        if self.has("rate"), name != .fixed, name != nil || !self.has("congestion") {
            let got = name.map { "it with congestion \"\($0.rawValue)\"" } ?? "it alone"
            self.complain("rate", got: got, expected: "it only with congestion = \"fixed\"")
        }
        switch name {
        case .auto: return .auto
        case .bbr: return .bbr
        case .cubic: return .cubic
        case .fixed:
            if !self.has("rate") {
                self.complain(
                    "congestion",
                    got: "\"fixed\" without rate",
                    expected: "rate = \"50 mbps\" beside it"
                )
            }
            return rate.map { .fixed(bitsPerSecond: $0) }
        case nil: return nil
        }
    }

    func limits() -> Limits {
        var limits = Limits()
        if self.place == .server {
            limits.maximumSessions = self.integer("max_sessions") ?? limits.maximumSessions
        }
        limits.maximumFlows = self.integer("max_flows") ?? limits.maximumFlows
        limits.sessionBuffer = self.size("session_buffer") ?? limits.sessionBuffer
        // Who bounds a session and says nothing of its streams gets ones that fit, down to 4 MiB.
        let fitting = min(limits.streamBuffer, max(4 << 20, limits.sessionBuffer))
        limits.streamBuffer = self.size("stream_buffer") ?? fitting
        if limits.sessionBuffer < limits.streamBuffer {
            let stream = Units.text(byteCount: limits.streamBuffer)
            self.complain(
                self.has("session_buffer") ? "session_buffer" : "stream_buffer",
                got: "session_buffer \(Units.text(byteCount: limits.sessionBuffer)) and"
                    + " stream_buffer \(stream)",
                expected: "session_buffer not smaller than stream_buffer"
            )
        }
        return limits
    }
}
