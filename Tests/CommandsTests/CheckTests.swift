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
