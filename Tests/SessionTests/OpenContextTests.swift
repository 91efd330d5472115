import Primitives
import Testing

@testable import Session

/// OPEN frames with what a header before the client said, and without.
@Suite struct OpenContextTests {
    private func bytes(_ request: OpenRequest) -> [UInt8] {
        var buffer = [UInt8](repeating: 0, count: 600)
        let count = buffer.withUnsafeMutableBytes { raw in
            guard let base = raw.baseAddress else { return 0 }
            var writer = ByteWriter(base, capacity: raw.count)
            request.write(to: &writer)
            return writer.count
        }
        return Array(buffer[..<count])
    }

    private func request(parsing bytes: [UInt8]) -> OpenRequest? {
        bytes.withUnsafeBytes { raw in
            var reader = ByteReader(raw)
            return OpenRequest(parsing: &reader)
        }
    }

    private func request(_ context: OpenContext) -> OpenRequest {
        var request = OpenRequest(service: "web", serviceProtocol: .tcp)
        request.origin = SocketAddress(ipv4: 0xC000_0201, port: 5000)
        request.context = context
        return request
    }

    /// No configuration knows such a name, and whoever logs it must not be driven by it.
    @Test(arguments: ["a\u{1B}[2J", "a\u{9B}2J", "a\u{85}b", "a\u{202E}b", "a\u{2028}b", "a\nb"])
    func namesThatNoFileMayHoldAreMalformed(name: String) {
        let request = OpenRequest(service: name, serviceProtocol: .tcp)
        #expect(self.request(parsing: self.bytes(request)) == nil)
        let plain = OpenRequest(service: "Grüße 1", serviceProtocol: .tcp)
        #expect(self.request(parsing: self.bytes(plain)) == plain)
    }

    @Test func travelsWhole() {
        let context = OpenContext(uniqueID: Array("id".utf8), authority: Array("a.example".utf8))
        let request = self.request(context)
        let bytes = self.bytes(request)
        #expect(self.request(parsing: bytes) == request)
        let plain = self.bytes(self.request(OpenContext()))
        #expect(bytes.count == plain.count + context.byteCount)
        // A reader that stops behind the name, as the first version did, finds what it knows.
        #expect(Array(bytes[..<plain.count]) == plain)
        #expect(bytes.count <= Opening.byteCountLimit(request) - OpenFrame.overhead)
    }

    @Test func leavesOutWhatDoesNotFit() {
        let id = [UInt8](repeating: 1, count: 128)
        let name = [UInt8](repeating: 2, count: 124)
        let both = OpenContext(uniqueID: id, authority: name)
        #expect(both.uniqueID == id && both.authority == name)
        #expect(both.byteCount == OpenContext.byteCountLimit)
        #expect(OpenContext(uniqueID: id, authority: name + [2]).authority.isEmpty)
        #expect(OpenContext(uniqueID: id + [1], authority: name).uniqueID.isEmpty)
        let long = [UInt8](repeating: 2, count: 255)
        #expect(OpenContext(uniqueID: [], authority: long).authority.isEmpty)
    }

    @Test func skipsFieldsOfLaterVersions() {
        let known = self.bytes(self.request(OpenContext(uniqueID: [7], authority: [])))
        let parsed = self.request(parsing: known + [200, 3, 1, 2, 3, 201, 0])
        #expect(parsed?.context.uniqueID == [7])
    }

    @Test func theLongestStallTravels() {
        var request = self.request(OpenContext(uniqueID: [7], authority: []))
        request.maximumStall = .seconds(5)
        let bytes = self.bytes(request)
        #expect(self.request(parsing: bytes) == request)
        #expect(bytes.count <= Opening.byteCountLimit(request) - OpenFrame.overhead)
        let plain = self.bytes(self.request(OpenContext()))
        let parse = { (field: [UInt8]) in
            self.request(parsing: plain + [3, UInt8(field.count)] + field)
        }
        #expect(parse([0, 1, 0, 0])?.maximumStall == .milliseconds(256))
        #expect(parse([0, 1, 0, 0, 9])?.maximumStall == .milliseconds(256))
        #expect(parse([1, 0, 0, 0])?.maximumStall == .milliseconds(100))
        #expect(parse([0, 0, 0, 0])?.maximumStall == .some(nil))
        #expect(parse([255, 255, 255, 255])?.maximumStall == .milliseconds(4_294_967_295))
        #expect(parse([1, 0, 0]) == nil && parse([]) == nil)
        // It means nothing where datagrams travel.
        var voice = OpenRequest(service: "voice", serviceProtocol: .udp)
        voice.delivery = .reliable
        let stalling = self.bytes(voice) + [3, 4, 1, 0, 0, 0]
        #expect(self.request(parsing: stalling) == voice)
    }

    @Test func thePortOfARangeTravels() {
        var request = self.request(OpenContext(uniqueID: [7], authority: [8]))
        request.maximumStall = .seconds(5)
        request.port = PortPlace(offset: 100, count: 101)
        let bytes = self.bytes(request)
        #expect(self.request(parsing: bytes) == request)
        let plain = self.bytes(self.request(OpenContext()))
        let parse = { (field: [UInt8]) in
            self.request(parsing: plain + [4, UInt8(field.count)] + field)
        }
        #expect(parse([1, 0, 2, 0])?.port == PortPlace(offset: 1, count: 2))
        #expect(parse([1, 0, 2, 0, 9])?.port == PortPlace(offset: 1, count: 2))
        for wrong: [UInt8] in [[2, 0, 2, 0], [0, 0, 0, 0], [1, 0, 2], [255, 255, 1, 0], []] {
            #expect(parse(wrong) == nil)
        }
    }

    @Test func everyPrefixIsReadOrRefusedAndNothingIsInvented() {
        let context = OpenContext(uniqueID: Array("id".utf8), authority: Array("a.example".utf8))
        let whole = self.bytes(self.request(context))
        let plain = self.bytes(self.request(OpenContext())).count
        for count in 0..<whole.count {
            let parsed = self.request(parsing: Array(whole[..<count]))
            // Where a field ends there is nothing to tell that another was there.
            let isWhole = count == plain || count == plain + 4
            #expect((parsed != nil) == isWhole, "\(count) bytes")
        }
        for index in plain..<whole.count {
            var bent = whole
            bent[index] ^= 0xFF
            if let parsed = self.request(parsing: bent) {
                #expect(parsed.context.byteCount <= OpenContext.byteCountLimit)
            }
        }
        #expect(self.request(parsing: Array(whole[..<plain]) + [1, 129] + whole) == nil)
    }
}
