import Glibc
import LinuxIO
import Primitives

extension StackStart {
    /// kcptun, with go-mmproxy behind it where the backend shall see the player.
    func kcptun() throws -> Carrier {
        try Self.require("kcptun-server", package: "kcptun")
        try Self.require("kcptun-client", package: "kcptun")
        var (target, processes) = (TestBed.backendPort, [pid_t]())
        if self.stack.restoresOrigin {
            let backend = Carrier.loopback.with(port: TestBed.backendPort)
            try self.bed.openBackend(at: backend, expecting: OriginClaim.player, congestion: nil)
            processes = [try self.startMmproxy(at: Carrier.loopback, congestion: nil)]
            target = Self.mmproxyPort
        } else {
            try self.bed.openBackend(congestion: nil)
        }
        let shards = self.stack == .kcptunFEC ? ("10", "3") : ("0", "0")
        let common = [
            "--key", "lab", "--crypt", "aes", "--mode", "fast3", "--nocomp", "--smuxver", "2",
            "--datashard", shards.0, "--parityshard", shards.1,
        ]
        let listen = Carrier.loopback.with(port: Carrier.forwardPort)
        let remote = TestBed.serverAddress.with(port: Carrier.tunnelPort)
        processes += [
            try self.startServer(
                ["kcptun-server", "-t", "127.0.0.1:\(target)", "-l", ":\(Carrier.tunnelPort)"]
                    + common
            )
        ]
        let start = BootClock().now()
        processes += [
            try self.startClient(["kcptun-client", "-r", "\(remote)", "-l", "\(listen)"] + common)
        ]
        var carrier = Carrier(echo: listen, bulk: listen)
        if self.stack.restoresOrigin { carrier.claim = OriginClaim(destination: listen) }
        carrier.processes = processes
        carrier.coldStart = try self.coldStart(carrier, since: start)
        return carrier
    }

    /// A KCP conversation for each connection, in this process.
    func plainKCP() throws -> Carrier {
        try self.bed.openBackend(congestion: nil)
        let listen = Carrier.loopback.with(port: Carrier.forwardPort)
        let start = BootClock().now()
        try self.bed.openPlainKCP(
            listen: listen,
            tunnel: TestBed.serverAddress.with(port: Carrier.tunnelPort),
            backend: Carrier.loopback.with(port: TestBed.backendPort)
        )
        var carrier = Carrier(echo: listen, bulk: listen)
        carrier.coldStart = try self.coldStart(carrier, since: start)
        return carrier
    }

    /// From `start` until the first answer of a connection through the tunnel.
    func coldStart(_ carrier: Carrier, since start: Instant) throws -> Double {
        try SetupProbe(target: carrier.bulk, namespace: self.bed.client, claim: carrier.claim)
            .coldStart(self.bed, since: start, self.interruptions)
    }
}
