import Sealing

/// A server's file and a client's, held against each other.
public struct FilePair {
    private let server: LoadedConfiguration<ServerConfiguration>
    private let client: LoadedConfiguration<ClientConfiguration>
    private let serverFile: String
    private let clientFile: String

    /// `serverFile` and `clientFile`: the names for messages.
    public init(
        server: LoadedConfiguration<ServerConfiguration>,
        _ serverFile: String,
        client: LoadedConfiguration<ClientConfiguration>,
        _ clientFile: String
    ) {
        self.server = server
        self.client = client
        self.serverFile = Complaint.oneLine(serverFile)
        self.clientFile = Complaint.oneLine(clientFile)
    }

    /// What keeps the two from working together, a line each; empty when nothing does.
    public var mismatches: [String] {
        let own = self.client.privateKey.publicKey
        var lines = self.serverKey
        guard let peer = self.server.configuration.peers.first(where: { $0.publicKey == own })
        else { return lines + [self.missingPeer(own)] }
        if !peer.isEnabled { lines.append("\(self.serverFile): \(self.name(peer)) is not enabled") }
        for forward in self.client.configuration.forwards {
            if let line = self.mismatch(forward, peer), !lines.contains(line) { lines.append(line) }
        }
        return lines
    }

    private var serverKey: [String] {
        let right = self.server.privateKey.publicKey
        guard self.client.configuration.serverPublicKey != right else { return [] }
        return [
            "\(self.clientFile): server_public_key: got"
                + " \"\(self.client.configuration.serverPublicKey)\", expected \"\(right)\", the"
                + " public key of private_key in \(self.serverFile)"
        ]
    }

    private func missingPeer(_ key: PublicKey) -> String {
        "\(self.serverFile): peer: got none with this client's key, expected a [[peer]] with"
            + " public_key = \"\(key)\", the public key of private_key in \(self.clientFile)"
    }

    private func name(_ peer: PeerEntry) -> String { "peer \(Complaint.quoted(peer.name))" }

    private func mismatch(_ forward: Forward, _ peer: PeerEntry) -> String? {
        let services = self.server.configuration.services
        let start = "\(self.clientFile): service: got \(Complaint.quoted(forward.service))"
        let named = services.filter { $0.name == forward.service }
        guard let service = named.first else {
            let near = Spelling.nearest(to: forward.service, among: services.map(\.name))
            let hint = near.map { ", did you mean \(Complaint.oneLine($0))?" } ?? ""
            return "\(start), expected a [[service]] of \(self.serverFile)\(hint)"
        }
        let match = named.first { $0.transportProtocol == forward.transportProtocol }
        guard let match else {
            return "\(start) with protocol \"\(forward.transportProtocol.rawValue)\", expected"
                + " \"\(service.transportProtocol.rawValue)\", as \(self.serverFile) has it"
        }
        guard peer.services.contains("*") || peer.services.contains(forward.service) else {
            return "\(self.serverFile): services of \(self.name(peer)): got no"
                + " \(Complaint.quoted(forward.service)), expected it, because"
                + " \(self.clientFile) forwards to it"
        }
        let count = forward.listen.count
        guard match.portCount == 1 || match.portCount == count else {
            return "\(self.clientFile): listen: got \"\(forward.listen)\" (ports: \(count)),"
                + " expected \(match.portCount) ports, as many as each backend of"
                + " \(Complaint.quoted(forward.service)) has in \(self.serverFile)"
        }
        return nil
    }
}
