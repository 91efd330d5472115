import Testing

@testable import Configuration

/// Files with one mistake each, and the exact line that tells about it.
@Suite struct ClientMistakesTests {
    /// Lines added to a forward (they start on line 8), its protocol, and the message.
    static let forwardMistakes: [(String, String, String)] = [
        (
            "servce = \"x\"", "tcp",
            "c:8: servce: got an unknown key, expected a key of [[forward]], did you mean service?"
        ),
        ("transparent = 1", "tcp", "c:8: transparent: got 1, expected true or false"),
        (
            "transparent = true", "udp",
            "c:5: listen: got \"127.0.0.1:25565\" with transparent = true, expected an address that"
                + " players can send to, such as \"0.0.0.0\" for every one"
        ),
        (
            "compression = \"on\"", "tcp",
            "c:8: compression: got \"on\", expected \"off\" or \"auto\""
        ),
        ("compression = true", "tcp", "c:8: compression: got true, expected \"off\" or \"auto\""),
        (
            "class = \"bluk\"", "tcp",
            "c:8: class: got \"bluk\", expected \"auto\", \"interactive\", \"realtime\" or"
                + " \"bulk\", did you mean \"bulk\"?"
        ),
        (
            "delivery = \"deadline\"", "udp",
            "c:8: delivery: got \"deadline\" without max_age, expected max_age = \"150ms\""
                + " beside it"
        ),
        (
            "max_age = \"150ms\"", "udp",
            "c:8: max_age: got it alone, expected it only with delivery = \"deadline\""
        ),
        (
            "delivery = \"reliable\"\nmax_age = \"150ms\"", "udp",
            "c:9: max_age: got it with delivery \"reliable\", expected it only with delivery ="
                + " \"deadline\""
        ),
        (
            "idle_timeout = 30", "udp",
            "c:8: idle_timeout: got 30, expected a duration from 1s to 24h (integer and ms, s, m or"
                + " h)"
        ),
        (
            "idle_timeout = \"30s\"", "tcp",
            "c:8: idle_timeout: got it with protocol \"tcp\", expected it only with protocol"
                + " \"udp\""
        ),
        (
            "max_stall = \"5s\"", "udp",
            "c:8: max_stall: got it with protocol \"udp\", expected it only with protocol \"tcp\""
        ),
        (
            "accept = \"proxy-v2\"", "tcp",
            "c:8: accept: got \"proxy-v2\" without trusted, expected trusted beside it, a list of"
                + " networks that may send headers, such as [\"192.0.2.0/24\"]"
        ),
        (
            "accept = \"spp\"\ntrusted = []", "udp",
            "c:9: trusted: got an empty list, expected a list of networks that may send headers,"
                + " such as [\"192.0.2.0/24\"]"
        ),
        (
            "trusted = [\"192.0.2.0/24\"]", "tcp",
            "c:8: trusted: got it without accept, expected accept = \"proxy-v1\", \"proxy-v2\" or"
                + " \"spp\" beside it"
        ),
        (
            "accept = \"plain\"\ntrusted = [\n\"192.0.2.0/24\",\n\"192.0.2.1/24\"]", "tcp",
            "c:11: trusted: got \"192.0.2.1/24\", expected a network such as \"192.0.2.0/24\" or"
                + " \"2001:db8::/32\""
        ),
        (
            "accept = \"proxy-v1\"\ntrusted = [\"192.0.2.0/24\"]", "udp",
            "c:8: accept: got \"proxy-v1\" with protocol \"udp\", expected dialect ="
                + " \"first\" beside it, or \"proxy-v2\" or \"spp\""
        ),
        (
            "accept = \"spp\"\ntrusted = [\"192.0.2.0/24\"]", "tcp",
            "c:8: accept: got \"spp\" with protocol \"tcp\", expected \"proxy-v1\" or \"proxy-v2\","
                + " or protocol \"udp\""
        ),
        (
            "dialect = \"first\"", "udp",
            "c:8: dialect: got \"first\" with protocol \"udp\" and accept \"plain\", expected it"
                + " only with protocol \"udp\" and accept = \"proxy-v2\""
        ),
        (
            "[[forward]]\nlisten = \"127.0.0.1:25000-26000\"\nprotocol = \"tcp\"\nservice = \"b\"",
            "tcp",
            "c:9: listen: got \"127.0.0.1:25000-26000\" a second time (first on line 5), expected"
                + " one tcp forward for each address"
        ),
        (
            "[[forward]]\nlisten = \"127.0.0.1:1\"\nprotocol = \"tcp\"", "tcp",
            "c:8: service: got nothing, expected a name of 1 to 64 bytes without control characters"
        ),
    ]

