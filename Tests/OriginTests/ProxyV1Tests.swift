import Primitives
import Testing

@testable import Origin

@Suite struct ProxyV1Tests {
    @Test(arguments: [
        (
            "PROXY TCP4 192.0.2.1 198.51.100.2 56324 443\r\n",
            "192.0.2.1:56324", "198.51.100.2:443"
        ),
        (
            "PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n",
            "255.255.255.255:65535", "255.255.255.255:65535"
        ),
        ("PROXY TCP6 2001:db8::1 ::1 1 0\r\n", "[2001:db8::1]:1", "[::1]:0"),
        ("PROXY TCP6 2001:DB8::A ::1.2.3.4 1 2\r\n", "[2001:db8::a]:1", "[::102:304]:2"),
        ("PROXY TCP6 ::ffff:192.0.2.1 2001:db8::1 1 2\r\n", "192.0.2.1:1", "[2001:db8::1]:2"),
    ])
    func readsLines(line: String, source: String, destination: String) {
        let bytes = Array(line.utf8)
        let result = parsed(bytes + Array("payload".utf8), accepting: .v1)
        #expect(result?.header == ProxyHeader(source, destination))
        #expect(result?.byteCount == bytes.count)
    }

    @Test(arguments: [
        "PROXY UNKNOWN\r\n",
        "PROXY UNKNOWN ffff:f:f:f:f:f:f:f ffff:f:f:f:f:f:f:f 65535 65535\r\n",
        "PROXY UNKNOWN \u{1}\u{2} whatever\r\n",
    ])
    func unknownMeansThePeer(line: String) {
        let result = parsed(Array(line.utf8), accepting: .v1)
        #expect(result?.header == nil)
        #expect(result?.byteCount == line.utf8.count)
    }

    @Test(arguments: [
        "PROXY TCP4 192.0.2.1 198.51.100.2 56324 443\n",
        "PROXY TCP4 192.0.2.1 198.51.100.2 56324 443\r \n",
        "PROXY TCP4  192.0.2.1 198.51.100.2 56324 443\r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.2 56324 443 \r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.2 056324 443\r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.2 65536 443\r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.2 -1 443\r\n",
        "PROXY TCP4 192.0.2.01 198.51.100.2 1 443\r\n",
        "PROXY TCP4 192.0.2.256 198.51.100.2 1 443\r\n",
        "PROXY TCP4 192.0.2 198.51.100.2 1 443\r\n",
        "PROXY TCP4 192.0.2.1.5 198.51.100.2 1 443\r\n",
        "PROXY TCP4 2001:db8::1 198.51.100.2 1 443\r\n",
        "PROXY TCP6 192.0.2.1 2001:db8::1 1 443\r\n",
        "PROXY TCP6 2001:db8::1%eth0 2001:db8::1 1 443\r\n",
        "PROXY TCP6 2001:db8:::1 2001:db8::1 1 443\r\n",
        "PROXY TCP6 1:2:3:4:5:6:7:8:9 2001:db8::1 1 443\r\n",
        "PROXY TCP6 1:2:3:4:5:6:7: 2001:db8::1 1 443\r\n",
        "PROXY TCP6 1::2::3 2001:db8::1 1 443\r\n",
        "PROXY TCP6 1:2:3:4:5:6:7::8 2001:db8::1 1 443\r\n",
        "PROXY TCP6 : :: 1 443\r\n", "PROXY TCP5 192.0.2.1 192.0.2.2 1 443\r\n",
        "PROXY UDP4 192.0.2.1 192.0.2.2 1 443\r\n", "PROXY UNKNOWNX\r\n", "PROXY \r\n",
        "PROXY TCP4\r\n", "PROXY TCP4 \r\n", "PROXY TCP4 192.0.2.1 192.0.2.2 1\r\n",
        "PROXY TCP4 192.0.2.1 192.0.2.2  \r\n",
    ])
    func refusesWhatTheSpecificationDoesNotAllow(line: String) {
        #expect(fault(Array(line.utf8), accepting: .v1) == .text)
    }

    @Test func aPlainClientIsNoticedAtItsFirstByte() {
        #expect(fault(Array("G".utf8), accepting: .v1) == .signature)
        #expect(fault(Array("PROXX".utf8), accepting: .v1) == .signature)
        #expect(fault(Array("proxy TCP4".utf8)) == .signature)
    }

