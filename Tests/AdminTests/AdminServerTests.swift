import Foundation
import Glibc
import LinuxIO
import Primitives
import Testing

@testable import Admin

/// A server and a folder for its control socket, both gone afterwards.
private final class Bench {
    let folder: String
    let server: AdminServer

    var controlPath: String { "\(self.folder)/sub/control.sock" }

    init(report: @escaping @Sendable () -> ProcessReport = { Samples.report }) throws {
        var template = Array("/tmp/fairlead-test-XXXXXX\0".utf8).map { CChar(bitPattern: $0) }
        self.folder = String(cString: try #require(mkdtemp(&template)))
        self.server = try AdminServer(
            http: SocketAddress(ipv4: 0x7F00_0001, port: 0),
            controlPaths: ["\(self.folder)/sub/control.sock"],
            report: report
        )
    }

    deinit {
        self.server.stop()
        try? FileManager.default.removeItem(atPath: self.folder)
    }

    /// A connected blocking TCP socket that gives up after 8 s.
    func connect() throws -> Int32 {
        let port = try #require(self.server.httpAddress).port
        let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        var patience = timeval(tv_sec: 8, tv_usec: 0)
        setsockopt(
            descriptor,
            SOL_SOCKET,
            SO_RCVTIMEO,
            &patience,
            socklen_t(MemoryLayout<timeval>.size)
        )
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = port.bigEndian
        address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
        let result = withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                Glibc.connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
        try #require(result == 0)
        return descriptor
    }

    func write(_ text: String, to descriptor: Int32) {
        var text = text
        _ = text.withUTF8 { send(descriptor, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL)) }
    }

    /// Everything until the end, `nil` if the connection was reset or nothing came.
    func readAll(_ descriptor: Int32) -> String? {
        defer { close(descriptor) }
        var bytes: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 4096)
        while true {
            let count = recv(descriptor, &chunk, chunk.count, 0)
            if count < 0 { return nil }
            if count == 0 { return String(decoding: bytes, as: UTF8.self) }
            bytes += chunk[..<count]
        }
    }

    func get(_ path: String) throws -> String? {
        let descriptor = try self.connect()
        self.write("GET \(path) HTTP/1.1\r\nHost: 127.0.0.1:9460\r\n\r\n", to: descriptor)
        return self.readAll(descriptor)
    }
}

@Suite struct AdminServerTests {
    @Test func servesOverTCP() throws {
        let bench = try Bench()
        #expect(try bench.get("/live")?.hasSuffix("\r\n\r\nlive\n") == true)
        let metrics = try #require(try bench.get("/metrics"))
        #expect(metrics.hasSuffix("\nfairlead_drops_total{reason=\"replayed\"} 5\n"))
        let parts = try #require(metrics.range(of: "\r\n\r\n"))
        let length = metrics[parts.upperBound...].utf8.count
        #expect(metrics.contains("\r\nContent-Length: \(length)\r\n"))
        #expect(try bench.get("/nowhere")?.hasPrefix("HTTP/1.1 404 ") == true)
    }

    @Test func servesOverTheControlSocketToItsOwnerOnly() throws {
        let bench = try Bench()
        let json = try ControlClient.get("/status", accept: "*/*", from: bench.controlPath)
        #expect(json.status == 200)
        #expect(json.body == StatusPage.json(Samples.report))
        let text = try ControlClient.get("/status", accept: "text/plain", from: bench.controlPath)
        #expect(text.body == StatusPage.text(Samples.report))
        var status = stat()
        #expect(stat(bench.controlPath, &status) == 0)
        #expect(status.st_mode & 0o777 == 0o600)
    }

