import Primitives

/// The keys of both files that govern what an end sends and holds.
extension KeyReference {
    static let redundancyWords: [KeyValue.Word] = [
        .init("auto", "as much as the measured loss asks for"),
        .init("off", "none"),
        .init("low", "a copy of small messages, or one repair for ten packets"),
        .init("high", "three copies of small messages, or one repair for three packets"),
    ]

    static func transport(_ place: KeyPlace) -> [KeyReference] {
        Self.sending(place) + Self.keys(place) + [
            KeyReference(
                place,
                "mtu",
                .automaticOrInteger(1200...65_507, unit: "bytes of a UDP payload"),
                .written("\"auto\""),
                .restart,
                "The largest UDP payload to send.",
                "`\"auto\"` probes for what the path carries.",
                example: "mtu = 1400"
            ),
            KeyReference(
                place,
                "workers",
                .integer(1...16, unit: "threads"),
                .written("1"),
                .restart,
                "How many threads carry traffic.",
                place == .client
                    ? "Each worker of a client keeps a session of its own."
                    : "The kernel spreads clients over the workers.",
                example: "workers = 2"
            ),
            KeyReference(
                place,
                "connect_timeout",
                .duration(.milliseconds(100)...(.seconds(3_600))),
                .written("\"10s\""),
                .restart,
                "How long a TCP connection that was accepted waits for a session.",
                place == .client
                    ? "It is reset after that."
                    : "Only clients wait; a server reads the key and makes no use of it.",
                example: "connect_timeout = \"5s\""
            ),
        ]
    }

    /// What protects the bytes of an end.
    private static func keys(_ place: KeyPlace) -> [KeyReference] {
        [
            KeyReference(
                place,
                "cipher",
                .words([
                    .init("auto", "AES-256-GCM where both machines compute it in hardware"),
                    .init("chacha20-poly1305", "this one only"),
                    .init("aes-256-gcm", "this one only"),
                ]),
                .written("\"auto\""),
                .restart,
                "The cipher of the tunnel.",
                "Two ends with nothing in common do not connect: `cipher-mismatch`.",
                example: "cipher = \"chacha20-poly1305\""
            ),
            KeyReference(
                place,
                "post_quantum",
                .words([
                    .init("prefer", "wherever the other end does it too"),
                    .init("require", "no session without, and nothing passes before it is done"),
                    .init("off", "not at all"),
                ]),
                .written("\"prefer\""),
                .atOnce,
                "Whether ML-KEM-768 protects recorded traffic from quantum computers.",
                "With `\"require\"` at one end, and at the other `\"off\"` or a release that has no"
                    + " such key, there is no session: `post-quantum`. After a reload the next"
                    + " handshakes follow it; `\"require\"` ends sessions that do without.",
                example: "post_quantum = \"require\""
            ),
        ]
    }

    private static func sending(_ place: KeyPlace) -> [KeyReference] {
        let own =
            place == .client
            ? "Forwards without `fec` of their own follow a reload at once and end what they carry;"
                + " small messages of TCP connections do after a restart."
            : "Services without `fec` of their own follow a reload for what is opened from then on;"
                + " small messages of TCP connections do after a restart."
        return [
            KeyReference(
                place,
                "congestion",
                .words([
                    .init("auto", "tolerates loss, and guards the delay"),
                    .init(
                        "bbr",
                        "after BBR version 1: deeper queues, steadier if delays are noisy"
                    ),
                    .init("cubic", "RFC 9438: polite, and slow on lossy paths"),
                    .init("fixed", "the `rate` beside it, whatever the path says"),
                ]),
                .written("\"auto\""),
                .restart,
                "How this end finds out how fast it may send.",
                example: "congestion = \"bbr\""
            ),
            KeyReference(
                place,
                "rate",
                .rate(Self.rates),
                .absent("none"),
                .restart,
                "The rate of `congestion = \"fixed\"`, and of nothing else.",
                "It counts bits on the wire, IP and UDP headers included.",
                example: "congestion = \"fixed\"\nrate = \"50 mbps\""
            ),
            KeyReference(
                place,
                "fec",
                .words(Self.redundancyWords),
                .written("\"auto\""),
                .restart,
                "How much redundancy this end may spend against loss.",
                own,
                example: "fec = \"low\""
            ),
        ]
    }

    static let rates: ClosedRange<UInt64> = 8_000...1_000_000_000_000

    static func limits(_ place: KeyPlace) -> [KeyReference] {
        [
            KeyReference(
                place,
                "max_flows",
                .integer(1...10_000_000, unit: "flows"),
                .written("65536"),
                .restart,
                "How many UDP flows each worker holds at a time.",
                place == .server
                    ? "Three quarters of the process's descriptors bound it as well."
                    : "At the limit the flow that was silent for longest, a second at least, gives"
                        + " way.",
                example: "max_flows = 20000"
            ),
            KeyReference(
                place,
                "stream_buffer",
                .size((64 << 10)...(1 << 30)),
                .written("\"8 MiB\""),
                .restart,
                "How many bytes a TCP connection may hold in each direction.",
                "It is rounded down to a power of two. Where `session_buffer` is smaller, the"
                    + " default shrinks with it, down to 4 MiB.",
                example: "stream_buffer = \"4 MiB\""
            ),
            KeyReference(
                place,
                "session_buffer",
                .size((256 << 10)...(64 << 30)),
                .written("\"64 MiB\""),
                .restart,
                "How many bytes the receive windows of a session may hold together.",
                "The first 64 KiB of each stream are not counted. It must not be smaller than"
                    + " `stream_buffer`.",
                example: "session_buffer = \"128 MiB\""
            ),
        ]
    }
}
