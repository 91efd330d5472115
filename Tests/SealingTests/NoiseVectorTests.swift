import Foundation
import Primitives
import Testing

@testable import Sealing

/// The public Noise vectors, both roles, byte for byte.
///
/// They are not part of this package: `FAIRLEAD_NOISE_VECTORS` names a JSON file in the format of
/// the cacophony and snow projects.
@Suite struct NoiseVectorTests {
    static let path = ProcessInfo.processInfo.environment["FAIRLEAD_NOISE_VECTORS"]

    struct Vector: Decodable {
        struct Message: Decodable {
            var payload: String
            var ciphertext: String
        }

        var protocol_name: String
        var init_prologue: String?
        var init_static: String?
        var init_ephemeral: String?
        var init_remote_static: String?
        var init_psks: [String]?
        var resp_static: String?
        var resp_ephemeral: String?
        var resp_remote_static: String?
        var handshake_hash: String?
        var messages: [Message]
    }

    struct File: Decodable { var vectors: [Vector] }

    static func load() throws -> [Vector] {
        guard let path = Self.path else { return [] }
        let data = try Data(contentsOf: URL(fileURLWithPath: path))
        if let file = try? JSONDecoder().decode(File.self, from: data) { return file.vectors }
        return try JSONDecoder().decode([Vector].self, from: data)
    }

    /// The patterns of Noise §7.5, its appendix on deferred patterns, and its psk modifiers.
    static func pattern(_ name: String) -> NoisePattern? {
        let parts = name.split(separator: "_")
        guard parts.count == 5, parts[2...] == ["25519", "ChaChaPoly", "BLAKE2b"] else {
            return nil
        }
        let base = parts[1].prefix { $0.isUppercase || $0 == "1" }
        var pattern: NoisePattern
        switch base {
        case "N": pattern = .init(name: name, messages: [[.e, .es]])
        case "X": pattern = .init(name: name, messages: [[.e, .es, .s, .ss]])
        case "NN": pattern = .init(name: name, messages: [[.e], [.e, .ee]])
        case "NK": pattern = .init(name: name, messages: [[.e, .es], [.e, .ee]])
        case "KK": pattern = .init(name: name, messages: [[.e, .es, .ss], [.e, .ee, .se]])
        case "XX": pattern = .init(name: name, messages: [[.e], [.e, .ee, .s, .es], [.s, .se]])
        case "XK": pattern = .init(name: name, messages: [[.e, .es], [.e, .ee], [.s, .se]])
        case "XK1": pattern = .init(name: name, messages: [[.e], [.e, .ee, .es], [.s, .se]])
        case "IK": pattern = .init(name: name, messages: [[.e, .es, .s, .ss], [.e, .ee, .se]])
        case "IK1": pattern = .init(name: name, messages: [[.e, .s], [.e, .ee, .se, .es]])
        default: return nil
        }
        pattern.responderStaticIsKnown = !["NN", "XX"].contains(base)
        pattern.initiatorStaticIsKnown = base == "KK"
        for modifier in parts[1].dropFirst(base.count).split(separator: "+") {
            guard modifier.hasPrefix("psk"), let place = Int(modifier.dropFirst(3)) else {
                return nil
            }
            if place == 0 {
                pattern.messages[0].insert(.psk, at: 0)
            } else {
                pattern.messages[place - 1].append(.psk)
            }
        }
        return pattern
    }

    @Test(.enabled(if: path != nil, "set FAIRLEAD_NOISE_VECTORS to a vector file to run this"))
    func everyVectorHolds() throws {
        var count = 0
        for vector in try Self.load() {
            guard let pattern = Self.pattern(vector.protocol_name) else { continue }
            try Self.check(vector, pattern)
            count += 1
        }
        print("Noise vectors checked: \(count)")
        #expect(count > 0)
    }

    private static func check(_ vector: Vector, _ pattern: NoisePattern) throws {
        let initiator = NoiseSession()
        let responder = NoiseSession()
        let prologue = hex(vector.init_prologue ?? "")
        let initiatorKey = vector.init_static.flatMap { secretKey(hex($0)) }
        let responderKey = vector.resp_static.flatMap { secretKey(hex($0)) }
        initiator.begin(
            pattern,
            isInitiator: true,
            prologue: prologue,
            local: initiatorKey,
            remote: vector.init_remote_static.map { publicKey(hex($0)) }
        )
        responder.begin(
            pattern,
            isInitiator: false,
            prologue: prologue,
            local: responderKey,
            remote: vector.resp_remote_static.map { publicKey(hex($0)) }
        )
        if let bytes = vector.init_ephemeral { initiator.setEphemeral(bytes: hex(bytes)) }
        if let bytes = vector.resp_ephemeral { responder.setEphemeral(bytes: hex(bytes)) }

        var psks = (vector.init_psks ?? []).map(hex)
        for (index, tokens) in pattern.messages.enumerated() {
            if tokens.contains(.psk), !psks.isEmpty {
                let psk = psks.removeFirst()
                initiator.setPSK(psk)
                responder.setPSK(psk)
            }
            let (sender, receiver) =
                index % 2 == 0 ? (initiator, responder) : (responder, initiator)
            let expected = hex(vector.messages[index].ciphertext)
            let payload = hex(vector.messages[index].payload)
            let comment = Comment(rawValue: "\(vector.protocol_name), message \(index)")
            #expect(sender.message(payload) == expected, comment)
            #expect(receiver.payload(of: expected) == payload, comment)
        }
        if let hash = vector.handshake_hash {
            #expect(initiator.handshakeHash == hex(hash))
        }
        #expect(initiator.handshakeHash == responder.handshakeHash)
        Self.checkTransport(vector, pattern, initiator, responder)
    }

    private static func checkTransport(
        _ vector: Vector,
        _ pattern: NoisePattern,
        _ initiator: NoiseSession,
        _ responder: NoiseSession
    ) {
        let keys = initiator.splitKeys()
        let others = responder.splitKeys()
        #expect(keys == others)
        let isOneWay = pattern.messages.count == 1
        var counters: [UInt64] = [0, 0]
        for index in pattern.messages.count..<vector.messages.count {
            let direction = isOneWay ? 0 : index % 2
            let sealed = transportSeal(
                hex(vector.messages[index].payload),
                key: direction == 0 ? keys.forward : keys.backward,
                counter: counters[direction]
            )
            counters[direction] += 1
            #expect(sealed == hex(vector.messages[index].ciphertext))
        }
    }
}
