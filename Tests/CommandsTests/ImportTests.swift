import Foundation
import Testing

/// `fairlead import`, as whoever moves runs it.
@Suite struct ImportTests {
    private static let client = """
        {
            "localaddr": ":8388",
            "remoteaddr": "vps.example:4000-4010",
            "key": "a password",
            "crypt": "aes-128",
            "mode": "fast3",
            "conn": 2,
            "ratelimit": 1048576,
            "datashard": 10,
            "parityshard": 3,
            "dscp": 46,
            "nocomp": true,
            "quiet": false,
            "tcp": true,
            "flavour": "none"
        }
        """
    private static let server = """
        { "listen": ":4000-4010", "target": "127.0.0.1:8388", "key": "a password",
          "datashard": 0, "parityshard": 0 }
        """
    private static let frpc = """
        serverAddr = "edge.example"
        serverPort = 7000
        user = "home"
        auth.token = "a token"
        webServer.port = 7400
        transport.tls.enable = false
        transport.poolCount = 5

        [[proxies]]
        name = "minecraft"
        type = "tcp"
        localPort = 25565
        remotePort = 25565
        transport.proxyProtocolVersion = "v2"
        transport.useCompression = true
        healthCheck.type = "tcp"
        healthCheck.maxFailed = 3
        healthCheck.intervalSeconds = 2

        [[proxies]]
        name = "voice"
        type = "udp"
        localIP = "10.0.0.7"
        localPort = 9987
        remotePort = 9000
        transport.proxyProtocolVersion = "v2"

        [[proxies]]
        name = "web-a"
        localIP = "fd00::7"
        localPort = 80
        remotePort = 8080
        loadBalancer.group = "web"
        loadBalancer.groupKey = "a secret"

        [[proxies]]
        name = "web-b"
        localIP = "two.example"
        localPort = 80
        remotePort = 8080
        loadBalancer.group = "web"
        transport.bandwidthLimit = "1MB"

        [[proxies]]
        name = "any port"
        localPort = 2222

        [[proxies]]
        name = "site"
        type = "https"
        localPort = 443
        customDomains = ["site.example"]

        [[proxies]]
        name = "socks"
        remotePort = 1080
        [proxies.plugin]
        type = "socks5"

        [[visitors]]
        name = "far"
        type = "stcp"
        serverName = "far"
        bindPort = 9001
        """

    private func run(_ folder: TemporaryFolder, _ arguments: String...) throws -> Program {
        try Program.run("fairlead", ["import"] + arguments, in: folder.path)
    }

    private func text(_ folder: TemporaryFolder, _ name: String) throws -> String {
        try String(contentsOfFile: folder.file(name), encoding: .utf8)
    }

    /// What the report says to do: keys, their public halves, `check`, and what each end checks.
    private func finish(_ folder: TemporaryFolder) throws {
        let pairs = [("server", "Server", "client"), ("client", "Client", "server")]
        for (end, word, other) in pairs {
            let made = try Program.run("fairlead", "keygen", "\(end).key", in: folder.path)
            let holder = "ReplaceThisWithThePublicKeyOfYour\(word)0000="
            let file = "\(other).toml"
            let before = try self.text(folder, file)
            #expect(before.contains(holder))
            let key = made.output.trimmingCharacters(in: .newlines)
            try folder.write(before.replacingOccurrences(of: holder, with: key), to: file)
        }
        let check = try Program.run(
            "fairlead",
            "check",
            "server.toml",
            "client.toml",
            in: folder.path
        )
        #expect(check.output == "ok\n")
        #expect(check.errors.isEmpty, "\(check.errors)")
        for end in ["server", "client"] {
            let arguments = ["--config", "\(end).toml", "--check"]
            let own = try Program.run("fairlead-\(end)", arguments, in: folder.path)
            #expect(own.output == "ok\n" && own.status == 0, "\(own.errors)")
        }
    }

    @Test func bothFilesOfKcptunLeaveNothingToFillInButKeys() throws {
        let folder = try TemporaryFolder()
        try folder.write(Self.client, to: "c.json")
        try folder.write(Self.server, to: "s.json")
        let run = try self.run(folder, "kcptun", "c.json", "s.json")
        #expect(run.status == 0, "\(run.errors)")
        #expect(!run.output.contains("To fill in"), "\(run.output)")
        #expect(run.output.contains("fairlead keygen server.key"))
        let server = try self.text(folder, "server.toml")
        for line in [
            "listen = \"[::]:4000\"", "fec = \"off\"", "rate_up = \"8388.608 kbps\"",
            "backends = [\"127.0.0.1:8388\"]",
        ] {
            #expect(server.contains("\n\(line)\n"), "\(server)")
        }
        let client = try self.text(folder, "client.toml")
        for line in ["server = \"vps.example:4000\"", "listen = \"[::]:8388\""] {
            #expect(client.contains("\n\(line)\n"), "\(client)")
        }
        #expect(!client.contains("compression") && !client.contains("fec"))
        try self.finish(folder)
    }

