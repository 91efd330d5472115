import Testing

@testable import Configuration

/// Files with one mistake each, and the exact line that tells about it.
@Suite struct ServerMistakesTests {
    /// Lines added to a service (they start on line 7), its protocol, and the message.
    static let serviceMistakes: [(String, String, String)] = [
        (
            "protocl = \"tcp\"", "tcp",
            "s:7: protocl: got an unknown key, expected a key of [[service]], did you mean"
                + " protocol?"
        ),
        (
            "origin = \"proxy-v1\"", "udp",
            "s:7: origin: got \"proxy-v1\" with protocol \"udp\", expected \"proxy-v2\" or \"spp\","
                + " or protocol \"tcp\""
        ),
        (
            "origin = \"spp\"", "tcp",
            "s:7: origin: got \"spp\" with protocol \"tcp\", expected \"proxy-v1\" or \"proxy-v2\","
                + " or protocol \"udp\""
        ),
        (
            "origin = \"proxy-v2\"\ndialect = \"first-alone\"", "tcp",
            "s:8: dialect: got \"first-alone\" with protocol \"tcp\" and origin \"proxy-v2\","
                + " expected it only with protocol \"udp\" and origin = \"proxy-v2\""
        ),
        (
            "origin = \"proxy-v2\"\ndialect = \"any\"", "udp",
            "s:8: dialect: got \"any\", expected \"every\", \"first\" or \"first-alone\""
        ),
        (
            "source_port = \"any\"", "tcp",
            "s:7: source_port: got \"any\" with origin \"none\", expected it only with origin ="
                + " \"transparent\""
        ),
        (
            "pseudo_ipv4 = true", "tcp",
            "s:7: pseudo_ipv4: got true with origin \"none\", expected it only with origin ="
                + " \"transparent\" or \"proxy-v1\""
        ),
        (
            "origin = \"proxy-v2\"\npseudo_ipv4 = true", "udp",
            "s:8: pseudo_ipv4: got true with origin \"proxy-v2\", expected it only with origin ="
                + " \"transparent\" or \"proxy-v1\""
        ),
        (
            "[[service]]\nname = \"b\"\nprotocol = \"udp\"\nbackends = ["
                + "{ address = \"srv:_g._udp.example\", weight = 2 }]", "tcp",
            "s:10: backends.weight: got it beside \"srv:_g._udp.example\", expected none: SRV"
                + " records have weights of their own"
        ),
        (
            "balance = \"roundrobin\"", "tcp",
            "s:7: balance: got \"roundrobin\", expected \"round-robin\", \"least-connections\" or"
                + " \"source-hash\", did you mean \"round-robin\"?"
        ),
        (
            "health = \"tcp\"", "tcp",
            "s:7: health: got \"tcp\", expected a table such as { type = \"tcp\", interval ="
                + " \"2s\", timeout = \"1s\" }"
        ),
        (
            "health = { type = \"tcp\", intervall = \"2s\" }", "tcp",
            "s:7: health.intervall: got an unknown key, expected a key of health, did you mean"
                + " interval?"
        ),
        (
            "health.type = \"tcp\"\nhealth.timeout = \"3s\"", "tcp",
            "s:8: health.timeout: got 3s with interval 2s, expected it not longer than interval"
        ),
        (
            "health = { type = \"send-expect\", send = \"a\" }", "udp",
            "s:7: health.expect: got nothing, expected a text of 1 to 1024 bytes, or \"hex:\" and"
                + " hexadecimal digits"
        ),
        (
            "health = { type = \"tcp\", send = \"a\" }", "tcp",
            "s:7: health.send: got it with type \"tcp\", expected it only with type ="
                + " \"send-expect\""
        ),
        (
            "[[service]]\nname = \"minecraft\"\nprotocol = \"udp\"\nbackends = [\"a:1\"]", "tcp",
            "s:8: name: got \"minecraft\" a second time (first on line 4), expected each name once"
        ),
        (
            "[[peer]]\nname = \"edge\"\npublic_key = \"\(Samples.key)\"\n"
                + "services = [\"minecarft\"]",
            "tcp",
            "s:10: services: got \"minecarft\", expected the name of a [[service]], or [\"*\"] for"
                + " all of them, did you mean \"minecraft\"?"
        ),
        (
            "[[peer]]\nname = \"edge\"\npublic_key = \"\(Samples.key)\"\n"
                + "services = [\"*\", \"minecraft\"]",
            "tcp",
            "s:10: services: got \"*\" beside other names, expected [\"*\"] alone, or names"
        ),
        (
            "[[peer]]\nname = \"edge\"\npublic_key = \"\(Samples.key)\"\nservices = \"minecraft\"",
            "tcp",
            "s:10: services: got \"minecraft\", expected a list, each a name of 1 to 64 bytes"
                + " without control characters"
        ),
        (
            "[[peer]]\nname = \"a\"\npublic_key = \"\(Samples.key)\"\nservices = []\n[[peer]]\n"
                + "name = \"b\"\npublic_key = \"\(Samples.key)\"\nservices = []",
            "tcp",
            "s:13: public_key: got \"\(Samples.key)\" a second time (first on line 9), expected"
                + " each public_key once"
        ),
        (
            "[[peer]]\nname = \"a\"\npublic_key = \"\(Samples.key)\"\nservices = []\n"
                + "preshared_key = \"\(Samples.otherKey)\"",
            "tcp",
            "s:11: preshared_key: got a key itself (not shown), expected the path of a key file"
        ),
        (
            "[[peer]]\nname = \"a\"\npublic_key = \"\(Samples.key)\"\nservices = []\n"
                + "origins = [\"all\"]",
            "tcp",
            "s:11: origins: got \"all\", expected a network such as \"192.0.2.0/24\" or"
                + " \"2001:db8::/32\""
        ),
    ]

