import ArgumentParser
import Configuration
import Daemons
import Glibc

/// `fairlead import`: a pair of files out of another program's.
struct ImportCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "import",
        abstract: "Make a pair of files out of kcptun's or frp's.",
        discussion: """
            Writes server.toml and client.toml, says which keys to make and what is left to fill \
            in, and lists what has no counterpart. Files that exist are never overwritten.

            Examples:
              fairlead import kcptun client.json server.json
              fairlead import frp frpc.toml --server home.example.net:4600
            """,
        subcommands: [ImportKcptunCommand.self, ImportFrpCommand.self]
    )
}

/// What both of them understand.
struct ImportOptions: ParsableArguments {
    @Option(help: ArgumentHelp("The folder to write to.", valueName: "dir"))
    var out = "."

    @Option(help: ArgumentHelp("Where the client reaches the server.", valueName: "host:port"))
    var server: String?

    @Option(help: "What the server's file calls the client.")
    var name = "edge-1"

    /// Makes the pair with `make`, writes it and tells the rest.
    func carryOut(
        _ make: (ImportedPair.Options) throws(ConfigurationError) -> ImportedPair
    ) throws {
        var options = ImportedPair.Options()
        options.name = self.name
        if let text = self.server {
            guard let endpoint = Endpoint(text), endpoint.port > 0 else {
                throw ValidationError("--server: got \(text), expected such as host.example:4600")
            }
            options.server = endpoint
        }
        let pair: ImportedPair
        do throws(ConfigurationError) {
            pair = try make(options)
        } catch {
            throw CommandExit.refuse(error)
        }
        let folder = self.out == "." ? "" : self.out.hasSuffix("/") ? self.out : "\(self.out)/"
        try NewFiles.write([
            ("\(folder)server.toml", pair.server), ("\(folder)client.toml", pair.client),
        ])
        Terminal.print(ImportReport.text(pair, folder: folder))
    }
}

struct ImportKcptunCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "kcptun",
        abstract: "Import kcptun's JSON files, one of the client, of the server, or both.",
        discussion: """
            With both files nothing is left to fill in but the keys.

            Example: fairlead import kcptun client.json server.json --out tunnel
            """
    )

    @Argument(help: ArgumentHelp("What kcptun was started with by -c.", valueName: "file"))
    var files: [String]

    @OptionGroup var options: ImportOptions

    func run() throws {
        try self.options.carryOut { options throws(ConfigurationError) in
            try KcptunImport.pair(ofFilesAt: self.files, options)
        }
    }
}

struct ImportFrpCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "frp",
        abstract: "Import frpc's file, TOML or JSON.",
        discussion: """
            The ends change places: fairlead-server runs where frpc ran, and must be reached by \
            UDP; fairlead-client runs where frps ran, and players go on connecting there.

            Example: fairlead import frp frpc.toml --server home.example.net:4600
            """
    )

    @Argument(help: ArgumentHelp("frpc.toml, of version 0.52 or later.", valueName: "file"))
    var file: String

    @OptionGroup var options: ImportOptions

    func run() throws {
        try self.options.carryOut { options throws(ConfigurationError) in
            try FrpImport.pair(ofFileAt: self.file, options)
        }
    }
}

/// Files that are written only if none of them exists.
private enum NewFiles {
    static func write(_ files: [(path: String, text: String)]) throws {
        var made: [String] = []
        for file in files {
            guard let code = self.write(file.text, to: file.path) else {
                made.append(file.path)
                continue
            }
            for path in made { unlink(path) }
            Terminal.complain("fairlead import: \(self.reason(code, file.path))")
            throw CommandExit.failure
        }
    }

    /// `nil`, or the error's number.
    private static func write(_ text: String, to path: String) -> Int32? {
        let flags = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC
        let descriptor = open(path, flags, 0o644)
        guard descriptor >= 0 else { return errno }
        defer { close(descriptor) }
        var text = text
        let count = text.withUTF8 { Glibc.write(descriptor, $0.baseAddress, $0.count) }
        guard count == text.utf8.count else {
            let code = count < 0 ? errno : ENOSPC
            unlink(path)
            return code
        }
        return nil
    }

    private static func reason(_ code: Int32, _ path: String) -> String {
        let shown = PlainWord.quoted(path)
        switch code {
        case EEXIST, ELOOP:
            return "\(shown) exists, so that nothing was written; choose a folder with --out"
        case ENOENT: return "the folder of \(shown) does not exist, so that nothing was written"
        default: return "cannot write \(shown): \(String(cString: strerror(code)))"
        }
    }
}

/// What is left to do after an import.
private enum ImportReport {
    static func text(_ pair: ImportedPair, folder: String) -> String {
        let server = PlainWord.quoted("\(folder)server.toml")
        let client = PlainWord.quoted("\(folder)client.toml")
        var lines = [
            "wrote \(server) and \(client)", "",
            "Make the keys, each on its own machine and beside its file, and put the public ones",
            "in the place of the ReplaceThis… lines of the other file:",
            "  fairlead keygen server.key    # server_public_key in client.toml",
            "  fairlead keygen client.key    # public_key in server.toml",
            "Then check both: fairlead check server.toml client.toml",
        ]
        if !pair.missing.isEmpty {
            lines += ["", "To fill in, because the files do not tell:"]
            lines += pair.missing.map { "  \($0)" }
        }
        if !pair.dropped.isEmpty {
            lines += ["", "Without counterpart:"]
            lines += pair.dropped.map { "  \($0)" }
        }
        return lines.joined(separator: "\n")
    }
}