    @Test func listsWhatKcptunHasAndFairleadHasNot() throws {
        let folder = try TemporaryFolder()
        try folder.write(Self.client, to: "c.json")
        let run = try self.run(folder, "kcptun", "c.json")
        #expect(run.status == 0)
        for words in [
            "server.toml: backends: where", "c.json: a range of ports", "c.json:4: key: ",
            "c.json:7: conn: ", "c.json:11: dscp: ", "c.json:14: tcp: ",
            "c.json:15: flavour: unknown to fairlead import",
        ] {
            #expect(run.output.contains(words), "\(words): \(run.output)")
        }
        // Neither what is off nor what a password was.
        #expect(!run.output.contains("quiet") && !run.output.contains("a password"))
        let files = try self.text(folder, "server.toml") + self.text(folder, "client.toml")
        #expect(!files.contains("a password"))
        try self.finish(folder)
    }

    @Test func aServersFileAloneWillDo() throws {
        let folder = try TemporaryFolder()
        try folder.write(Self.server, to: "s.json")
        let run = try self.run(folder, "kcptun", "s.json", "--server", "192.0.2.7:4000")
        #expect(run.status == 0)
        #expect(run.output.contains("client.toml: listen: where"), "\(run.output)")
        #expect(!run.output.contains("client.toml: server"))
        let client = try self.text(folder, "client.toml")
        #expect(client.contains("\nserver = \"192.0.2.7:4000\"\n"))
        // kcptun compresses unless it is told not to.
        #expect(client.contains("\ncompression = \"auto\"\n"))
        try self.finish(folder)
    }

    @Test func frpsEndsChangePlaces() throws {
        let folder = try TemporaryFolder()
        try folder.write(Self.frpc, to: "frpc.toml")
        let arguments = ["frp", "frpc.toml", "--server", "home.example:4700"]
        let run = try Program.run("fairlead", ["import"] + arguments, in: folder.path)
        #expect(run.status == 0, "\(run.errors)")
        let server = try self.text(folder, "server.toml")
        for line in [
            "listen = \"[::]:4700\"", "admin = \"127.0.0.1:7400\"",
            "name = \"edge-1\"", "services = [\"minecraft\", \"voice\", \"web\", \"any port\"]",
            "origins = [\"0.0.0.0/0\", \"::/0\"]", "backends = [\"127.0.0.1:25565\"]",
            "origin = \"proxy-v2\"", "dialect = \"first\"",
            "health = { type = \"tcp\", interval = \"2s\", timeout = \"2s\", fall = 3 }",
            "backends = [\"[fd00::7]:80\", \"two.example:80\"]",
        ] {
            #expect(server.contains("\n\(line)\n"), "\(line): \(server)")
        }
        let client = try self.text(folder, "client.toml")
        for line in [
            "server = \"home.example:4700\"", "listen = \"0.0.0.0:25565\"",
            "listen = \"0.0.0.0:9000\"", "listen = \"0.0.0.0:8080\"", "listen = \"0.0.0.0:2222\"",
            "compression = \"auto\"",
        ] {
            #expect(client.contains("\n\(line)\n"), "\(line): \(client)")
        }
        for words in [
            "client.toml: listen of \"any port\"", "frpc.toml:3: user: ",
            "frpc.toml:4: auth.token: ",
            "frpc.toml:7: transport.poolCount: ", "proxies.web-a.loadBalancer.groupKey: ",
            "proxies.web-b.transport.bandwidthLimit: ", "proxies.site: type \"https\": ",
            "proxies.socks: plugins: ", ": visitors: ",
        ] {
            #expect(run.output.contains(words), "\(words): \(run.output)")
        }
        #expect(!run.output.contains("tls.enable") && !run.output.contains("a token"))
        #expect(!run.output.contains("client.toml: server:"))
        try self.finish(folder)
    }

    @Test func frpsJSONIsReadToo() throws {
        let folder = try TemporaryFolder()
        let text = #"{"serverAddr": "e", "proxies": [{"name": "a\"b", "localPort": 1}]}"#
        try folder.write(text, to: "frpc.json")
        let run = try self.run(folder, "frp", "frpc.json")
        #expect(run.status == 0, "\(run.errors)")
        #expect(run.output.contains("client.toml: server: where the machine of frpc is reached"))
        #expect(try self.text(folder, "server.toml").contains(#"name = "a\"b""#))
        try self.finish(folder)
    }

