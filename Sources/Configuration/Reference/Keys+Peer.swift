import Primitives

/// The keys of `[[peer]]`.
extension KeyReference {
    static let peerKeys: [KeyReference] = Self.peerRights + Self.peerQuotas

    private static let peerRights: [KeyReference] = [
        KeyReference(
            .peer,
            "name",
            .text(Section.nameForm),
            .required,
            .atOnce,
            "What logs and pages call the client; unique in the file.",
            example: "name = \"edge-1\""
        ),
        KeyReference(
            .peer,
            "public_key",
            .text(Section.keyForm),
            .required,
            .endsOwn,
            "The client's public key; unique in the file.",
            "Sessions of a key that is gone end at once.",
            example: "public_key = \"\(Self.exampleKey)\""
        ),
        Self.presharedKey(.peer, "The file with a key that this client and the server share."),
        KeyReference(
            .peer,
            "services",
            .list(each: Section.nameForm),
            .required,
            .atOnce,
            "The names of the services that the client may use, or `[\"*\"]` for all of them.",
            "Streams and flows of a service that is taken away end, all others stay.",
            example: "services = [\"minecraft\"]"
        ),
        KeyReference(
            .peer,
            "origins",
            .list(each: Section.blockForm),
            .absent("no claims: backends are shown the client"),
            .endsOwn,
            "The addresses that the client may claim for its players.",
            "`0.0.0.0/0` and `::/0` cover public addresses. Players with private, shared or unique"
                + " local addresses need an entry inside of those ranges, such as"
                + " `192.168.0.0/16`. A player outside is refused: `origin-forbidden`.",
            example: "origins = [\"0.0.0.0/0\", \"::/0\"]"
        ),
        KeyReference(
            .peer,
            "expires",
            .moment,
            .absent("never"),
            .atOnce,
            "The moment from which on the key is refused.",
            "Its sessions end at that moment: `key-expired`.",
            example: "expires = 2027-01-31T18:00:00Z"
        ),
        KeyReference(
            .peer,
            "enabled",
            .boolean,
            .written("true"),
            .atOnce,
            "Whether the key is good at all.",
            "`false` ends its sessions with `key-expired`; a key that is enabled again is back"
                + " within 10 s.",
            example: "enabled = false"
        ),
    ]

    private static let peerQuotas: [KeyReference] = [
        KeyReference(
            .peer,
            "max_sessions",
            .integer(1...1_000_000, unit: "sessions"),
            .written("4"),
            .newOnes,
            "How many sessions the key may have at a time, over all workers.",
            "Each client process has one for each of its workers. What exceeds it is refused:"
                + " `limit`.",
            example: "max_sessions = 2"
        ),
        KeyReference(
            .peer,
            "max_streams",
            .integer(1...10_000_000, unit: "streams"),
            .written("4096"),
            .newOnes,
            "How many TCP connections the key may have at a time, over all its sessions.",
            "Flows with `delivery = \"reliable\"` count as well.",
            example: "max_streams = 500"
        ),
        KeyReference(
            .peer,
            "max_flows",
            .integer(1...10_000_000, unit: "flows"),
            .written("4096"),
            .newOnes,
            "How many UDP flows the key may have at a time, over all its sessions.",
            "At the limit a flow that was silent for 10 s gives way to a new one.",
            example: "max_flows = 500"
        ),
        KeyReference(
            .peer,
            "rate_up",
            .rate(Self.rates),
            .absent("any"),
            .atOnce,
            "How fast the client may send into the tunnel.",
            "Its sessions share the rate. Nothing is refused for it: the client is told and sends"
                + " more slowly.",
            example: "rate_up = \"20 mbps\""
        ),
        KeyReference(
            .peer,
            "rate_down",
            .rate(Self.rates),
            .absent("any"),
            .atOnce,
            "How fast the client is sent to.",
            "Its sessions share the rate.",
            example: "rate_down = \"100 mbps\""
        ),
    ]
}