    @Test(arguments: Self.forwardMistakes)
    func tellsAboutAForward(extra: String, inner: String, message: String) {
        #expect(Samples.clientErrors(Samples.client(extra, protocol: inner)) == [message])
    }

    /// What is written for `listen` beside `transparent = true`, and the whole message.
    static let transparentMistakes: [(String, String, [String])] = [
        ("0.0.0.0:1-65535", "", []),
        ("[::]:20000-20100", "", []),
        ("192.0.2.1:80", "", []),
        (
            "0.0.0.0:0", "",
            [
                "c:5: listen: got port 0 with transparent = true, expected the ports that the"
                    + " packet filter's rule shall name"
            ]
        ),
        (
            "0.0.0.0:80", "accept = \"proxy-v2\"\ntrusted = [\"10.0.0.0/8\"]",
            [
                "c:8: transparent: got true with accept \"proxy-v2\", expected one of the two: a"
                    + " header says where the player connected to"
            ]
        ),
    ]

    @Test(arguments: Self.transparentMistakes)
    func tellsAboutATransparentForward(listen: String, extra: String, messages: [String]) {
        let text = Samples.client("transparent = true\n\(extra)")
            .replacing("127.0.0.1:25565", with: listen)
        #expect(Samples.clientErrors(text) == messages)
    }

    /// A server's address, what a UDP forward listens on, and whether that is a loop.
    static let loops: [(String, String, Bool)] = [
        ("127.0.0.1:4600", "0.0.0.0:4600", true),
        ("127.0.0.9:4600", "[::]:4600", true),
        ("[::1]:4600", "[::]:4600", true),
        ("[::1]:4600", "0.0.0.0:4600", false),
        ("192.0.2.1:4600", "192.0.2.1:4000-5000", true),
        ("192.0.2.1:4600", "192.0.2.1:4601-5000", false),
        // Another machine as far as a file can tell; the client looks again when it starts.
        ("192.0.2.1:4600", "0.0.0.0:4600", false),
    ]

    @Test(arguments: Self.loops)
    func aServerMustNotBeTheClientItself(server: String, listen: String, isLoop: Bool) {
        let file = { (inner: String) in
            Samples.client("", protocol: inner)
                .replacing("tunnel.example.net:4600", with: server)
                .replacing("127.0.0.1:25565", with: listen)
        }
        let message =
            "c:1: server: got \"\(server)\", where [[forward]] listen = \"\(listen)\" listens"
            + " itself, expected an address that does not lead back into this client"
        #expect(Samples.clientErrors(file("udp")) == (isLoop ? [message] : []))
        #expect(Samples.clientErrors(file("tcp")) == [])
    }

    /// What is written for `listen`, and the part of the message behind `listen: `.
    static let listenMistakes: [(String, String)] = [
        ("\"0.0.0.0\"", "got \"0.0.0.0\", expected an IP address and port or ports such as"),
        ("\"example.net:80\"", "got \"example.net:80\", expected an IP address and port or ports"),
        ("\"0.0.0.0:10-5\"", "got \"0.0.0.0:10-5\", expected a port range A-B with 1 <= A <= B"),
        ("\"0.0.0.0:0-5\"", "got \"0.0.0.0:0-5\", expected a port range A-B with 1 <= A <= B"),
        ("\"0.0.0.0:1-70000\"", "got \"0.0.0.0:1-70000\", expected an IP address and port or"),
        ("\"0.0.0.0:1-2000\"", "got 2000 ports, expected a range of at most 1024 ports"),
        ("25565", "got 25565, expected an IP address and port or ports such as"),
        ("[\"0.0.0.0:1\"]", "got a list, expected an IP address and port or ports such as"),
    ]

    @Test(arguments: Self.listenMistakes)
    func tellsAboutListen(value: String, message: String) {
        let text =
            Samples.clientHead
            + "[[forward]]\nprotocol = \"tcp\"\nservice = \"a\"\nlisten = \(value)\n"
        let errors = Samples.clientErrors(text)
        #expect(errors.count == 1)
        #expect(errors.first?.hasPrefix("c:7: listen: \(message)") == true, "\(errors)")
    }

