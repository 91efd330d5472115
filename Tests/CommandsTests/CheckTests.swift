import Foundation
import Testing

@Suite struct CheckTests {
    private static let top = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
        .deletingLastPathComponent().deletingLastPathComponent()

    @Test func everyExamplePassesOnceItsKeysExist() throws {
        let folder = try TemporaryFolder()
        let examples = Self.top.appendingPathComponent("examples").path
        try FileManager.default.copyItem(atPath: examples, toPath: folder.file("examples"))
        mkdir(folder.file("keys"), 0o700)
        for key in ["server", "client"] {
            let path = "keys/\(key).key"
            #expect(try Program.run("fairlead", "keygen", path, in: folder.path).status == 0)
        }
        let uses = ["gaming", "industrial-iot", "live-stream", "trading", "web"]
        let names = try FileManager.default.contentsOfDirectory(atPath: examples).filter { name in
            FileManager.default.fileExists(atPath: "\(examples)/\(name)/server.toml")
        }
        #expect(Set(names).isSuperset(of: uses))
        for name in names {
            for end in ["server", "client"] {
                let file = "examples/\(name)/\(end).toml"
                let program = "fairlead-\(end)"
                let run = try Program.run(program, "--config", file, "--check", in: folder.path)
                #expect(run.output == "ok\n", "\(run.errors)")
                #expect(run.status == 0)
                let check = try Program.run("fairlead", "check", "--\(end)", file, in: folder.path)
                #expect(check.output == "ok\n")
            }
        }
    }

    @Test func tellsEveryMistakeAndExitsWithTwo() throws {
        let folder = try TemporaryFolder()
        try folder.write("server = \"a:1\"\nservr = 1\nprivate_key = \"none.key\"\n", to: "c.toml")
        let run = try Program.run("fairlead-client", "--config", "c.toml", in: folder.path)
        #expect(run.status == 2)
        #expect(run.output.isEmpty)
        let lines = run.errors.split(separator: "\n")
        #expect(lines.count == 3)
        #expect(lines.first?.hasPrefix("c.toml:1: server_public_key: got nothing") == true)
        #expect(lines.dropFirst().first?.hasSuffix(", did you mean server?") == true)
        #expect(lines.last?.hasPrefix("c.toml:3: private_key: got \"none.key\" which") == true)
        let check = try Program.run("fairlead", "check", "--client", "c.toml", in: folder.path)
        #expect(check.status == 2)
        #expect(check.errors == run.errors)
    }

    private func pair(_ folder: TemporaryFolder) throws -> (server: String, client: String) {
        let server = try Program.run("fairlead", "keygen", "s.key", in: folder.path).output
        let client = try Program.run("fairlead", "keygen", "c.key", in: folder.path).output
        let (serverKey, clientKey) = (server.dropLast(), client.dropLast())
        let serverText = """
            listen = "127.0.0.1:4600"
            private_key = "s.key"
            [[peer]]
            name = "edge"
            public_key = "\(clientKey)"
            services = ["web"]
            [[service]]
            name = "web"
            protocol = "tcp"
            backends = ["127.0.0.1:80"]

            """
        let clientText = """
            server = "127.0.0.1:4600"
            server_public_key = "\(serverKey)"
            private_key = "c.key"
            [[forward]]
            listen = "127.0.0.1:8080"
            protocol = "tcp"
            service = "web"

            """
        return (serverText, clientText)
    }

