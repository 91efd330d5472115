public import Primitives

extension EngineCounters {
    /// What each total is shown as; ``drops`` are a metric of their own.
    public static let metrics = MetricTable<Self>([
        .counter(
            "wire_bytes",
            .bytes,
            "Bytes of the tunnel's UDP payloads.",
            split: "direction",
            ["sent": \.wireBytesSent, "received": \.wireBytesReceived]
        ),
        .counter(
            "packets",
            .count,
            "Packets of the tunnel.",
            split: "direction",
            ["sent": \.packetsSent, "received": \.packetsReceived]
        ),
        .counter("packets_lost", .count, "Sent packets declared lost.", \.packetsLost),
        .counter(
            "packets_recovered",
            .count,
            "Losses that redundancy made good.",
            \.packetsRecovered
        ),
        .counter("redundancy_bytes", .bytes, "Bytes spent on redundancy.", \.redundancyBytes),
    ])
}

extension DropReason {
    /// What is thrown away for it, in one sentence.
    public var meaning: String {
        switch self {
        case .malformed: "Packets that no release of this protocol writes."
        case .unauthentic: "Packets whose seal does not fit: damaged, forged, or of other keys."
        case .replayed: "Packets that came a second time, or too late to tell."
        case .unknownSession: "Packets of a session that is over or was never here."
        case .handshakeRefused: "Handshakes that are damaged, copied, or not meant for this server."
        case .handshakeLimited: "Handshakes of a source or a key that asks too often."
        case .protocolViolation: "Frames that an honest peer does not send."
        case .unknownFlow: "Datagrams of a flow that is over or was never opened."
        case .unknownStream: "Segments of a stream that is over or was never opened."
        case .flowQueueFull: "Datagrams that waited in a flow's queue when it was full."
        case .flowQueueStale: "Datagrams that waited too long to be of use."
        case .inboxFull: "Datagrams that came faster than this process could pass them on."
        case .reassemblyFull: "Incomplete datagrams that made room for later ones."
        case .reassemblyStale: "Incomplete datagrams whose missing parts never came."
        case .datagramTooLarge: "Datagrams that no longer fit into one."
        case .flowLimit: "Flows beyond a limit."
        case .flowEvicted: "Flows that made room for others."
        case .streamLimit: "Streams beyond a limit."
        case .pathUnvalidated: "Packets to an address that has not proved to be the peer's."
        case .sessionMemory: "Segments and repairs for which the peer has no memory left."
        case .repairBudget: "Repairs of a flow that has used up its share of work."
        case .streamEvicted: "Streams that gave way to those of a peer who holds less."
        case .rateLimited: "Packets above the rate that the peer may send at."
        case .compressionForbidden: "Deflated bytes for a service that forbids compression."
        case .inflationBudget: "Streams and flows whose bytes unfold to more than their share."
        case .stalled: "Streams whose bytes waited for longer than `max_stall`."
        case .ratchet: "Parts of a post-quantum exchange that nobody waits for."
        }
    }
}

extension SessionSnapshot {
    /// What a session's numbers are shown as; its peer and address are the labels.
    public static let metrics = MetricTable<Self>(
        subject: ["peer", "address"],
        [
            .gauge(
                "session_rtt_seconds",
                .seconds,
                "Smoothed round trip of a session.",
                .interval(\.roundTrip)
            ),
            .gauge(
                "session_loss_ratio",
                .ratio,
                "Share of the sent packets that is lost lately.",
                .ratio(\.lossRate)
            ),
            .gauge(
                "session_congestion_window_bytes",
                .bytes,
                "Bytes that may be on the way at once.",
                .size(\.congestionWindow)
            ),
            .gauge(
                "session_pacing_bytes_per_second",
                .bytesPerSecond,
                "Rate at which packets leave while there is enough to send.",
                .rate(\.pacingRate)
            ),
            .gauge(
                "session_packet_size_bytes",
                .bytes,
                "UDP payload of the largest packet that the path is known to carry.",
                .size(\.packetSize)
            ),
            .gauge("session_age_seconds", .seconds, "Time since it was made.", .interval(\.age)),
            .gauge(
                "session_silence_seconds",
                .seconds,
                "Time since the peer was last heard.",
                .interval(\.silence)
            ),
            .gauge("session_streams", .count, "Its TCP streams.", .size(\.streams)),
            .gauge("session_flows", .count, "Its UDP flows.", .size(\.flows)),
            .gauge(
                "session_post_quantum",
                .flag,
                "Whether its keys are post-quantum.",
                .flag(\.isPostQuantum)
            ),
            .counter(
                "session_wire_bytes",
                .bytes,
                "Bytes of the session's UDP payloads.",
                split: "direction",
                ["sent": \.wireBytesSent, "received": \.wireBytesReceived]
            ),
        ]
    )
}
