import Primitives

/// The keys that stand outside of every table.
extension KeyReference {
    static let serverKeys: [KeyReference] =
        [
            KeyReference(
                .server,
                "listen",
                .textOrList(Section.addressForm),
                .required,
                .restart,
                "The UDP addresses on which clients reach the server.",
                "Port 0 lets the kernel choose. `[::]` hears IPv4 as well, unless an IPv4 address"
                    + " with the same port stands beside it. An address that the machine does not"
                    + " have yet is waited for, and a family that its kernel lacks is skipped if"
                    + " another address remains.",
                example: "listen = [\"0.0.0.0:4600\", \"[::]:4600\"]"
            ),
            Self.privateKey(.server, "The file with the server's private key."),
        ] + Self.pages(.server) + [
            KeyReference(
                .server,
                "routes",
                .words([
                    .init("auto", "the server installs and removes them"),
                    .init("print", "an operator installs what `fairlead routes print` shows"),
                    .init("off", "nobody does, and nothing is proven"),
                ]),
                .written("\"auto\""),
                .restart,
                "Who changes the routing table for services with `origin = \"transparent\"`.",
                "Without such a service nothing is changed, whatever stands here.",
                example: "routes = \"print\""
            )
        ] + Self.transport(.server) + [
            KeyReference(
                .server,
                "max_sessions",
                .integer(1...1_000_000, unit: "sessions"),
                .written("1024"),
                .restart,
                "How many clients each worker serves at a time.",
                "A client beyond it is refused with `limit`. `max_sessions` of `[[peer]]` bounds"
                    + " one client.",
                example: "max_sessions = 200"
            )
        ] + Self.limits(.server) + [
            Self.tables(.server, "peer", .peer, "A client and what it may do, under `[[peer]]`."),
            Self.tables(
                .server,
                "service",
                .service,
                "A name and the backends behind it, under `[[service]]`."
            ),
        ]

    static let clientKeys: [KeyReference] =
        [
            KeyReference(
                .client,
                "server",
                .textOrList(Section.serverForm),
                .required,
                .atOnce,
                "The server's address, or several that are tried in order.",
                "A name means all its addresses, of both families in turn, the next one beside a"
                    + " silent one (RFC 8305); `srv:` stands for the servers that the SRV records"
                    + " name, by priority and weight (RFC 2782). Names are looked up again when"
                    + " their TTL ends and whenever nothing answers. After a reload the session"
                    + " goes on; the next handshake goes to the new addresses.",
                example: "server = [\"tunnel.example.net:4600\","
                    + " \"srv:_fairlead._udp.example.net\"]"
            ),
            KeyReference(
                .client,
                "server_public_key",
                .text(Section.keyForm),
                .required,
                .restart,
                "The public key that the server has to prove.",
                "`fairlead pubkey keys/server.key` prints it on the server.",
                example: "server_public_key = \"\(Self.exampleKey)\""
            ),
            Self.privateKey(.client, "The file with the client's private key."),
            Self.presharedKey(
                .client,
                "The file with a key that this client and the server share."
            ),
        ] + Self.pages(.client) + Self.transport(.client) + Self.limits(.client) + [
            Self.tables(
                .client,
                "forward",
                .forward,
                "Where players connect to and which service they get, under `[[forward]]`."
            )
        ]

    /// A public key that belongs to nobody.
    static let exampleKey = "HIgo9xNzJMWLKASShiTqIybxZ0U3wGLiUeJ1PKf8ykw="

    private static func privateKey(_ place: KeyPlace, _ help: String) -> KeyReference {
        KeyReference(
            place,
            "private_key",
            .text(Section.pathForm),
            .required,
            .restart,
            help,
            "`fairlead keygen PATH` makes one. A relative path starts at the folder of the"
                + " configuration file. A file that others can read is refused; `--key-mode group`"
                + " and `--key-mode any` take what service managers and read-only mounts hand out."
                + " A symbolic link is followed where only root and this user may change it and"
                + " all that it leads through.",
            example: "private_key = \"keys/\(place.rawValue).key\""
        )
    }

    static func presharedKey(_ place: KeyPlace, _ help: String) -> KeyReference {
        KeyReference(
            place,
            "preshared_key",
            .text(Section.pathForm),
            .absent("none"),
            .newOnes,
            help,
            "Both ends need the same, or there is no session: `preshared-key`. `fairlead keygen"
                + " --preshared PATH` makes one. After a reload sessions that are up go on, and the"
                + " next handshake uses it. The rules for the file are those of `private_key`.",
            example: "preshared_key = \"keys/edge-1.psk\""
        )
    }

    private static func tables(
        _ place: KeyPlace,
        _ name: String,
        _ inner: KeyPlace,
        _ help: String
    ) -> KeyReference {
        let example =
            switch inner {
            case .forward:
                "[[forward]]\nlisten = \"0.0.0.0:25565\"\nprotocol = \"tcp\"\n"
                    + "service = \"minecraft\""
            case .peer:
                "[[peer]]\nname = \"edge-1\"\npublic_key = \"\(Self.exampleKey)\"\n"
                    + "services = [\"*\"]"
            default:
                "[[service]]\nname = \"voice\"\nprotocol = \"udp\"\n"
                    + "backends = [\"10.0.0.5:9987\"]"
            }
        return KeyReference(
            place,
            name,
            .tables(inner),
            .absent("none"),
            .atOnce,
            help,
            "A reload adds and removes them; those that did not change are untouched.",
            example: example
        )
    }

    /// Where the process answers questions about itself.
    private static func pages(_ place: KeyPlace) -> [KeyReference] {
        [
            KeyReference(
                place,
                "admin",
                .text(Section.addressForm),
                .absent("no HTTP"),
                .restart,
                "The TCP address that serves `/metrics`, `/status`, `/live` and `/ready` over"
                    + " HTTP.",
                "There is no password: keep it on loopback or behind a firewall.",
                example: "admin = \"127.0.0.1:\(place == .server ? 9460 : 9461)\""
            ),
            KeyReference(
                place,
                "admin_hosts",
                .list(each: Section.hostForm),
                .written("[]"),
                .restart,
                "Host names under which `admin` answers, besides IP addresses and `localhost`.",
                "Requests under other names are refused, so that no web page can read the pages by"
                    + " a name of its own.",
                example: "admin_hosts = [\"monitor.example\"]"
            ),
            KeyReference(
                place,
                "control",
                .text("a path of 1 to 107 bytes, or \"off\""),
                .absent("the first usual place that can be used"),
                .restart,
                "The socket on which `fairlead status` and `fairlead drain` find the process.",
                "The usual places are `/run/fairlead/\(place.rawValue).sock`,"
                    + " `/run/fairlead-\(place.rawValue)/\(place.rawValue).sock` and"
                    + " `$XDG_RUNTIME_DIR/fairlead-\(place.rawValue).sock`. A relative path starts"
                    + " at the folder of the configuration file.",
                example: "control = \"/run/fairlead/\(place.rawValue).sock\""
            ),
            KeyReference(
                place,
                "reload_on_change",
                .boolean,
                .written("false"),
                .atOnce,
                "Whether the file is read again, as by SIGHUP, whenever it has changed.",
                "It is watched with all that its links lead to, as in a ConfigMap of Kubernetes;"
                    + " not so the key files that it names.",
                example: "reload_on_change = true"
            ),
        ]
    }
}