    /// A line of `[[peer]]`, and what is said of it.
    static let quotaMistakes: [(String, String)] = [
        ("max_sessions = 0", "max_sessions: got 0, expected an integer from 1 to 1000000"),
        ("max_streams = -1", "max_streams: got -1, expected an integer from 1 to 10000000"),
        ("max_flows = \"9\"", "max_flows: got \"9\", expected an integer from 1 to 10000000"),
        (
            "rate_up = \"20 mb\"",
            "rate_up: got \"20 mb\", expected a rate from 8 kbps to 1000 gbps (number and kbps,"
                + " mbps or gbps)"
        ),
        (
            "rate_down = 20",
            "rate_down: got 20, expected a rate from 8 kbps to 1000 gbps (number and kbps, mbps or"
                + " gbps)"
        ),
        (
            "expires = \"tomorrow\"",
            "expires: got \"tomorrow\", expected a date and time with its offset, such as"
                + " 2027-01-31T18:00:00Z"
        ),
        (
            "expires = 2027-01-31",
            "expires: got a date or time, expected a date and time with its offset, such as"
                + " 2027-01-31T18:00:00Z"
        ),
        (
            "expires = 2027-01-31T18:00:00",
            "expires: got a date or time, expected a date and time with its offset, such as"
                + " 2027-01-31T18:00:00Z"
        ),
        (
            "expires = \"2027-02-30T18:00:00Z\"",
            "expires: got \"2027-02-30T18:00:00Z\", expected a date and time with its offset, such"
                + " as 2027-01-31T18:00:00Z"
        ),
        ("enabled = 1", "enabled: got 1, expected true or false"),
        (
            "max_stream = 1",
            "max_stream: got an unknown key, expected a key of [[peer]], did you mean max_streams?"
        ),
    ]

    @Test(arguments: Self.quotaMistakes)
    func tellsAboutAQuota(line: String, message: String) {
        let peer =
            "[[peer]]\nname = \"a\"\npublic_key = \"\(Samples.key)\"\nservices = []\n\(line)"
        #expect(Samples.serverErrors(Samples.server(peer)) == ["s:11: \(message)"])
    }

    @Test(arguments: Self.serviceMistakes)
    func tellsAboutAService(extra: String, inner: String, message: String) {
        #expect(Samples.serverErrors(Samples.server(extra, protocol: inner)) == [message])
    }

    /// What is written for `backends`, and the message behind `s:`.
    static let backendMistakes: [(String, String)] = [
        ("[]", "6: backends: got an empty list, expected a list, each \"10.0.0.5:25565\" or"),
        ("\"10.0.0.5:1\"", "6: backends: got \"10.0.0.5:1\", expected a list, each"),
        ("[\"10.0.0.5\"]", "6: backends: got \"10.0.0.5\", expected an address and port such as"),
        ("[\"10.0.0.5:0\"]", "6: backends: got \"10.0.0.5:0\", expected an address and port"),
        ("[\n5]", "7: backends: got 5, expected an address and port such as"),
        ("[{ weight = 2 }]", "6: backends.address: got nothing, expected an address and port"),
        (
            "[\n\"a:1\",\n{ address = \"b:1\", wieght = 2 }]",
            "8: backends.wieght: got an unknown key, expected a key of a backend, did you mean"
                + " weight?"
        ),
        (
            "[{ address = \"b:1\", weight = 0 }]",
            "6: backends.weight: got 0, expected an integer from 1 to 1000"
        ),
        (
            "[{ address = \"b:1\", backup = 1 }]",
            "6: backends.backup: got 1, expected true or false"
        ),
        (
            "[{ address = \"b:1\", backup = true }]",
            "6: backends: got backups only, expected at least one without backup = true"
        ),
        (
            "[\"b:1\",\n\"b:1\"]",
            "7: backends: got \"b:1\" a second time, expected each backend once"
        ),
    ]

