import Primitives

/// The keys of `[[service]]`.
extension KeyReference {
    static let serviceKeys: [KeyReference] = Self.serviceBackends + Self.serviceOrigin

    private static let serviceBackends: [KeyReference] = [
        KeyReference(
            .service,
            "name",
            .text(Section.nameForm),
            .required,
            .endsOwn,
            "The name that forwards and peers use; unique in the file.",
            example: "name = \"minecraft\""
        ),
        KeyReference(
            .service,
            "protocol",
            .words(Self.protocolWords),
            .required,
            .endsOwn,
            "What the backends speak.",
            example: "protocol = \"tcp\""
        ),
        KeyReference(
            .service,
            "backends",
            .backends(Service.backendForm),
            .required,
            .endsOwn,
            "Where the service lives: addresses, or tables with the keys of *a backend*.",
            example: "backends = [\"10.0.0.5:25565\","
                + " { address = \"[2001:db8::6]:25565\", weight = 2 }]"
        ),
        KeyReference(
            .service,
            "balance",
            .words([
                .init("round-robin", "in turn, by weight"),
                .init("least-connections", "where the fewest are, by weight"),
                .init("source-hash", "the same player comes to the same backend"),
            ]),
            .written("\"round-robin\""),
            .endsOwn,
            "Which backend a new connection or flow gets.",
            example: "balance = \"source-hash\""
        ),
        KeyReference(
            .service,
            "health",
            .table(.health, HealthCheck.form),
            .absent("no probes"),
            .endsOwn,
            "How backends are probed: a table with the keys of *health*.",
            example: "health = { type = \"tcp\", interval = \"2s\", timeout = \"1s\" }"
        ),
        KeyReference(
            .service,
            "fec",
            .words(Self.redundancyWords),
            .absent("as the file's `fec`"),
            .endsOwn,
            "How much redundancy this service may spend against loss on the way to the client.",
            example: "fec = \"high\""
        ),
        KeyReference(
            .service,
            "compression",
            .words([
                .init("allow", "where the forward asks for it"),
                .init("never", "whatever the forward asks for"),
            ]),
            .written("\"allow\""),
            .endsOwn,
            "Whether bytes may be compressed.",
            example: "compression = \"never\""
        ),
    ]

    private static let serviceOrigin: [KeyReference] = [
        KeyReference(
            .service,
            "origin",
            .words([
                .init("none", "not at all"),
                .init("transparent", "its socket shows the player's own address and port"),
                .init("proxy-v1", "it reads a line of text; TCP only"),
                .init("proxy-v2", "it reads a binary header"),
                .init("spp", "it reads Cloudflare's Simple Proxy Protocol; UDP only"),
            ]),
            .written("\"none\""),
            .endsOwn,
            "How a backend learns who the player is.",
            "The client needs the right to say it: `origins` of its `[[peer]]`. `\"transparent\"`"
                + " needs capabilities and replies that pass the server; `fairlead doctor --server"
                + " FILE` says what is missing.",
            example: "origin = \"transparent\""
        ),
        KeyReference(
            .service,
            "dialect",
            .words([
                .init("every", "in front of each datagram"),
                .init("first", "in front of the first datagram of a flow"),
                .init("first-alone", "as a first datagram of its own"),
            ]),
            .written("\"every\""),
            .endsOwn,
            "Where `origin = \"proxy-v2\"` puts the header of UDP.",
            example: "protocol = \"udp\"\norigin = \"proxy-v2\"\ndialect = \"first\""
        ),
        KeyReference(
            .service,
            "source_port",
            .words([
                .init("keep", "the player's own port, or the player is refused"),
                .init("any", "whichever is free"),
                .init("keep-or-any", "the player's own where it is free"),
            ]),
            .written("\"keep-or-any\""),
            .endsOwn,
            "The port that the backend sees; only with `origin = \"transparent\"`.",
            example: "origin = \"transparent\"\nsource_port = \"keep\""
        ),
        KeyReference(
            .service,
            "pseudo_ipv4",
            .boolean,
            .written("false"),
            .endsOwn,
            "Whether IPv4 backends are shown a stable address of 240.0.0.0/4 for players with"
                + " IPv6.",
            "Only with `origin = \"transparent\"` or `\"proxy-v1\"`.",
            example: "origin = \"transparent\"\npseudo_ipv4 = true"
        ),
    ]
}
