import ArgumentParser
import Configuration
import Daemons
import Glibc
import LinuxIO
import Primitives
import Sealing

struct KeygenCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "keygen",
        abstract: "Make a key pair, or a preshared key.",
        discussion: """
            Writes the private key to PATH, readable by its owner only, and prints the public key. \
            With --preshared it writes a secret that a client and its server share, and prints \
            nothing. A file that exists is never overwritten.

            Examples:
              fairlead keygen keys/server.key
              fairlead keygen --preshared keys/edge-1.psk
            """
    )

    @Flag(help: "Make a preshared key, for both ends of one tunnel.")
    var preshared = false

    @Argument(help: ArgumentHelp("The file to write.", valueName: "path"))
    var path: String

    func run() throws {
        try self.refuseStandardOutput()
        if let folder = KeygenAdvice.servedFolder(of: self.absolutePath) {
            Terminal.complain(
                "fairlead keygen: warning: \(PlainWord.quoted(self.path)) lies below"
                    + " \(PlainWord.quoted(folder)), which web servers often hand out to everybody;"
                    + " a private key belongs elsewhere"
            )
        }
        if self.preshared { return try self.makePresharedKey() }
        let key = SecretKey(entropy: .kernel())
        try self.write(key.keyFileText(created: Timestamp.now()))
        self.advise(KeygenAdvice.text(path: self.path, publicKey: key.publicKey.description))
        Terminal.print(key.publicKey.description)
    }

    private func makePresharedKey() throws {
        let key = PresharedKey(entropy: .kernel())
        try self.write(key.keyFileText(created: Timestamp.now()))
        self.advise(KeygenAdvice.presharedText(path: self.path))
    }

    /// A script that reads the key needs no advice, and its log none either.
    private func advise(_ text: String) {
        if isatty(STDERR_FILENO) == 1 { Terminal.complain(text) }
    }

    private func refuseStandardOutput() throws {
        guard self.path == "-" else { return }
        Terminal.complain(
            "fairlead keygen: a key is written to a file only, so that nobody reads it on the way;"
                + " for a file of that name write ./-"
        )
        throw CommandExit.usage
    }

    private var absolutePath: String {
        guard !self.path.hasPrefix("/"), let folder = getcwd(nil, 0) else { return self.path }
        defer { free(folder) }
        return String(cString: folder) + "/" + self.path
    }

    private func write(_ text: String) throws {
        do throws(KeygenFailure) {
            try Self.write(text, to: self.path)
        } catch {
            Terminal.complain("fairlead keygen: \(error)")
            throw CommandExit.failure
        }
    }

    private static func write(_ text: String, to path: String) throws(KeygenFailure) {
        let flags = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC
        let descriptor = open(path, flags, 0o600)
        guard descriptor >= 0 else { throw KeygenFailure(path: path, code: errno) }
        defer { close(descriptor) }
        var text = text
        let count = text.withUTF8 { Glibc.write(descriptor, $0.baseAddress, $0.count) }
        // Until the disk has it, the public key must not be handed out.
        guard count == text.utf8.count, fsync(descriptor) == 0 else {
            let code = count < 0 ? errno : ENOSPC
            unlink(path)
            throw KeygenFailure(path: path, code: code)
        }
    }
}

/// Why a key file could not be written, and what to do.
struct KeygenFailure: Error, CustomStringConvertible {
    var path: String
    var code: Int32

    var description: String {
        switch self.code {
        case EEXIST, ELOOP:
            """
            \(self.path) exists and is left as it is, because a key that is overwritten is lost; \
            choose another path; fairlead pubkey \(self.path) shows a private key's public one
            """
        case ENOENT: "the folder of \(self.path) does not exist; make it first (mkdir -m 700)"
        case EACCES, EPERM, EROFS: "this user may not write \(self.path)"
        case let code: "cannot write \(self.path): \(String(cString: strerror(code)))"
        }
    }
}

struct PubkeyCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "pubkey",
        abstract: "Print the public key of a private key file.",
        discussion: "Example: fairlead pubkey keys/server.key"
    )

    @Argument(help: ArgumentHelp("The private key's file.", valueName: "path"))
    var path: String

    @OptionGroup var keyOptions: KeyOptions

    func run() throws {
        let file = KeyFile(path: self.path, location: self.path)
        do throws(KeyFileRefusal) {
            let key = try file.load(self.keyOptions.mode)
            Terminal.print(key.publicKey.description)
        } catch {
            Terminal.complain("fairlead pubkey: \(error)")
            throw CommandExit.failure
        }
    }
}
