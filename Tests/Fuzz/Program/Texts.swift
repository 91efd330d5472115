@testable import Admin
import Balancing
import Configuration

/// Configuration files of both ends; no file that they name is opened.
func fuzzConfiguration(_ input: inout Input) {
    let isClient = input.byte() & 1 == 1
    let text = String(decoding: input.everything(), as: UTF8.self)
    do {
        if isClient {
            _ = try ClientConfiguration.parse(text, file: "client.toml")
        } else {
            _ = try ServerConfiguration.parse(text, file: "server.toml")
        }
    } catch {
        Oracle.hold(!"\(error)".isEmpty, "a file is refused without a word")
    }
}

/// Requests to the admin pages and the control socket, as far as they have come.
func fuzzAdmin(_ input: inout Input) {
    let bytes = input.everything()
    let whole = RequestHead.parse(bytes)
    guard case .head(let head) = whole else { return }
    Oracle.hold(RequestHead.parse(bytes + [65]) == whole, "bytes behind a head change it")
    guard let order = AdminOrder(query: head.query, isDraining: true) else { return }
    let query = order.target.drop { $0 != "?" }.dropFirst()
    Oracle.hold(
        AdminOrder(query: String(query), isDraining: true) == order,
        "an order is not what it says when it is written again"
    )
}

/// What backends answer to probes of their health.
func fuzzAnswers(_ input: inout Input) {
    let kinds: [ProbeKind] = [
        .connect, .a2s, .raknet, .minecraft(host: "play.example", port: 25_565), .dns(name: nil),
        .sendExpect(send: [1], expect: [65, 65, 66]),
    ]
    var exchange = ProbeExchange(kinds[input.below(kinds.count)], nonce: 0x0102_0304_0506_0708)
    let begin = Oracle.heap
    while !input.isEmpty {
        let answer = input.bytes(1 + input.below(255))
        switch answer.withUnsafeBytes({ exchange.receive($0) }) {
        case .alive, .wrong: return
        case .sendAgain: _ = exchange.request
        case .wait: break
        }
        Oracle.hold(Oracle.heap - begin < 1 << 20, "an answer fills the memory")
    }
}