    @Test func startAndEnabledChooseProxies() throws {
        let folder = try TemporaryFolder()
        let text = """
            start = ["a", "b"]
            proxies = [
                { name = "a", localPort = 1, remotePort = 1 },
                { name = "b", localPort = 2, remotePort = 2, enabled = false },
                { name = "c", localPort = 3, remotePort = 3 },
                { name = "a2", localPort = 4, remotePort = 1 },
            ]
            """
        try folder.write(text, to: "frpc.toml")
        let run = try self.run(folder, "frp", "frpc.toml")
        #expect(run.status == 0, "\(run.errors)")
        #expect(try self.text(folder, "server.toml").contains("services = [\"a\"]"))
        #expect(run.output.contains("frpc.toml:4: proxies.b: it is disabled"))
        #expect(run.output.contains("frpc.toml:5: proxies.c: start does not name it"))
        try folder.write(text.replacing("start = [\"a\", \"b\"]", with: ""), to: "frpc.toml")
        let all = try self.run(folder, "frp", "frpc.toml", "--out", folder.path + "/")
        #expect(all.status == 1)
        unlink(folder.file("server.toml"))
        unlink(folder.file("client.toml"))
        let again = try self.run(folder, "frp", "frpc.toml", "--out", folder.path + "/")
        #expect(again.output.contains("proxies.a2: 0.0.0.0:1 is taken by another proxy"))
    }

    @Test func neverOverwrites() throws {
        let folder = try TemporaryFolder()
        try folder.write(Self.server, to: "s.json")
        for name in ["server.toml", "client.toml"] {
            try folder.write("mine\n", to: name)
            let run = try self.run(folder, "kcptun", "s.json")
            #expect(run.status == 1)
            #expect(run.errors.contains("\(name) exists"), "\(run.errors)")
            #expect(try self.text(folder, name) == "mine\n")
            let other = name == "server.toml" ? "client.toml" : "server.toml"
            #expect(!FileManager.default.fileExists(atPath: folder.file(other)))
            unlink(folder.file(name))
        }
        let away = try self.run(folder, "kcptun", "s.json", "--out", "no/such")
        #expect(away.status == 1)
        #expect(away.errors.contains("the folder of no/such/server.toml does not exist"))
    }

    static let mistakes: [(name: String, text: String, words: String)] = [
        ("a.json", "{", "a.json:1: syntax: got no key in quotes, expected JSON"),
        ("a.json", "[]", "expected an object"),
        ("a.json", "{}", "no key that tells whose it is"),
        ("a.json", #"{"listen": ":1", "localaddr": ":1"}"#, "keys of both ends"),
        ("a.json", "{\n\"localaddr\": \"there:80\"}", "a.json:2: localaddr: got \"there:80\""),
        ("a.json", #"{"remoteaddr": "vps"}"#, "a.json:1: remoteaddr: got \"vps\""),
        ("a.json", #"{"listen": ":1", "nocomp": "yes"}"#, "nocomp: got \"yes\", expected true"),
        ("a.json", #"{"listen": 5}"#, "listen: got 5, expected a string"),
        ("a.toml", "[common]\nserver_addr = 1.2.3.4", "a.toml:1: file: got frp's old INI"),
        ("a.toml", "bindPort = 7000", "got the file of frps"),
        ("a.toml", "x = {{ .Envs.X }}", "got a template"),
        ("a.toml", "serverAddr = \"e\"", "proxies: got none that Fairlead can serve"),
        ("a.toml", "[[proxies]]\nname = \"a\"", "a.toml:1: proxies.a.localPort: got nothing"),
        ("a.toml", "[[proxies]]\nlocalPort = 1", "proxies.name: got nothing"),
        ("a.toml", "proxies = 1", "proxies: got 1, expected [[proxies]]"),
        (
            "a.toml", "[[proxies]]\nname = \"a\"\nlocalPort = 1\nlocalIP = \"a b\"",
            "proxies.a.localIP: got \"a b\""
        ),
        ("a.toml", "user = 'x", "a.toml:1: syntax"),
        // What our own reader refuses is told before anything is written.
        ("a.toml", "[[proxies]]\nname = \"*\"\nlocalPort = 1", "server.toml:"),
    ]

    @Test(arguments: Self.mistakes)
    func mistakesAreNamedAndNothingIsWritten(name: String, text: String, words: String) throws {
        let folder = try TemporaryFolder()
        try folder.write(text, to: name)
        let kind = name.hasSuffix("json") ? "kcptun" : "frp"
        let run = try self.run(folder, kind, name)
        #expect(run.status == 2)
        #expect(run.errors.contains(words), "\(run.errors)")
        let left = try FileManager.default.contentsOfDirectory(atPath: folder.path)
        #expect(left == [name])
    }

    @Test func oneFileOfEachEnd() throws {
        let folder = try TemporaryFolder()
        try folder.write(Self.server, to: "s.json")
        let run = try self.run(folder, "kcptun", "s.json", "s.json")
        #expect(run.status == 2)
        #expect(run.errors.contains("got a second server"), "\(run.errors)")
        let none = try self.run(folder, "kcptun", "none.json")
        #expect(none.status == 2)
        #expect(none.errors.contains("expected a readable text file in JSON"), "\(none.errors)")
        let odd = try self.run(folder, "kcptun", "s.json", "--server", "nowhere")
        #expect(odd.status == 2)
        #expect(odd.errors.contains("--server: got nowhere"), "\(odd.errors)")
    }
}
