/// One step of a Noise message, named as in the specification (revision 34, §5.3 and §9).
enum NoiseToken: UInt8 {
    case e, s, ee, es, se, ss, psk
}

/// A handshake as data.
///
/// Fairlead speaks ``fairlead``; others exist for the public test vectors.
struct NoisePattern {
    /// Hashed into everything, so it fixes functions as well as messages.
    var name: String
    /// Whose static key the other side knows beforehand.
    var initiatorStaticIsKnown = false
    var responderStaticIsKnown = false
    var messages: [[NoiseToken]]

    var usesPSK: Bool { self.messages.contains { $0.contains(.psk) } }

    static let fairlead = Self(
        name: "Noise_IKpsk2_25519_ChaChaPoly_BLAKE2b",
        responderStaticIsKnown: true,
        messages: [[.e, .es, .s, .ss], [.e, .ee, .se, .psk]]
    )
}