    @Test func comparesAServersFileWithAClients() throws {
        let folder = try TemporaryFolder()
        let (server, client) = try self.pair(folder)
        try folder.write(server, to: "a.toml")
        let cases: [(String, String, [String])] = [
            ("", "", []),
            ("service = \"web\"", "service = \"wbe\"", ["\"wbe\"", "did you mean web?"]),
            ("protocol = \"tcp\"", "protocol = \"udp\"", ["\"udp\"", "\"tcp\""]),
            ("c.key", "other.key", ["a.toml: peer: got none", "public_key = "]),
        ]
        _ = try Program.run("fairlead", "keygen", "other.key", in: folder.path)
        for (old, new, words) in cases {
            let changed = old.isEmpty ? client : client.replacingOccurrences(of: old, with: new)
            try folder.write(changed, to: "b.toml")
            let run = try Program.run("fairlead", "check", "b.toml", "a.toml", in: folder.path)
            #expect(run.status == (words.isEmpty ? 0 : 2), "\(run.errors)")
            #expect(run.output == (words.isEmpty ? "ok\n" : ""))
            for word in words { #expect(run.errors.contains(word), "\(run.errors)") }
            // Each alone is well formed.
            #expect(try Program.run("fairlead", "check", "b.toml", in: folder.path).status == 0)
        }
        try folder.write(client, to: "b.toml")
        let forbidding = server.replacingOccurrences(of: "[\"web\"]", with: "[]")
        try folder.write(forbidding, to: "a.toml")
        let run = try Program.run("fairlead", "check", "a.toml", "b.toml", in: folder.path)
        #expect(run.status == 2)
        #expect(run.errors.contains("services"), "\(run.errors)")
    }

    @Test func findsKeysInTheWrongPlace() throws {
        let folder = try TemporaryFolder()
        let (server, client) = try self.pair(folder)
        let own = try Program.run("fairlead", "pubkey", "c.key", in: folder.path).output.dropLast()
        let right = try Program.run("fairlead", "pubkey", "s.key", in: folder.path).output
            .dropLast()
        let file = try String(contentsOfFile: folder.file("c.key"), encoding: .utf8)
        let secret = try #require(file.split(separator: ":").last).dropLast()
        for (key, words) in [(String(own), "own private_key"), (String(secret), "own private key")]
        {
            let text = client.replacingOccurrences(of: String(right), with: key)
            try folder.write(text, to: "c.toml")
            let run = try Program.run("fairlead", "check", "c.toml", in: folder.path)
            #expect(run.status == 2)
            #expect(run.errors.hasPrefix("c.toml:2: server_public_key: got "), "\(run.errors)")
            #expect(run.errors.contains(words), "\(run.errors)")
            #expect(!run.errors.contains(secret))
        }
        try folder.write(server, to: "s.toml")
        let confused = server.replacingOccurrences(of: String(own), with: String(right))
        try folder.write(confused, to: "s.toml")
        let run = try Program.run("fairlead", "check", "s.toml", in: folder.path)
        #expect(run.status == 0)
        #expect(run.errors.contains("is the public key of this file's own"), "\(run.errors)")
        let placeholder = "ReplaceThisWithThePublicKeyOfYourServer0000="
        let raw = client.replacingOccurrences(of: String(right), with: placeholder)
        try folder.write(raw, to: "c.toml")
        let warned = try Program.run("fairlead", "check", "c.toml", in: folder.path)
        #expect(warned.status == 0)
        #expect(warned.errors.contains("placeholder"))
    }

    @Test func saysWhoseFileItIs() throws {
        let folder = try TemporaryFolder()
        let (server, client) = try self.pair(folder)
        try folder.write(server, to: "s.toml")
        try folder.write(client, to: "c.toml")
        for (program, file) in [("fairlead-server", "c.toml"), ("fairlead-client", "s.toml")] {
            let run = try Program.run(program, "--config", file, "--check", in: folder.path)
            #expect(run.status == 2)
            let lines = run.errors.split(separator: "\n")
            #expect(lines.count == 1, "\(run.errors)")
            #expect(lines.first?.contains("'s file, expected a ") == true)
        }
    }

    @Test func refusesAControlSocketThatNobodyCanMake() throws {
        let folder = try TemporaryFolder()
        let (_, client) = try self.pair(folder)
        try folder.write("control = \"none/such/x.sock\"\n" + client, to: "c.toml")
        let run = try Program.run(
            "fairlead-client",
            "--config",
            "c.toml",
            "--check",
            in: folder.path
        )
        #expect(run.status == 2)
        #expect(run.errors.hasPrefix("c.toml:1: control: got \"none/such/x.sock\" in a folder"))
        // The last folder is made at the start.
        try folder.write("control = \"made/x.sock\"\n" + client, to: "c.toml")
        let made = try Program.run(
            "fairlead-client",
            "--config",
            "c.toml",
            "--check",
            in: folder.path
        )
        #expect(made.status == 0, "\(made.errors)")
    }

    static let slips: [(String, [String], String)] = [
        ("fairlead", ["docter"], "did you mean: fairlead doctor"),
        ("fairlead", ["stauts", "--json"], "did you mean: fairlead status"),
        ("fairlead", ["zzzzzz"], "the commands are keygen, "),
        ("fairlead-server", ["server.toml"], "write it as: fairlead-server --config server.toml"),
        ("fairlead-client", ["my file.toml"], "fairlead-client --config 'my file.toml'"),
    ]

    @Test(arguments: Self.slips)
    func saysWhatToWriteInstead(program: String, arguments: [String], words: String) throws {
        let run = try Program.run(program, arguments, in: "/tmp")
        #expect(run.status == 2)
        #expect(run.errors.contains(words), "\(run.errors)")
    }

    static let misuses: [(String, [String])] = [
        ("fairlead-server", []),
        ("fairlead-server", ["--confg", "a"]),
        ("fairlead-client", ["--config", "a", "--log-level", "loud"]),
        ("fairlead-client", ["--config", "a", "b"]),
        ("fairlead", ["keygen"]),
        ("fairlead", ["nonsense"]),
        ("fairlead", ["check"]),
    ]

    @Test(arguments: Self.misuses)
    func wrongCommandLinesExitWithTwo(program: String, arguments: [String]) throws {
        let run = try Program.run(program, arguments, in: "/tmp")
        #expect(run.status == 2, "\(run.errors)")
        #expect(run.output.isEmpty)
        #expect(!run.errors.isEmpty)
    }

    @Test func saysItsVersionAndHelps() throws {
        let version = try Program.run("fairlead", "version", in: "/tmp")
        #expect(version.output.hasPrefix("fairlead "))
        let option = try Program.run("fairlead-server", "--version", in: "/tmp")
        #expect(option.output.hasPrefix("fairlead-server "))
        let help = try Program.run("fairlead-client", "--help", in: "/tmp")
        #expect(help.status == 0)
        #expect(help.output.contains("--group-readable-keys"))
    }

    @Test func everyCommandShowsAnExample() throws {
        let commands = [
            ["keygen"], ["pubkey"], ["check"], ["status"], ["drain"], ["undrain"], ["doctor"],
            ["routes"], ["routes", "print"], ["routes", "install"], ["routes", "remove"], ["lab"],
            ["lab", "list"], ["lab", "run"], ["import"], ["import", "kcptun"], ["import", "frp"],
            ["version"], [],
        ]
        for words in commands {
            let help = try Program.run("fairlead", words + ["--help"], in: "/tmp")
            #expect(help.status == 0)
            #expect(help.output.contains("Example"), "fairlead \(words)")
        }
        for program in ["fairlead-server", "fairlead-client"] {
            let help = try Program.run(program, "--help", in: "/tmp")
            #expect(help.output.contains("\(program) --config"), "\(program)")
        }
    }

    @Test func statusSaysWhenNobodyListens() throws {
        let folder = try TemporaryFolder()
        let run = try Program.run("fairlead", "status", "--control", "none.sock", in: folder.path)
        #expect(run.status == 1)
        #expect(
            run.errors
                == "fairlead status: no process listens at none.sock (no such file)\n"
        )
    }
}
