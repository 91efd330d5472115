/// What a request is answered with; makes whole responses, ready to be sent.
struct Responder {
    /// Asked once for each page that needs it.
    let report: @Sendable () -> ProcessReport
    /// Carries out what came over the control socket; `nil` where there is nothing to order.
    var order: AdminOrder.Handler?
    /// What requests over TCP may call this address.
    var hosts = AdminHosts([])

    /// `isControl`: it came over the control socket, which only the owner of the process can open.
    func answer(_ head: RequestHead, isControl: Bool = false) -> [UInt8] {
        // No browser opens a unix socket.
        guard isControl || self.hosts.admits(head.host) else {
            return Self.response(421, Self.plain, Self.wrongHost)
        }
        if isControl, let order = self.order, let kind = AdminOrder.kind(ofPath: head.path) {
            return Self.answer(kind, head, order)
        }
        let pages = ["/", "/metrics", "/status", "/live", "/ready"]
        guard pages.contains(head.path) else { return Self.refusal(404) }
        guard head.method == "GET" else { return Self.refusal(405) }
        switch head.path {
        case "/": return Self.response(200, Self.plain, Self.index + StatusPage.text(self.report()))
        case "/live": return Self.response(200, Self.plain, "live\n")
        case "/metrics":
            let page = MetricsPage.render(self.report().metrics)
            return Self.response(200, MetricsPage.contentType, page)
        case "/status" where head.prefersText:
            return Self.response(200, Self.plain, StatusPage.text(self.report()))
        case "/status":
            return Self.response(200, StatusPage.contentType, StatusPage.json(self.report()))
        default:
            let report = self.report()
            if report.isReady { return Self.response(200, Self.plain, "ready\n") }
            return Self.response(503, Self.plain, JSON.plain(report.reason) + "\n")
        }
    }

    private static func answer(
        _ isDraining: Bool,
        _ head: RequestHead,
        _ carryOut: AdminOrder.Handler
    ) -> [UInt8] {
        guard head.method == "POST" else { return Self.refusal(405, allowing: "POST") }
        guard let order = AdminOrder(query: head.query, isDraining: isDraining) else {
            return Self.refusal(400)
        }
        switch carryOut(order) {
        case .done(let text): return Self.response(200, Self.plain, text + "\n")
        case .refused(let text): return Self.response(409, Self.plain, text + "\n")
        }
    }

    static func refusal(_ status: Int, allowing method: String = "GET") -> [UInt8] {
        let body = "\(status) \(Self.phrase(status))\n"
        return Self.response(status, Self.plain, body, allowing: method)
    }

    /// What there is, for whoever types the address into a browser.
    private static let index = """
        /status   this page as JSON (as a table for Accept: text/plain)
        /metrics  numbers for Prometheus
        /ready    200 when it can do its work, else 503 with the reason
        /live     200 while it runs


        """

    private static let wrongHost =
        "421 Misdirected Request: this host name is not served here; an IP address or localhost is,"
        + " and so is every name in admin_hosts of the configuration\n"

    private static let plain = "text/plain; charset=utf-8"

    private static func phrase(_ status: Int) -> String {
        switch status {
        case 200: "OK"
        case 400: "Bad Request"
        case 404: "Not Found"
        case 405: "Method Not Allowed"
        case 408: "Request Timeout"
        case 409: "Conflict"
        case 421: "Misdirected Request"
        case 431: "Request Header Fields Too Large"
        case 503: "Service Unavailable"
        default: "HTTP Version Not Supported"
        }
    }

    /// One response to a connection, which closes behind it.
    private static func response(
        _ status: Int,
        _ kind: String,
        _ body: String,
        allowing method: String = "GET"
    ) -> [UInt8] {
        var head = "HTTP/1.1 \(status) \(Self.phrase(status))\r\nContent-Type: \(kind)\r\n"
        head += "Content-Length: \(body.utf8.count)\r\nConnection: close\r\n"
        head += "Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\n"
        if status == 405 { head += "Allow: \(method)\r\n" }
        return Array((head + "\r\n").utf8) + Array(body.utf8)
    }
}
