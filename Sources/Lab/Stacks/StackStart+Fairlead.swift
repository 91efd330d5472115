import Glibc
import LinuxIO
import Primitives
import Sealing

extension StackStart {
    private static let datagramPort: UInt16 = 7101

    func fairlead() throws -> Carrier {
        let programs = ["server", "client"].map { "\(self.bed.options.binaries)/fairlead-\($0)" }
        for program in programs where access(program, X_OK) != 0 {
            throw SkippedStack("\(program) is missing (swift build -c release)")
        }
        if self.stack.restoresOrigin {
            let backend = Carrier.loopback.with(port: TestBed.backendPort)
            try self.bed.openBackend(at: backend, expecting: OriginClaim.player, congestion: nil)
        } else {
            try self.bed.openBackend(congestion: nil)
        }
        try self.writeFiles()
        let folder = self.bed.folder
        let server = try self.startServer([programs[0], "--config", "\(folder)/server.toml"])
        let start = BootClock().now()
        let client = try self.startClient([programs[1], "--config", "\(folder)/client.toml"])
        let tcp = Carrier.loopback.with(port: Carrier.forwardPort)
        let udp = Carrier.loopback.with(port: Self.datagramPort)
        var carrier = Carrier(echo: self.stack.transport == .udp ? udp : tcp, bulk: tcp)
        if self.stack.restoresOrigin { carrier.claim = OriginClaim(destination: tcp) }
        carrier.processes = [server, client]
        carrier.coldStart = try self.coldStart(carrier, since: start)
        return carrier
    }

    /// The keys and configurations of the pair.
    private func writeFiles() throws {
        let serverKey = SecretKey(entropy: .kernel())
        let clientKey = SecretKey(entropy: .kernel())
        for (name, key) in [("server", serverKey), ("client", clientKey)] {
            let text = key.keyFileText(created: "by fairlead lab")
            try TextFile.write(text, to: "\(self.bed.folder)/\(name).key", mode: 0o600)
        }
        let server = self.serverText(client: clientKey.publicKey)
        let client = self.clientText(server: serverKey.publicKey)
        try TextFile.write(server, to: "\(self.bed.folder)/server.toml")
        try TextFile.write(client, to: "\(self.bed.folder)/client.toml")
    }

    private func serverText(client: PublicKey) -> String {
        let backend = "127.0.0.1:\(TestBed.backendPort)"
        let origins = self.stack.restoresOrigin ? "origins = [\"0.0.0.0/0\"]" : ""
        let service =
            "backends = [\"\(backend)\"]\n"
            + (self.stack.restoresOrigin ? "origin = \"transparent\"\n" : "") + self.fecLine
        return """
            listen = "0.0.0.0:\(Carrier.tunnelPort)"
            private_key = "server.key"
            control = "\(self.bed.folder)/server.sock"
            [[peer]]
            name = "lab"
            public_key = "\(client)"
            services = ["*"]
            \(origins)
            [[service]]
            name = "streams"
            protocol = "tcp"
            \(service)
            [[service]]
            name = "datagrams"
            protocol = "udp"
            \(service)
            """
    }

    private func clientText(server: PublicKey) -> String {
        let accept =
            self.stack.restoresOrigin
            ? "accept = \"proxy-v2\"\ntrusted = [\"127.0.0.0/8\"]\n" : ""
        let dialect = self.stack.restoresOrigin ? "dialect = \"every\"\n" : ""
        return """
            server = "\(TestBed.serverAddress.with(port: Carrier.tunnelPort))"
            server_public_key = "\(server)"
            private_key = "client.key"
            control = "\(self.bed.folder)/client.sock"
            [[forward]]
            listen = "127.0.0.1:\(Carrier.forwardPort)"
            protocol = "tcp"
            service = "streams"
            \(accept)\(self.fecLine)
            [[forward]]
            listen = "127.0.0.1:\(Self.datagramPort)"
            protocol = "udp"
            service = "datagrams"
            class = "\(self.bed.scenario.trafficClass)"
            \(self.deliveryLines)
            \(accept)\(dialect)\(self.fecLine)
            """
    }

    private var fecLine: String {
        switch self.stack {
        case .fairleadLow: "fec = \"low\"\n"
        case .fairleadOff: "fec = \"off\"\n"
        default: ""
        }
    }

    private var deliveryLines: String {
        switch self.stack {
        case .fairleadDeadline:
            "delivery = \"deadline\"\nmax_age = \"\(self.bed.scenario.maximumAge)ms\""
        case .fairleadReliable: "delivery = \"reliable\""
        default: "delivery = \"datagram\""
        }
    }
}
