import Glibc
import LinuxIO
import Primitives
import Sealing

extension StackStart {
    private static let nearAddress = "10.89.0.1"
    private static let farAddress = SocketAddress(ipv4: 0x0A59_0002, port: 0)  // 10.89.0.2

    /// WireGuard in user space, one process in each namespace.
    func wireGuard() throws -> Carrier {
        try Self.require("wireguard-go", package: "wireguard-go")
        try Self.require("wg", package: "wireguard-tools")
        try Self.requireCongestion("bbr")
        try self.bed.openBackend(congestion: "bbr")
        let keys = [SecretKey(entropy: .kernel()), SecretKey(entropy: .kernel())]
        // Their control sockets share one folder of the machine, so the names must differ.
        let names = ["flc\(getpid())", "fls\(getpid())"]
        let remote = TestBed.serverAddress.with(port: Carrier.tunnelPort)
        var carrier = self.insideTunnel
        for (index, namespace) in [self.bed.client, self.bed.server].enumerated() {
            let program = try self.bed.start(
                ["wireguard-go", "--foreground", names[index]],
                in: namespace,
                log: "\(index == 0 ? "client" : "server").log",
                priority: self.priority
            )
            carrier.processes.append(program.identifier)
            try self.awaitFile("/var/run/wireguard/\(names[index]).sock")
            let own = index == 0 ? "" : "ListenPort = \(Carrier.tunnelPort)"
            let endpoint = index == 0 ? "Endpoint = \(remote)" : ""
            let address = index == 0 ? Self.nearAddress : Self.farAddress.hostText
            let other = index == 0 ? Self.farAddress.hostText : Self.nearAddress
            let file = "\(self.bed.folder)/wireguard\(index).conf"
            try TextFile.write(
                """
                [Interface]
                PrivateKey = \(Self.base64(keys[index]))
                \(own)
                [Peer]
                PublicKey = \(keys[1 - index].publicKey)
                AllowedIPs = \(other)/32
                \(endpoint)

                """,
                to: file,
                mode: 0o600
            )
            try self.bed.finish(["wg", "setconf", names[index], file], in: namespace)
            try namespace.ip(["addr", "add", "\(address)/24", "dev", names[index]])
            try namespace.ip(["link", "set", names[index], "mtu", "1420", "up"])
        }
        carrier.coldStart = try self.coldStart(carrier, since: BootClock().now())
        return carrier
    }

    /// OpenVPN over UDP with its own defaults: TLS, each end known by the hash of its certificate.
    func openVPN() throws -> Carrier {
        try Self.require("openvpn", package: "openvpn")
        try Self.require("openssl", package: "openssl")
        try Self.requireCongestion("bbr")
        try self.bed.openBackend(congestion: "bbr")
        let prints = try ["client", "server"].map { try self.makeCertificate($0) }
        let folder = self.bed.folder
        let common = { (role: String, print: String) in
            [
                "openvpn", "--dev", "flo0", "--dev-type", "tun", "--proto", "udp4", "--port",
                "\(Carrier.tunnelPort)", "--cert", "\(folder)/\(role).crt", "--key",
                "\(folder)/\(role).pem", "--peer-fingerprint", print, "--dh", "none",
            ]
        }
        let (near, far) = (Self.nearAddress, Self.farAddress.hostText)
        let server = try self.startServer(
            common("server", prints[0]) + ["--tls-server", "--ifconfig", far, near]
        )
        let start = BootClock().now()
        let client = try self.startClient(
            common("client", prints[1]) + [
                "--tls-client", "--remote", TestBed.serverAddress.hostText, "--ifconfig", near, far,
            ]
        )
        var carrier = self.insideTunnel
        carrier.processes = [server, client]
        carrier.coldStart = try self.coldStart(carrier, since: start)
        return carrier
    }

    private var insideTunnel: Carrier {
        let target = Self.farAddress.with(port: TestBed.backendPort)
        return Carrier(echo: target, bulk: target, congestion: "bbr")
    }

    /// Makes a key and a certificate for `role`; gives the certificate's hash.
    private func makeCertificate(_ role: String) throws -> String {
        let (folder, client) = (self.bed.folder, self.bed.client)
        try self.bed.finish(
            [
                "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
                "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-subj", "/CN=\(role)",
                "-keyout", "\(folder)/\(role).pem", "-out", "\(folder)/\(role).crt",
            ],
            in: client
        )
        let output = "\(folder)/\(role).print"
        try self.bed.finish(
            [
                "openssl", "x509", "-in", "\(folder)/\(role).crt", "-noout", "-fingerprint",
                "-sha256",
            ],
            in: client,
            log: output
        )
        let words = (TextFile.read(output) ?? "").split { $0 == "=" || $0.isWhitespace }
        guard let print = words.last(where: { $0.contains(":") }) else {
            throw LabFailure("openssl gave no fingerprint")
        }
        return String(print)
    }

    private func awaitFile(_ path: String) throws {
        for _ in 0..<500 {
            if access(path, F_OK) == 0 { return }
            try self.interruptions.sleep(.milliseconds(10))
        }
        throw LabFailure("\(path) did not appear within 5 s\n\(self.bed.lastWords())")
    }

    /// The key as WireGuard writes it: the last word of a key file.
    private static func base64(_ key: SecretKey) -> Substring {
        let words = key.keyFileText(created: "").split { $0 == ":" || $0.isWhitespace }
        return words.last ?? ""
    }
}
