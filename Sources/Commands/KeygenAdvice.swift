import Configuration

/// What to do with a new key, as lines to paste.
enum KeygenAdvice {
    static func text(path: String, publicKey: String) -> String {
        """
        Its private_key is \(Self.shown(path)); the other end needs the public key below, a client's
        in its [[peer]] of the server's file as public_key, a server's as server_public_key.
        """
    }

    static func presharedText(path: String) -> String {
        """
        Both ends need a copy, as preshared_key = \(Self.shown(path)): the client's file above its
        [[forward]], the server's in the [[peer]] of that client.
        """
    }

    /// systemd hands a unit a copy of the key, and the unit's configuration names that.
    private static func shown(_ path: String) -> String {
        let unit = ["server", "client"].first { path == "/etc/fairlead/\($0).key" }
        let named = unit.map { "/run/credentials/fairlead-\($0).service/\($0).key" }
        return TOMLText.quoted(named ?? path)
    }

    /// The folder above `path` that a web server is likely to serve; `nil` if there is none.
    static func servedFolder(of path: String) -> String? {
        var above = ""
        for part in path.split(separator: "/", omittingEmptySubsequences: true).dropLast() {
            above += "/" + part
            if ["public", "public_html", "www", "htdocs"].contains(part.lowercased()) {
                return above
            }
        }
        return nil
    }
}
