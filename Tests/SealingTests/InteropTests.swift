import Foundation
import Primitives
import Testing

@testable import Sealing

/// Handshakes with an implementation nobody here has written.
@Suite struct InteropTests {
    static let script = URL(fileURLWithPath: #filePath)
        .deletingLastPathComponent().deletingLastPathComponent()
        .appendingPathComponent("Interop/noise_interop.py").path

    /// Whether Python and its package are there.
    static let isAvailable: Bool = {
        let peer = Process()
        peer.executableURL = URL(fileURLWithPath: "/usr/bin/env")
        peer.arguments = ["python3", script, "probe"]
        guard (try? peer.run()) != nil else { return false }
        peer.waitUntilExit()
        return peer.terminationStatus == 0
    }()

    /// The script, line by line.
    private final class Peer {
        private let process = Process()
        private let input = Pipe()
        private let output = Pipe()
        private var rest = Data()

        init(setup: String) throws {
            self.process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
            self.process.arguments = ["python3", InteropTests.script]
            self.process.standardInput = self.input
            self.process.standardOutput = self.output
            try self.process.run()
            self.put(setup)
        }

        func put(_ line: String) {
            self.input.fileHandleForWriting.write(Data((line + "\n").utf8))
        }

        func get() throws -> [UInt8] {
            while true {
                if let end = self.rest.firstIndex(of: 10) {
                    let line = String(decoding: self.rest[..<end], as: UTF8.self)
                    self.rest = Data(self.rest[self.rest.index(after: end)...])
                    return hex(line)
                }
                let chunk = self.output.fileHandleForReading.availableData
                try #require(!chunk.isEmpty, "the script ended early")
                self.rest += chunk
            }
        }

        func finish() -> Int32 {
            self.process.waitUntilExit()
            return self.process.terminationStatus
        }
    }

    @Test(
        .enabled(if: isAvailable, "needs python3 with the package noiseprotocol"),
        arguments: [true, false]
    )
    func shakesHandsWithPython(weInitiate: Bool) throws {
        let entropy = EntropySource.seeded(weInitiate ? 3 : 4)
        let ours = SecretKey(entropy: entropy)
        let theirBytes = Array(1...32 as ClosedRange<UInt8>)
        let theirs = try #require(secretKey(theirBytes))
        let psk = Array(64..<96 as Range<UInt8>)
        let prologue = Array("fairlead/1 interop".utf8)
        let setup = """
            {"role": "\(weInitiate ? "responder" : "initiator")", "psk": "\(hexText(psk))", \
            "prologue": "\(hexText(prologue))", "static": "\(hexText(theirBytes))", \
            "remote": "\(hexText(ours.publicKey.withBytes { Array($0) }))"}
            """
        let peer = try Peer(setup: setup)
        let session = NoiseSession()
        session.begin(
            .fairlead,
            isInitiator: weInitiate,
            prologue: prologue,
            local: ours,
            remote: weInitiate ? theirs.publicKey : nil,
            psk: psk
        )
        session.setEphemeral(entropy.fill)
        let payload = Array("hello from here".utf8)
        if weInitiate {
            peer.put(hexText(try #require(session.message(payload))))
            #expect(try peer.get() == payload)
            let answer = session.payload(of: try peer.get())
            #expect(answer == Array("hello from the responder".utf8))
        } else {
            let greeting = session.payload(of: try peer.get())
            #expect(greeting == Array("hello from the initiator".utf8))
            #expect(session.remoteStatic == theirs.publicKey)
            peer.put(hexText(try #require(session.message(payload))))
            #expect(try peer.get() == payload)
        }
        #expect(try peer.get() == session.handshakeHash)
        let keys = session.splitKeys()
        let mine = weInitiate ? keys.forward : keys.backward
        let other = weInitiate ? keys.backward : keys.forward
        let text = Array("one transport message".utf8)
        #expect(try peer.get() == transportSeal(text, key: other, counter: 0))
        peer.put(hexText(transportSeal(payload, key: mine, counter: 0)))
        #expect(try peer.get() == payload)
        #expect(peer.finish() == 0)
    }
}
