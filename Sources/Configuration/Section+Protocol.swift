import Origin

/// What forwards and services check alike.
extension Section {
    /// PROXY v1 is text at the head of a stream, or in front of a flow's first datagram where the
    /// dialect says so; Simple Proxy Protocol exists for datagrams only.
    func checkHeader(
        _ key: String,
        _ header: String,
        _ dialect: HeaderDialect? = nil,
        with inner: ForwardedProtocol
    ) {
        switch (inner, header) {
        case (.udp, "proxy-v1") where key == "accept":
            guard dialect != .first else { return }
            self.complain(
                key,
                got: "\"proxy-v1\" with protocol \"udp\"",
                expected: "dialect = \"first\" beside it, or \"proxy-v2\" or \"spp\""
            )
        case (.udp, "proxy-v1"):
            self.complain(
                key,
                got: "\"proxy-v1\" with protocol \"udp\"",
                expected: "\"proxy-v2\" or \"spp\", or protocol \"tcp\""
            )
        case (.tcp, "spp"):
            self.complain(
                key,
                got: "\"spp\" with protocol \"tcp\"",
                expected: "\"proxy-v1\" or \"proxy-v2\", or protocol \"udp\""
            )
        default: break
        }
    }

    /// A dialect other than the default says something only about PROXY headers over UDP.
    func checkDialect(
        _ dialect: HeaderDialect?,
        beside key: String,
        _ header: String,
        _ inner: ForwardedProtocol
    ) {
        guard let dialect, dialect != .every, inner != .udp || header != "proxy-v2" else { return }
        // Whoever sends version 1 over UDP, sends it once.
        if key == "accept", header == "proxy-v1", inner == .udp { return }
        self.complain(
            "dialect",
            got: "\"\(dialect.rawValue)\" with protocol \"\(inner.rawValue)\" and"
                + " \(key) \"\(header)\"",
            expected: "it only with protocol \"udp\" and \(key) = \"proxy-v2\""
        )
    }
}
