import Foundation
import Testing

/// A program that runs until it is told to end.
private final class Running {
    private let process = Process()
    private let log: String

    /// Starts `name` and waits until its log says `ready`, or it has ended.
    init(_ name: String, config: String, in folder: TemporaryFolder) throws {
        self.log = folder.file("\(name).log")
        _ = FileManager.default.createFile(atPath: self.log, contents: nil)
        let bundle = URL(fileURLWithPath: CommandLine.arguments[0]).resolvingSymlinksInPath()
        self.process.executableURL = bundle.deletingLastPathComponent().appendingPathComponent(name)
        self.process.arguments = ["--config", config]
        self.process.currentDirectoryURL = URL(fileURLWithPath: folder.path)
        self.process.standardError = FileHandle(forWritingAtPath: self.log)
        try self.process.run()
        #expect(self.waits { $0.contains(" INFO ready ") || !self.process.isRunning })
    }

    deinit { if self.process.isRunning { self.process.terminate() } }

    var logText: String { (try? String(contentsOfFile: self.log, encoding: .utf8)) ?? "" }

    /// Whether the log comes to satisfy `condition` within five seconds.
    func waits(until condition: (String) -> Bool) -> Bool {
        for _ in 0..<250 {
            if condition(self.logText) { return true }
            usleep(20_000)
        }
        return false
    }

    func signal(_ number: Int32) { kill(self.process.processIdentifier, number) }

    func exitCode() -> Int32 {
        self.process.waitUntilExit()
        return self.process.terminationStatus
    }
}

@Suite(.serialized) struct RunningTests {
    private func folder(extra: String = "") throws -> TemporaryFolder {
        let folder = try TemporaryFolder()
        _ = try Program.run("fairlead", "keygen", "a.key", in: folder.path)
        let made = try Program.run("fairlead", "keygen", "edge.key", in: folder.path)
        let publicKey = made.output.split(separator: "\n").first.map(String.init) ?? ""
        try folder.write(
            """
            listen = "127.0.0.1:0"
            private_key = "a.key"
            control = "control.sock"
            [[peer]]
            name = "edge"
            public_key = "\(publicKey)"
            services = ["*"]
            \(extra)
            """,
            to: "server.toml"
        )
        return folder
    }

    @Test func answersOverItsControlSocketUntilItIsTold() throws {
        let folder = try self.folder()
        let server = try Running("fairlead-server", config: "server.toml", in: folder)
        #expect(server.logText.contains("listen=127.0.0.1:"))
        let status = try Program.run(
            "fairlead",
            ["status", "--json", "--control", "control.sock"],
            in: folder.path
        )
        #expect(status.status == 0, "\(status.errors)")
        let object = try JSONSerialization.jsonObject(with: Data(status.output.utf8))
        #expect((object as? [String: Any])?["role"] as? String == "server")
        server.signal(SIGTERM)
        #expect(server.exitCode() == 0)
        #expect(!FileManager.default.fileExists(atPath: folder.file("control.sock")))
    }

    @Test func aBadFileChangesNothing() throws {
        let folder = try self.folder()
        let server = try Running("fairlead-server", config: "server.toml", in: folder)
        let good = try String(contentsOfFile: folder.file("server.toml"), encoding: .utf8)
        // A header without a name makes the parser end the process, if it ever sees one.
        try folder.write("[=]\n" + good, to: "server.toml")
        server.signal(SIGHUP)
        #expect(server.waits { $0.contains(" reload-refused ") && $0.contains("server.toml:1: ") })
        try folder.write(good, to: "server.toml")
        server.signal(SIGHUP)
        #expect(server.waits { $0.contains(" INFO reload ") })
        server.signal(SIGINT)
        #expect(server.exitCode() == 0)
    }

    @Test func exitsWithOneWhenAPlaceIsTaken() throws {
        let folder = try self.folder()
        try folder.write("not a socket", to: "control.sock")
        let server = try Running("fairlead-server", config: "server.toml", in: folder)
        #expect(server.exitCode() == 1)
        #expect(server.logText.contains("cannot make the control socket control.sock"))
        #expect(FileManager.default.fileExists(atPath: folder.file("control.sock")))
    }
}
