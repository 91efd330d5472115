import Glibc
import Names

/// A name server on loopback that says what a test wants, on the test's own thread.
final class FakeNameServer {
    /// One resource record, but for its name.
    struct Record {
        var type: UInt16
        var seconds: UInt32
        var data: [UInt8]

        static func a(_ octets: [UInt8], seconds: UInt32 = 60) -> Self {
            Self(type: 1, seconds: seconds, data: octets)
        }

        static func aaaa(_ last: UInt8, seconds: UInt32 = 60) -> Self {
            Self(type: 28, seconds: seconds, data: [0x20, 1, 0xD, 0xB8] + zeros(11) + [last])
        }

        static func alias(_ target: String, seconds: UInt32 = 60) -> Self {
            Self(type: 5, seconds: seconds, data: encoded(target))
        }

        static func service(
            _ priority: UInt16,
            _ weight: UInt16,
            _ port: UInt16,
            _ target: String,
            seconds: UInt32 = 60
        ) -> Self {
            let words = [priority, weight, port].flatMap(bytes)
            return Self(type: 33, seconds: seconds, data: words + encoded(target))
        }
    }

    enum Reply {
        case records([Record])
        /// A response code: 2 SERVFAIL, 3 NXDOMAIN.
        case code(UInt8)
        /// The question's bytes, and then these.
        case raw([UInt8])
        case silence
    }

    private let descriptor: Int32
    private let reply: (_ name: String, _ type: UInt16) -> Reply
    let port: UInt16
    private(set) var questions: [String] = []

    init(_ reply: @escaping (_ name: String, _ type: UInt16) -> Reply) {
        self.reply = reply
        self.descriptor = socket(AF_INET, Int32(SOCK_DGRAM.rawValue) | O_NONBLOCK, 0)
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        let descriptor = self.descriptor
        withUnsafeMutablePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                _ = bind(descriptor, $0, length)
                getsockname(descriptor, $0, &length)
            }
        }
        self.port = UInt16(bigEndian: address.sin_port)
    }

    deinit { close(self.descriptor) }

    /// Serves until `lookup` is done; `nil` if that takes more than `seconds`.
    func outcome(of question: NameQuestion, seconds: Int = 10) -> NameLookup.Outcome? {
        let lookup = NameLookup(question, servers: "127.0.0.1:\(self.port)")
        let end = time(nil) + seconds
        while lookup.outcome == nil, time(nil) < end {
            let own = pollfd(fd: self.descriptor, events: Int16(POLLIN), revents: 0)
            var entries = lookup.descriptors + [own]
            poll(&entries, nfds_t(entries.count), min(500, max(0, lookup.timeout)))
            self.serve()
            lookup.process(entries.dropLast())
        }
        return lookup.outcome
    }

    private func serve() {
        var buffer = [UInt8](repeating: 0, count: 2_048)
        var source = sockaddr_storage()
        var length = socklen_t(MemoryLayout<sockaddr_storage>.size)
        while true {
            let (descriptor, room) = (self.descriptor, buffer.count)
            let count = withUnsafeMutablePointer(to: &source) {
                $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { address in
                    buffer.withUnsafeMutableBytes {
                        recvfrom(descriptor, $0.baseAddress, room, 0, address, &length)
                    }
                }
            }
            guard count > 12, let answer = self.answer(Array(buffer[..<count])) else { return }
            withUnsafeMutablePointer(to: &source) {
                $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { address in
                    _ = answer.withUnsafeBytes {
                        sendto(descriptor, $0.baseAddress, $0.count, 0, address, length)
                    }
                }
            }
        }
    }

    private func answer(_ question: [UInt8]) -> [UInt8]? {
        var labels: [String] = []
        var offset = 12
        while question[offset] != 0 {
            let end = offset + 1 + Int(question[offset])
            labels.append(String(decoding: question[offset + 1..<end], as: UTF8.self))
            offset = end
        }
        let end = offset + 5
        let type = UInt16(question[offset + 1]) << 8 | UInt16(question[offset + 2])
        let name = labels.joined(separator: ".")
        self.questions.append("\(name) \(type)")
        var code: UInt8 = 0
        var records: [Record] = []
        switch self.reply(name, type) {
        case .silence: return nil
        case .raw(let bytes): return Array(question[..<end]) + bytes
        case .code(let given): code = given
        case .records(let given): records = given
        }
        return message(question[0..<2] + [0x81, 0x80 | code], question[12..<end], records)
    }
}

func zeros(_ count: Int) -> [UInt8] { Array(repeating: 0, count: count) }

func bytes(_ word: UInt16) -> [UInt8] { [UInt8(word >> 8), UInt8(word & 0xFF)] }

func encoded(_ name: String) -> [UInt8] {
    name.split(separator: ".").flatMap { [UInt8($0.utf8.count)] + Array($0.utf8) } + [0]
}

/// A response whose records all have the question's name.
func message(
    _ head: some Collection<UInt8>,
    _ question: some Collection<UInt8>,
    _ records: [FakeNameServer.Record]
) -> [UInt8] {
    var whole = Array(head) + [0, 1] + bytes(UInt16(records.count)) + zeros(4) + question
    for record in records {
        whole += [0xC0, 12] + bytes(record.type) + [0, 1]
        whole += bytes(UInt16(record.seconds >> 16)) + bytes(UInt16(record.seconds & 0xFFFF))
        whole += bytes(UInt16(record.data.count)) + record.data
    }
    return whole
}
