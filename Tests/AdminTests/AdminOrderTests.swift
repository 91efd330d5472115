import Testing

@testable import Admin

@Suite struct AdminOrderTests {
    @Test(arguments: ["web", "größe & co=1", "a b%20/?#", "[2001:db8::1]:80"])
    func travelsInATarget(name: String) {
        let order = AdminOrder(service: name, backend: "10.0.0.5:25565", isDraining: true)
        let parts = order.target.split(separator: "?", maxSplits: 1)
        #expect(parts[0] == "/drain" && order.target.allSatisfy { $0.isASCII && $0 != " " })
        #expect(AdminOrder(query: String(parts[1]), isDraining: true) == order)
    }

    @Test(arguments: [
        "", "service=a", "backend=b", "service=a&backend=b&more=c", "service=a&service=b",
        "service=a&backend=%", "service=a&backend=%4", "service=a&backend=%zz",
        "service=a&backend=%FF", "service=a&backend", "service=a&&backend=b",
        "service=%+1&backend=b",
    ])
    func refusesOtherQueries(query: String) {
        #expect(AdminOrder(query: query, isDraining: true) == nil)
    }

    @Test func onlyTheControlSocketGivesOrders() {
        let responder = Responder(
            report: { Samples.report },
            order: { order in
                order.service == "web"
                    ? .done("\(order.isDraining) \(order.backend)") : .refused("no such service")
            }
        )
        let answer = { (method: String, target: String, isControl: Bool) in
            let text = "\(method) \(target) HTTP/1.1\r\n\r\n"
            guard case .head(let head) = RequestHead.parse(Array(text.utf8)) else { return "" }
            return String(decoding: responder.answer(head, isControl: isControl), as: UTF8.self)
        }
        let query = "?service=web&backend=%5B::1%5D:80"
        #expect(answer("POST", "/drain" + query, true).hasSuffix("\r\n\r\ntrue [::1]:80\n"))
        #expect(answer("POST", "/undrain" + query, true).hasSuffix("\r\n\r\nfalse [::1]:80\n"))
        #expect(answer("POST", "/drain" + query, false).hasPrefix("HTTP/1.1 404 "))
        #expect(answer("GET", "/drain" + query, true).contains("\r\nAllow: POST\r\n"))
        #expect(answer("POST", "/drain?service=web", true).hasPrefix("HTTP/1.1 400 "))
        let refusal = answer("POST", "/drain?service=x&backend=y", true)
        #expect(refusal.hasPrefix("HTTP/1.1 409 Conflict\r\n"))
        #expect(refusal.hasSuffix("\r\n\r\nno such service\n"))
        #expect(answer("POST", "/status", true).hasPrefix("HTTP/1.1 405 "))
    }
}