    @Test(arguments: Self.backendMistakes)
    func tellsAboutBackends(value: String, message: String) {
        let text = Samples.server().replacing("[\"10.0.0.5:25565\"]", with: value)
        let errors = Samples.serverErrors(text)
        #expect(errors.count == 1, "\(errors)")
        #expect(errors.first?.hasPrefix("s:\(message)") == true, "\(errors)")
    }

    /// Files without a service, and all messages.
    static let headMistakes: [(String, [String])] = [
        (
            "listen = [\"0.0.0.0:4600\", \"0.0.0.0:4600\"]\nprivate_key = \"k\"",
            ["s:1: listen: got \"0.0.0.0:4600\" a second time, expected it once"]
        ),
        (
            "listen = \"host:4600\"\nprivate_key = \"\"\nroutes = \"none\"",
            [
                "s:1: listen: got \"host:4600\", expected an IP address and port such as"
                    + " \"0.0.0.0:4600\" or \"[::]:4600\"",
                "s:2: private_key: got \"\", expected the path of a key file",
                "s:3: routes: got \"none\", expected \"auto\", \"print\" or \"off\"",
            ]
        ),
        (
            "listen = \"0.0.0.0:1\"\nprivate_key = \"k\"\nmax_sessions = \"many\"\n"
                + "stream_buffer = 4\nadmin = \"9460\"",
            [
                "s:3: max_sessions: got \"many\", expected an integer from 1 to 1000000",
                "s:4: stream_buffer: got 4, expected a size from 64 KiB to 1 GiB (number and KiB,"
                    + " MiB, GiB, kB, MB or GB)",
                "s:5: admin: got \"9460\", expected an IP address and port such as"
                    + " \"0.0.0.0:4600\" or \"[::]:4600\"",
            ]
        ),
        (
            "listen = \"0.0.0.0:1\"\nprivate_key = \"k\"\n"
                + "admin_hosts = [\"monitor.example\", \"a:80\"]",
            [
                "s:3: admin_hosts: got \"a:80\", expected a host name such as"
                    + " \"monitor.example\", without a port"
            ]
        ),
        (
            "listen = \"0.0.0.0:1\"\nprivate_key = \"k\"\nweather = 1\ncontrol = 5",
            [
                "s:3: weather: got an unknown key, expected one of listen, private_key, admin,"
                    + " admin_hosts, control, reload_on_change, routes, congestion, rate, fec,"
                    + " cipher, post_quantum, mtu, workers, connect_timeout, max_sessions,"
                    + " max_flows, stream_buffer, session_buffer, peer, service",
                "s:4: control: got 5, expected a path of 1 to 107 bytes, or \"off\"",
            ]
        ),
    ]

    @Test(arguments: Self.headMistakes)
    func tellsAboutTheHead(text: String, messages: [String]) {
        #expect(Samples.serverErrors(text) == messages)
    }

    @Test(arguments: ["127.0.0.1:4600", "0.0.0.0:4600", "127.9.9.9:4600"])
    func aBackendMustNotBeTheServerItself(backend: String) {
        let file = { (inner: String) in
            Samples.server("", protocol: inner).replacing("10.0.0.5:25565", with: backend)
        }
        #expect(
            Samples.serverErrors(file("udp")) == [
                "s:6: backends: got \"\(backend)\", where this server listens itself, expected an"
                    + " address that does not lead back into the tunnel"
            ]
        )
        #expect(Samples.serverErrors(file("tcp")) == [])
    }

    @Test func refusesNamesThatDoNotFit() {
        for name in ["", String(repeating: "a", count: 65), "a\\tb", "*"] {
            let text = Samples.server().replacing("\"minecraft\"", with: "\"\(name)\"")
            #expect(Samples.serverErrors(text).count == 1, "\(name)")
        }
        let longest = String(repeating: "ä", count: 32)
        let text = Samples.server().replacing("\"minecraft\"", with: "\"\(longest)\"")
        #expect(Samples.serverErrors(text).isEmpty)
    }
}
