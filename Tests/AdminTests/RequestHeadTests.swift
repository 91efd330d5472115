import Primitives
import Testing

@testable import Admin

@Suite struct RequestHeadTests {
    private func parse(_ text: String) -> RequestHead.Parsed {
        RequestHead.parse(Array(text.utf8))
    }

    @Test func readsWhatAMonitorSends() {
        let text =
            "GET /metrics?x=1 HTTP/1.1\r\nHost: a:1\r\nUser-Agent: Prometheus/2\r\n"
            + "Accept: text/plain;q=0.5\r\nX-Empty:\r\n\r\n"
        let head = RequestHead(
            method: "GET",
            path: "/metrics",
            query: "x=1",
            host: "a:1",
            prefersText: true
        )
        #expect(self.parse(text) == .head(head))
        #expect(
            self.parse("GET / HTTP/1.0\n\n") == .head(RequestHead(method: "GET", path: "/"))
        )
        for count in text.indices {
            #expect(self.parse(String(text[..<count])) == .incomplete)
        }
    }

    static let refused: [(String, Int)] = [
        ("\r\n\r\n", 400),
        ("GET\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a\r\nhost: a\r\n\r\n", 400),
        ("GET /\r\n\r\n", 400),
        ("GET  / HTTP/1.1\r\n\r\n", 400),
        ("GET / HTTP/1.1 \r\n\r\n", 400),
        (" GET / HTTP/1.1\r\n\r\n", 400),
        ("G(T / HTTP/1.1\r\n\r\n", 400),
        ("GET http://a/ HTTP/1.1\r\n\r\n", 400),
        ("GET * HTTP/1.1\r\n\r\n", 400),
        ("GET / HTTP/2.0\r\n\r\n", 505),
        ("GET / HTTP/1.10\r\n\r\n", 505),
        ("GET / ICY\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a\r\nA b: 1\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a\r\nA: 1\r\n folded\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a\r\n: 1\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a\r\nA : 1\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a\r\nA: \u{1}\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a\r\nA: 1\r2\r\n\r\n", 400),
        ("GET /\0 HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello", 400),
        ("GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
    ]

    @Test(arguments: Self.refused)
    func refusesAbuse(text: String, status: Int) {
        #expect(self.parse(text) == .refused(status))
    }

    @Test(
        arguments: [
            nil, "localhost", "LOCALHOST:1", "localhost.", "127.0.0.1", "192.0.2.1:9460", "[::1]",
            "[2001:db8::1]:9460", "monitor.example", "Monitor.Example.:9460", "localhost ",
        ] as [String?]
    )
    func servesUnderItsNames(host: String?) {
        #expect(AdminHosts(["Monitor.example"]).admits(host))
    }

    @Test(arguments: [
        "", "evil.example", "evil.example:9460", "localhost.evil.example", "127.0.0.1.evil.example",
        "xlocalhost", "a.monitor.example", "localhost:x", "localhost:80:80", "user@localhost",
        ":80",
        "monitor.example:9460@evil.example", "127.0.0.1@evil.example",
    ])
    func servesUnderNoOtherName(host: String) {
        #expect(!AdminHosts(["monitor.example"]).admits(host))
    }

    @Test func boundsTheHead() {
        let start = "GET / HTTP/1.0\r\nA: "
        let fill = { (count: Int) in start + String(repeating: "x", count: count - start.utf8.count)
        }
        #expect(self.parse(fill(8191)) == .incomplete)
        #expect(self.parse(fill(8192)) == .refused(431))
        #expect(self.parse(fill(8188) + "\r\n\r\n") == .head(RequestHead(method: "GET", path: "/")))
        #expect(self.parse(fill(8189) + "\r\n\r\n") == .refused(431))
    }

    @Test(arguments: 0..<50 as Range<UInt64>)
    func survivesAnyBytes(seed: UInt64) {
        var random = SeededGenerator(seed: seed)
        let alphabet = Array("GET /HTP1.:\r\n\t\0\u{7f}".utf8) + [0xFF, 0x80]
        let bytes = (0..<300).map { _ in alphabet[Int(random.next() % UInt64(alphabet.count))] }
        if case .head(let head) = RequestHead.parse(bytes) { #expect(head.path.hasPrefix("/")) }
    }

    @Test func answersFourPages() {
        let responder = Responder { Samples.report }
        let answer = { (method: String, path: String) in
            String(
                decoding: responder.answer(RequestHead(method: method, path: path)),
                as: UTF8.self
            )
        }
        #expect(answer("GET", "/live").hasPrefix("HTTP/1.1 200 OK\r\n"))
        #expect(answer("GET", "/ready").hasSuffix("\r\n\r\nready\n"))
        #expect(answer("GET", "/metrics").contains("\r\nContent-Type: text/plain; version=0.0.4"))
        #expect(answer("GET", "/status").contains("\r\nContent-Type: application/json\r\n"))
        #expect(answer("POST", "/status").contains("405 Method Not Allowed"))
        #expect(answer("POST", "/status").contains("\r\nAllow: GET\r\n"))
        let index = answer("GET", "/")
        #expect(index.hasPrefix("HTTP/1.1 200 OK\r\n"))
        #expect(index.contains("\n/metrics ") && index.contains("fairlead server"))
        #expect(answer("GET", "//").hasPrefix("HTTP/1.1 404 Not Found\r\n"))
        #expect(answer("GET", "/status/").hasPrefix("HTTP/1.1 404 Not Found\r\n"))
    }

    @Test func saysWhyItIsNotReady() {
        let responder = Responder {
            var report = Samples.report
            report.isReady = false
            report.reason = "no session\r\nX: forged"
            return report
        }
        let bytes = responder.answer(RequestHead(method: "GET", path: "/ready"))
        let text = String(decoding: bytes, as: UTF8.self)
        #expect(text.hasPrefix("HTTP/1.1 503 Service Unavailable\r\n"))
        #expect(text.hasSuffix("\r\n\r\nno session\\u000d\\nX: forged\n"))
    }
}
