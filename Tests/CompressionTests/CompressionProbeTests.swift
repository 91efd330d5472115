import Primitives
import Testing

@testable import Compression

@Suite("The probe")
struct CompressionProbeTests {
    private func probe(after pieces: [[UInt8]]) -> CompressionProbe {
        var probe = CompressionProbe()
        for piece in pieces { piece.withUnsafeBytes { probe.inspect($0) } }
        return probe
    }

    @Test("knows what cannot be compressed by its first bytes")
    func signatures() {
        #expect(!self.probe(after: [[0x16, 3, 1, 2, 0, 1]]).isPaying)
        #expect(!self.probe(after: [[0x17, 3, 3, 2, 0, 1]]).isPaying)
        #expect(!self.probe(after: [Array("SSH-2.0-OpenSSH".utf8)]).isPaying)
        #expect(!self.probe(after: [[0x1F, 0x8B, 8, 0]]).isPaying)
        #expect(!self.probe(after: [[0, 0, 0, 32] + Array("ftypisom".utf8)]).isPaying)
        #expect(self.probe(after: [Array("GET / HTTP/1.1\r\n".utf8)]).isPaying)
        #expect(self.probe(after: [[]]).isPaying)
    }

    @Test("recognises them when they arrive byte by byte, and only at the beginning")
    func pieces() {
        #expect(!self.probe(after: "SSH-2.0".utf8.map { [$0] }).isPaying)
        let late = [Array("sixteen bytes in".utf8), Array("SSH-2.0".utf8)]
        #expect(self.probe(after: late).isPaying)
    }

    @Test("stops when less than 5 % is saved over the first 16 KiB, not before")
    func threshold() {
        var probe = CompressionProbe()
        #expect(probe.bytesUntilDecision == 16_384)
        probe.record(taken: 16_384, produced: 15_565)
        probe.decide()
        #expect(probe.isPaying)
        #expect(probe.bytesUntilDecision == 262_144)
        probe.record(taken: 262_144, produced: 249_038)
        probe.decide()
        #expect(!probe.isPaying)
    }

    @Test("lets a writer stop in the middle of a stream and never restart")
    func stops() {
        let writer = CompressedStreamWriter()
        let reader = CompressedStreamReader()
        let parts = [
            Sample.text(100_000, seed: 1), Sample.noise(600_000, seed: 2),
            Sample.text(600_000, seed: 3),
        ]
        #expect(reader.decode(writer.frame(parts[0])) == parts[0])
        #expect(writer.isCompressing)
        #expect(reader.decode(writer.frame(parts[1])) == parts[1])
        #expect(!writer.isCompressing)
        let framed = writer.frame(parts[2], room: 65_536)
        #expect(framed.count > parts[2].count)
        #expect(reader.decode(framed) == parts[2])
    }

    @Test("stores a TLS stream from its first byte")
    func storesTLS() {
        let hello: [UInt8] = [0x16, 3, 1, 0, 200] + Sample.text(200, seed: 5)
        let framed = CompressedStreamWriter().frame(hello)
        #expect(framed == [0, 205, 0] + hello)
    }
}
