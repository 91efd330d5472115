import Sealing

/// Keys in the wrong place, which are well formed and never work.
extension Section {
    /// Complains where the public key of the other end is this end's own key, of either kind.
    ///
    /// A server may serve a client that has its own key: that is odd, and warned of, but works.
    func checkHolder(_ key: String, against own: SecretKey, in kind: FileKind) {
        guard case .string(let text)? = self[key]?.value, let named = PublicKey(base64: text)
        else { return }
        let expected = "the other end's, as it prints there: fairlead pubkey KEY-FILE"
        if named == own.publicKey {
            guard kind == .client else { return }
            self.complain(
                key,
                got: "the public key of this file's own private_key",
                expected: expected
            )
        } else if let secret = try? SecretKey(keyFileText: text), secret.publicKey == own.publicKey
        {
            self.complain(
                key,
                got: "this file's own private key, which is no secret any more in a configuration",
                expected: "\(expected); make a new key pair here"
            )
        }
    }
}

extension PublicKey {
    /// What the examples have where a key is to be put.
    fileprivate var isPlaceholder: Bool { self.description.hasPrefix("ReplaceThis") }
}

extension ClientConfiguration {
    /// What is allowed and yet hardly meant, one line each.
    public var warnings: [String] {
        guard self.serverPublicKey.isPlaceholder else { return [] }
        return ["server_public_key is the example's placeholder; put in the server's public key"]
    }
}

extension ServerConfiguration {
    /// Keys that nobody has put in yet, one line each.
    var placeholders: [String] {
        self.peers.filter(\.publicKey.isPlaceholder).map { peer in
            "public_key of the peer \(Complaint.oneLine(peer.name)) is the example's placeholder;"
                + " put in that client's public key"
        }
    }
}