    @Test func theLineEndsWithin107Bytes() {
        let head = "PROXY UNKNOWN "
        let fits = head + String(repeating: "x", count: 105 - head.utf8.count) + "\r\n"
        #expect(fits.utf8.count == 107)
        #expect(parsed(Array(fits.utf8))?.byteCount == 107)
        let long = head + String(repeating: "x", count: 106 - head.utf8.count) + "\r\n"
        #expect(fault(Array(long.utf8)) == .oversize)
        #expect(fault(Array(long.utf8.prefix(106))) == .oversize)
        #expect(feed(Array(long.utf8.prefix(105))).outcome == .needMore)
    }

    @Test func everyPrefixAsksForMoreAndEverySplitGivesTheSame() {
        let line = Array("PROXY TCP6 2001:db8::1 fd00::5 56324 443\r\n".utf8)
        let expected = ProxyHeader("[2001:db8::1]:56324", "[fd00::5]:443")
        for cut in 0..<line.count {
            #expect(feed(Array(line[..<cut])).outcome == .needMore)
            #expect(parsed(line + [1, 2, 3], cuts: [cut])?.header == expected)
            #expect(parsed(line + [1, 2, 3], cuts: [cut])?.byteCount == line.count)
        }
        #expect(parsed(line, cuts: Array(1..<line.count))?.header == expected)
    }

    @Test func everySingleByteChangeIsReadAsTheReferenceReadsIt() {
        for line in [
            "PROXY TCP4 192.0.2.1 198.51.100.2 56324 443\r\n",
            "PROXY TCP6 2001:db8::1 ::ffff:10.1.2.3 5 443\r\n", "PROXY UNKNOWN\r\n",
        ] {
            let original = Array(line.utf8)
            for place in original.indices {
                for value in UInt8.min...UInt8.max {
                    var bytes = original
                    bytes[place] = value
                    let result = parsed(bytes, accepting: .v1)
                    let expected = Self.reference(bytes)
                    #expect(
                        result?.header == expected?.header && (result == nil) == (expected == nil),
                        "byte \(place) = \(value)"
                    )
                }
            }
        }
    }

    @Test func whatIsWrittenIsReadBack() {
        var generator = SeededGenerator(seed: 1)
        for _ in 0..<2000 {
            let header = generator.header(.stream)
            let line = written { header.writeV1(into: $0) }
            #expect(line.count <= ProxyHeader.v1MaximumByteCount)
            let result = parsed(line, accepting: .v1)
            #expect(result?.header == header && result?.byteCount == line.count)
            #expect(written(capacity: line.count - 1) { header.writeV1(into: $0) } == [])
        }
    }

    @Test func writesAddressesAsTheRestOfTheProgramDoes() {
        var generator = SeededGenerator(seed: 2)
        for _ in 0..<2000 {
            let header = generator.header(.stream)
            let line = String(decoding: written { header.writeV1(into: $0) }, as: UTF8.self)
            let isIPv4 = header.source.isIPv4 && header.destination.isIPv4
            let host = { (address: SocketAddress) in
                address.isIPv4 && !isIPv4 ? "::ffff:\(address.hostText)" : address.hostText
            }
            let expected =
                "PROXY TCP\(isIPv4 ? 4 : 6) \(host(header.source)) \(host(header.destination))"
                + " \(header.source.port) \(header.destination.port)\r\n"
            #expect(line == expected)
        }
        #expect(written { ProxyHeader.writeUnknownV1(into: $0) } == Array("PROXY UNKNOWN\r\n".utf8))
    }

    /// Slow, with strings, and sharing nothing with the parser.
    static func reference(_ bytes: [UInt8]) -> (header: ProxyHeader?, Void)? {
        guard let end = bytes.firstIndex(where: { $0 == 13 || $0 == 10 }), end <= 105,
            bytes[end...].starts(with: [13, 10]), bytes.starts(with: Array("PROXY ".utf8))
        else { return nil }
        let fields = bytes[6..<end].split(separator: 32, omittingEmptySubsequences: false)
        let words = fields.map { String(decoding: $0, as: UTF8.self) }
        if words.first == "UNKNOWN" { return (nil, ()) }
        guard words.count == 5, ["TCP4", "TCP6"].contains(words[0]) else { return nil }
        let isIPv6 = words[0] == "TCP6"
        let addresses = [(words[1], words[3]), (words[2], words[4])].compactMap {
            (host: String, port: String) -> SocketAddress? in
            guard host.contains(":") == isIPv6, let number = UInt16(port), "\(number)" == port,
                host.unicodeScalars.allSatisfy(\.isASCII)
            else { return nil }
            return SocketAddress(host: host, port: number)
        }
        guard addresses.count == 2 else { return nil }
        let header = ProxyHeader(
            source: addresses[0],
            destination: addresses[1],
            transport: .stream
        )
        return (header, ())
    }
}
