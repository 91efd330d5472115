import Primitives

/// The keys of a backend, and of the table that says how it is probed.
extension KeyReference {
    static let backendKeys: [KeyReference] = [
        KeyReference(
            .backends,
            "address",
            .text(Backend.form),
            .required,
            .endsOwn,
            "The backend's address; names are looked up in the background.",
            "A name means all its addresses: the next one is tried where one refuses or is silent."
                + " With `dns:` each of its addresses is a backend of its own, with `srv:` each"
                + " place that the SRV records lead to, with their weights; records of lower"
                + " priority are backups. Such backends come and go as the name service says:"
                + " those that vanish keep the players they have. Names are looked up again when"
                + " their TTL ends and when somebody finds them dead; without an answer the last"
                + " one stays. Each backend of a service stands once. With a range of ports"
                + " (`\"10.0.0.5:20000-20100\"`) players reach port by port what the client's"
                + " forward listens on, which has to have as many ports. All ports of a player"
                + " lead to the same backend, chosen by the player's address whatever `balance`"
                + " says; `health` asks the first port.",
            example: "address = \"10.0.0.5:25565\""
        ),
        KeyReference(
            .backends,
            "weight",
            .integer(1...1000, unit: "shares"),
            .written("1"),
            .endsOwn,
            "The backend's share of new connections and flows, relative to the others'.",
            "With `dns:` each address has this share; SRV records have weights of their own.",
            example: "address = \"10.0.0.5:25565\"\nweight = 3"
        ),
        KeyReference(
            .backends,
            "backup",
            .boolean,
            .written("false"),
            .endsOwn,
            "Whether it is used only while no other backend is up.",
            "One backend at least must be none.",
            example: "address = \"10.0.0.9:25565\"\nbackup = true"
        ),
    ]

    static let healthKeys: [KeyReference] =
        [
            KeyReference(
                .health,
                "type",
                .words([
                    .init("tcp", "a connection is accepted"),
                    .init("a2s", "an answer to Valve's server query"),
                    .init("raknet", "an answer to RakNet's ping, as Minecraft Bedrock has it"),
                    .init("minecraft", "an answer to Minecraft's status request"),
                    .init("dns", "an answer to a query"),
                    .init("send-expect", "the answer to `send` contains `expect`"),
                ]),
                .required,
                .endsOwn,
                "What a living backend does.",
                example: "type = \"a2s\""
            )
        ] + Self.healthTimes + [
            KeyReference(
                .health,
                "name",
                .text(Section.hostForm),
                .absent("the name servers of the root"),
                .endsOwn,
                "What is asked for; only with `type = \"dns\"`.",
                "Any answer but SERVFAIL will do. A resolver without a way to the internet needs a"
                    + " name that it knows.",
                example: "type = \"dns\"\nname = \"intranet.example\""
            ),
            KeyReference(
                .health,
                "send",
                .text(HealthCheck.payloadForm),
                .absent("none"),
                .endsOwn,
                "What is sent; only with `type = \"send-expect\"`, which requires it.",
                example: "type = \"send-expect\"\nsend = \"hex:FE 01\"\nexpect = \"pong\""
            ),
            KeyReference(
                .health,
                "expect",
                .text(HealthCheck.payloadForm),
                .absent("none"),
                .endsOwn,
                "What the answer has to contain; only with `type = \"send-expect\"`, which requires"
                    + " it.",
                example: "type = \"send-expect\"\nsend = \"ping\"\nexpect = \"pong\""
            ),
        ]

    private static let healthTimes: [KeyReference] = [
        KeyReference(
            .health,
            "interval",
            .duration(.milliseconds(100)...(.seconds(3_600))),
            .written("\"2s\""),
            .endsOwn,
            "The time from one probe of a backend to the next.",
            example: "type = \"tcp\"\ninterval = \"5s\""
        ),
        KeyReference(
            .health,
            "timeout",
            .duration(.milliseconds(10)...(.seconds(60))),
            .written("\"1s\""),
            .endsOwn,
            "How long a probe waits for the answer; not longer than `interval`.",
            "Where `interval` is shorter than 1 s, the default is as long as that.",
            example: "type = \"tcp\"\ntimeout = \"500ms\""
        ),
        KeyReference(
            .health,
            "rise",
            .integer(1...100, unit: "answers in a row"),
            .written("2"),
            .endsOwn,
            "How many answers bring a backend up.",
            example: "type = \"tcp\"\nrise = 1"
        ),
        KeyReference(
            .health,
            "fall",
            .integer(1...100, unit: "failures in a row"),
            .written("3"),
            .endsOwn,
            "How many failures take a backend down.",
            example: "type = \"tcp\"\nfall = 5"
        ),
    ]
}