    /// Whole files.
    static let fileMistakes: [(String, [String])] = [
        (
            "server = \"a:1\"\nserver_public_key = \"short\"\nprivate_key = 5\n",
            [
                "c:2: server_public_key: got \"short\", expected a public key, 44 characters of"
                    + " base64",
                "c:3: private_key: got 5, expected the path of a key file",
            ]
        ),
        (
            "",
            [
                "c:1: server: got nothing, expected an address and port such as"
                    + " \"192.0.2.1:4600\", \"[2001:db8::1]:4600\" or \"host:4600\", or"
                    + " \"srv:_fairlead._udp.example\"",
                "c:1: server_public_key: got nothing, expected a public key, 44 characters of"
                    + " base64",
                "c:1: private_key: got nothing, expected the path of a key file",
            ]
        ),
        (
            Samples.clientHead + "forward = 5\n",
            ["c:4: forward: got 5, expected tables, each under [[forward]]"]
        ),
        (
            Samples.clientHead + "[forward]\nlisten = \"127.0.0.1:1\"\n",
            ["c:4: forward: got a single table, expected tables, each under [[forward]]"]
        ),
        (
            Samples.clientHead + "congestion = \"fixed\"\n",
            [
                "c:4: congestion: got \"fixed\" without rate, expected rate = \"50 mbps\" beside it"
            ]
        ),
        (
            Samples.clientHead + "rate = \"50 mbps\"\n",
            ["c:4: rate: got it alone, expected it only with congestion = \"fixed\""]
        ),
        (
            Samples.clientHead + "congestion = \"bbr\"\nrate = \"50 mbps\"\n",
            [
                "c:5: rate: got it with congestion \"bbr\", expected it only with congestion ="
                    + " \"fixed\""
            ]
        ),
        (
            Samples.clientHead + "mtu = 900\ncipher = \"aes\"\nworkers = 0\n",
            [
                "c:4: mtu: got 900, expected \"auto\" or the bytes of a UDP payload, 1200 to 65507",
                "c:5: cipher: got \"aes\", expected \"auto\", \"chacha20-poly1305\" or"
                    + " \"aes-256-gcm\"",
                "c:6: workers: got 0, expected an integer from 1 to 16",
            ]
        ),
        (
            Samples.clientHead + "session_buffer = \"1 MiB\"\n",
            [
                "c:4: session_buffer: got session_buffer 1 MiB and stream_buffer 4 MiB, expected"
                    + " session_buffer not smaller than stream_buffer"
            ]
        ),
        (
            Samples.clientHead + "server = \"b:1\"\n",
            [
                "c:4: syntax: got invalid TOML (Error while parsing key-value pair: cannot"
                    + " redefine existing string 'server'), expected TOML 1.0"
            ]
        ),
    ]

    @Test(arguments: Self.fileMistakes)
    func tellsAboutAFile(text: String, messages: [String]) {
        #expect(Samples.clientErrors(text) == messages)
    }

    @Test func tellsEverythingInTheOrderOfTheFile() {
        let text = Samples.client("clas = \"auto\"\naccept = \"spp\"\nfec = 3").replacing(
            "tunnel.example.net:4600",
            with: "tunnel.example.net"
        )
        let lines = Samples.clientErrors(text).compactMap { line in
            line.split(separator: ":").dropFirst().first.flatMap { Int($0) }
        }
        #expect(lines == [1, 8, 9, 9, 10])
    }

    @Test func neverShowsAKey() {
        let secret = "FAIRLEAD-SECRET-KEY:\(Samples.otherKey)"
        for written in [secret, Samples.otherKey] {
            let text = Samples.clientHead.replacing("keys/client.key", with: written)
            #expect(
                Samples.clientErrors(text) == [
                    "c:3: private_key: got a key itself (not shown), expected the path of a key"
                        + " file"
                ]
            )
        }
        let text = Samples.clientHead.replacing(Samples.key, with: secret)
        #expect(Samples.clientErrors(text).count == 1)
        #expect(!Samples.clientErrors(text).joined().contains(Samples.otherKey))
    }

    @Test func keepsEachMessageOnOneLine() {
        let text = Samples.client("class = \"a\\nc:1: forged\\u001b[2J\\u2028\"")
        let errors = Samples.clientErrors(text)
        #expect(errors.count == 1)
        #expect(errors.allSatisfy { !$0.contains("\n") && !$0.contains("\u{1b}") })
        #expect(Samples.clientErrors("a = 1\n\0b = 2").first?.hasPrefix("c:2: syntax") == true)
    }
}
