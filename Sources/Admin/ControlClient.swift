import Glibc
public import LinuxIO

/// Asks a running process over its control socket.
public enum ControlClient {
    /// What the process answered.
    public struct Answer: Sendable {
        /// The HTTP status, such as 200.
        public let status: Int
        /// The page, or a sentence that says what became of an order.
        public let body: String
    }

    /// Reads the page at `target`, of the kind `accept` where there is a choice.
    ///
    /// Throws after 5 seconds of silence.
    public static func get(
        _ target: String,
        accept: String,
        from path: String
    ) throws(IOError) -> Answer {
        try self.exchange(
            "GET \(target) HTTP/1.1\r\nHost: fairlead\r\nAccept: \(accept)\r\n\r\n",
            path
        )
    }

    /// Orders something; the body says what came of it.
    public static func post(_ order: AdminOrder, to path: String) throws(IOError) -> Answer {
        try self.exchange("POST \(order.target) HTTP/1.1\r\nHost: fairlead\r\n\r\n", path)
    }

    private static func exchange(_ request: String, _ path: String) throws(IOError) -> Answer {
        guard var address = UnixAddress(path) else {
            throw IOError(code: ENAMETOOLONG, call: "connect")
        }
        let descriptor = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
        guard descriptor >= 0 else { throw IOError(code: errno, call: "socket") }
        defer { close(descriptor) }
        var patience = timeval(tv_sec: 5, tv_usec: 0)
        let size = socklen_t(MemoryLayout<timeval>.size)
        unsafe setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &patience, size)
        unsafe setsockopt(descriptor, SOL_SOCKET, SO_SNDTIMEO, &patience, size)
        guard unsafe address.withKernelAddress({ unsafe connect(descriptor, $0, $1) }) == 0 else {
            throw IOError(code: errno, call: "connect")
        }
        var request = request
        let sent = request.withUTF8 {
            unsafe send(descriptor, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL))
        }
        guard sent > 0 else { throw IOError(code: errno, call: "send") }
        return try Self.parse(Self.readAll(descriptor))
    }

    private static func readAll(_ descriptor: Int32) throws(IOError) -> [UInt8] {
        var bytes: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 65_536)
        while bytes.count < 64 << 20 {
            let count = unsafe recv(descriptor, &chunk, chunk.count, 0)
            if count < 0, errno == EINTR { continue }
            guard count >= 0 else { throw IOError(code: errno, call: "recv") }
            if count == 0 { break }
            bytes += chunk[..<count]
        }
        return bytes
    }

    private static func parse(_ bytes: [UInt8]) throws(IOError) -> Answer {
        let text = String(decoding: bytes, as: UTF8.self)
        let words = text.prefix(64).split(separator: " ")
        // A response of ours ends its head like this and no other way.
        let mark = Array("\r\n\r\n".utf8)
        let end = bytes.indices.first { bytes[$0...].starts(with: mark) }
        guard words.count > 1, words[0] == "HTTP/1.1", let status = Int(words[1]), let end else {
            throw IOError(code: EPROTO, call: "recv")
        }
        let body = String(decoding: bytes[(end + mark.count)...], as: UTF8.self)
        return Answer(status: status, body: body)
    }
}
