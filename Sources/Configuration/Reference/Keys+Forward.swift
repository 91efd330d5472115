import Primitives

/// The keys of `[[forward]]`.
extension KeyReference {
    static let forwardKeys: [KeyReference] =
        Self.forwardPlace + Self.forwardCarriage + Self.forwardHeaders

    private static let forwardPlace: [KeyReference] = [
        KeyReference(
            .forward,
            "listen",
            .text(Section.listenForm),
            .required,
            .endsOwn,
            "The address and port, or range of ports, that players connect to.",
            "A range has at most \(ListenRange.maximumCount) ports, or any number with"
                + " `transparent = true`. An address that the machine does not have yet is waited"
                + " for; one of a family that its kernel lacks is skipped if the service has"
                + " another.",
            example: "listen = \"0.0.0.0:20000-20010\""
        ),
        KeyReference(
            .forward,
            "protocol",
            .words(Self.protocolWords),
            .required,
            .endsOwn,
            "What players speak.",
            example: "protocol = \"udp\""
        ),
        KeyReference(
            .forward,
            "service",
            .text(Section.nameForm),
            .required,
            .endsOwn,
            "The name of the server's `[[service]]` that players get.",
            example: "service = \"minecraft\""
        ),
    ]

    static let protocolWords: [KeyValue.Word] = [
        .init("tcp", "connections"),
        .init("udp", "datagrams"),
    ]

    private static let forwardCarriage: [KeyReference] = [
        KeyReference(
            .forward,
            "class",
            .words([
                .init("auto", "small messages go first, bulk waits"),
                .init("interactive", "goes before everything else"),
                .init("realtime", "sound and picture: more redundancy for a steady flow"),
                .init("bulk", "takes what is left, without redundancy"),
            ]),
            .written("\"auto\""),
            .endsOwn,
            "What kind of traffic it is.",
            example: "class = \"interactive\""
        ),
        KeyReference(
            .forward,
            "compression",
            .words([
                .init("off", "never"),
                .init("auto", "where a probe says that it pays, and the service allows it"),
            ]),
            .written("\"off\""),
            .endsOwn,
            "Whether bytes are compressed.",
            "Never compress what holds secrets beside what a stranger can choose.",
            example: "compression = \"auto\""
        ),
        KeyReference(
            .forward,
            "delivery",
            .words([
                .init("datagram", "may be lost or overtaken, as in any network"),
                .init("deadline", "is sent again while it is younger than `max_age`"),
                .init("reliable", "all of them, in order"),
            ]),
            .written("\"datagram\""),
            .endsOwn,
            "How datagrams travel; only with `protocol = \"udp\"`.",
            example: "protocol = \"udp\"\ndelivery = \"reliable\""
        ),
        KeyReference(
            .forward,
            "max_age",
            .duration(.milliseconds(1)...(.seconds(60))),
            .absent("none"),
            .endsOwn,
            "How old a datagram may be when it is sent again; only with `delivery = \"deadline\"`,"
                + " which requires it.",
            example: "protocol = \"udp\"\ndelivery = \"deadline\"\nmax_age = \"150ms\""
        ),
        KeyReference(
            .forward,
            "idle_timeout",
            .duration(.seconds(1)...(.seconds(86_400))),
            .written("\"120s\""),
            .endsOwn,
            "How long a UDP flow may be silent before it is forgotten; only with"
                + " `protocol = \"udp\"`.",
            example: "protocol = \"udp\"\nidle_timeout = \"10m\""
        ),
        KeyReference(
            .forward,
            "accept_when",
            .words([
                .init("ready", "while the service can be had; else connections are refused"),
                .init("always", "they wait up to `connect_timeout`, or are reset"),
            ]),
            .written("\"ready\""),
            .endsOwn,
            "When connections are accepted; only with `protocol = \"tcp\"`.",
            "With `\"ready\"` the listener is closed while the session is lost or in doubt, or no"
                + " backend of the service is up, so that senders keep what they have and load"
                + " balancers look elsewhere. After the client's start and a server's clean"
                + " restart it stays open for `connect_timeout`.",
            example: "protocol = \"tcp\"\naccept_when = \"always\""
        ),
        KeyReference(
            .forward,
            "max_stall",
            .duration(.milliseconds(100)...(.seconds(3600))),
            .absent("for ever"),
            .endsOwn,
            "How long bytes of a connection may wait to be acknowledged, in either direction; only"
                + " with `protocol = \"tcp\"`.",
            "Then both ends reset the connection and drop what waits: for whoever would rather"
                + " have an error than a command that takes effect late. It counts in the tunnel,"
                + " between the player and the client, and between the server and the backend,"
                + " each by itself, and also while the receiver has no room. Both logs say"
                + " `stalled`.",
            example: "protocol = \"tcp\"\nmax_stall = \"5s\""
        ),
        KeyReference(
            .forward,
            "fec",
            .words(Self.redundancyWords),
            .absent("as the file's `fec`"),
            .endsOwn,
            "How much redundancy this forward may spend against loss on the way to the server.",
            example: "fec = \"high\""
        ),
    ]

    private static let forwardHeaders: [KeyReference] = [
        KeyReference(
            .forward,
            "accept",
            .words([
                .init("plain", "no header"),
                .init("proxy-v1", "a line of text; UDP with `dialect = \"first\"` alone"),
                .init("proxy-v2", "a binary header"),
                .init("spp", "Cloudflare's Simple Proxy Protocol; UDP only"),
            ]),
            .written("\"plain\""),
            .endsOwn,
            "The header in which a load balancer in front of the client names the player.",
            "Everything but `\"plain\"` requires `trusted`.",
            example: "accept = \"proxy-v2\"\ntrusted = [\"192.0.2.0/24\"]"
        ),
        KeyReference(
            .forward,
            "trusted",
            .list(each: Section.blockForm),
            .absent("nobody"),
            .endsOwn,
            "The networks that may send such headers; all others are turned away and counted.",
            example: "accept = \"proxy-v1\"\ntrusted = [\"173.245.48.0/20\"]"
        ),
        KeyReference(
            .forward,
            "dialect",
            .words([
                .init("every", "in front of each datagram"),
                .init("first", "in front of the first datagram of a flow"),
                .init("first-alone", "as a first datagram of its own"),
                .init("any", "whatever arrives"),
            ]),
            .written("\"every\""),
            .endsOwn,
            "Where the header of UDP is expected.",
            "`accept = \"proxy-v1\"` needs `\"first\"`.",
            example: "protocol = \"udp\"\naccept = \"proxy-v2\"\ntrusted = [\"192.0.2.0/24\"]\n"
                + "dialect = \"any\""
        ),
        KeyReference(
            .forward,
            "transparent",
            .boolean,
            .written("false"),
            .endsOwn,
            "Whether one socket takes everything that the packet filter leads to it.",
            "All ports of `listen` and all addresses that are routed to the machine then count, and"
                + " PROXY headers tell which one the player used. `fairlead routes print --client"
                + " FILE` prints the filter's rule. A reload cannot change it for an address that"
                + " is bound already: the file is refused.",
            example: "listen = \"0.0.0.0:20000-40000\"\ntransparent = true"
        ),
    ]
}