    @Test func takesOverWhatADeadProcessLeft() throws {
        let bench = try Bench()
        // A living one is left alone.
        #expect(throws: IOError.self) { try ControlSocketListener(path: bench.controlPath) }
        #expect(FileManager.default.fileExists(atPath: bench.controlPath))
        let stale = "\(bench.folder)/stale.sock"
        let descriptor = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0)
        var address = try #require(UnixAddress(stale))
        #expect(address.withKernelAddress { bind(descriptor, $0, $1) } == 0)
        close(descriptor)
        let listener = try ControlSocketListener(path: stale)
        #expect(listener.path == stale)
        // What is no socket is never removed.
        let file = "\(bench.folder)/file"
        #expect(FileManager.default.createFile(atPath: file, contents: nil))
        #expect(throws: IOError.self) { try ControlSocketListener(path: file) }
        #expect(FileManager.default.fileExists(atPath: file))
        #expect(UnixAddress(String(repeating: "a", count: 108)) == nil)
    }

    @Test func removesItsSocketWhenItStops() throws {
        let path: String
        do {
            let bench = try Bench()
            path = bench.controlPath
            #expect(FileManager.default.fileExists(atPath: path))
        }
        #expect(!FileManager.default.fileExists(atPath: path))
    }

    @Test func readsRequestsThatArriveByteByByte() throws {
        let bench = try Bench()
        let descriptor = try bench.connect()
        for character in "GET /live HTTP/1.1\r\nHost: localhost\r\n\r\n".unicodeScalars {
            bench.write(String(character), to: descriptor)
        }
        #expect(bench.readAll(descriptor)?.hasPrefix("HTTP/1.1 200 OK") == true)
    }

    @Test func answersOversizedRequestsWithoutResettingThem() throws {
        let bench = try Bench()
        let descriptor = try bench.connect()
        bench.write(
            "GET /live HTTP/1.1\r\nHost: localhost\r\nA: " + String(repeating: "x", count: 20_000),
            to: descriptor
        )
        shutdown(descriptor, Int32(SHUT_WR))
        #expect(bench.readAll(descriptor)?.hasPrefix("HTTP/1.1 431 ") == true)
        let other = try bench.connect()
        bench.write("POST /live HTTP/1.1\r\nHost: localhost\r\n\r\nbody", to: other)
        #expect(bench.readAll(other)?.hasPrefix("HTTP/1.1 405 ") == true)
    }

    /// Sixteen silent connections are held for 5 s, unless somebody else comes: then the oldest
    /// makes room, and who sends a request at once never waits.
    @Test func silentConnectionsGiveWay() throws {
        let bench = try Bench()
        let silent = try (0..<16).map { _ in
            let descriptor = try bench.connect()
            bench.write("GET /live HT", to: descriptor)
            return descriptor
        }
        let start = BootClock().now()
        for _ in 0..<3 { #expect(try bench.get("/live")?.hasSuffix("live\n") == true) }
        let answer = try ControlClient.get("/live", accept: "*/*", from: bench.controlPath)
        #expect(answer.body == "live\n")
        let took = BootClock().now().since(start).milliseconds
        #expect(took < 2_000, "\(took) ms")
        // The oldest gave way, the youngest has its time.
        bench.write("TP/1.1\r\nHost: localhost\r\n\r\n", to: silent[15])
        #expect(bench.readAll(silent[15])?.hasSuffix("live\n") == true)
        #expect(bench.readAll(silent[0])?.contains("live") != true)
        for descriptor in silent[1..<15] { #expect(bench.readAll(descriptor)?.isEmpty != false) }
    }

    /// A page whose name was made to lead here (DNS rebinding) reads nothing.
    @Test func otherHostsReadNothing() throws {
        let bench = try Bench()
        let ask = { (fields: String) throws -> String? in
            let descriptor = try bench.connect()
            bench.write("GET /status HTTP/1.1\r\n\(fields)\r\n", to: descriptor)
            return bench.readAll(descriptor)
        }
        let refused = try #require(try ask("Host: evil.example:9460\r\n"))
        #expect(refused.hasPrefix("HTTP/1.1 421 Misdirected Request\r\n"))
        #expect(refused.contains("admin_hosts") && !refused.contains("evil"))
        #expect(!refused.contains("sessions"))
        #expect(try ask("Host: localhost:9460\r\n")?.hasPrefix("HTTP/1.1 200 ") == true)
    }

    @Test func sendsLargePagesToSlowReaders() throws {
        let bench = try Bench {
            var report = Samples.report
            let samples = (0..<100_000).map {
                MetricFamily.Sample(labels: ["reason-\($0)"], value: .count(UInt64($0)))
            }
            report.metrics = report.metrics.suffix(1).map { MetricFamily($0.descriptor, samples) }
            return report
        }
        let descriptor = try bench.connect()
        bench.write("GET /metrics HTTP/1.1\r\nHost: [::1]\r\n\r\n", to: descriptor)
        usleep(100_000)
        let page = try #require(bench.readAll(descriptor))
        #expect(page.hasSuffix("fairlead_drops_total{reason=\"reason-99999\"} 99999\n"))
    }
}
