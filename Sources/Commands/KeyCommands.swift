import ArgumentParser
import Configuration
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
            """
    )

    @Flag(help: "Make a preshared key, for both ends of one tunnel.")
    var preshared = false

    @Argument(help: ArgumentHelp("The file to write.", valueName: "path"))
    var path: String

    func run() throws {
        if self.preshared { return try self.makePresharedKey() }
        let key = SecretKey(entropy: .kernel())
        try self.write(key.keyFileText(created: Self.now()))
        Terminal.complain(KeygenAdvice.text(path: self.path, publicKey: key.publicKey.description))
        Terminal.print(key.publicKey.description)
    }

    private func makePresharedKey() throws {
        let key = PresharedKey(entropy: .kernel())
        try self.write(key.keyFileText(created: Self.now()))
        Terminal.complain(KeygenAdvice.presharedText(path: self.path))
    }

    private func write(_ text: String) throws {
        do throws(KeygenFailure) {
            try Self.write(text, to: self.path)
        } catch {
            Terminal.complain("fairlead keygen: \(error)")
            throw CommandExit.failure
        }
    }

    /// The time in UTC as RFC 3339 writes it.
    private static func now() -> String {
        var seconds = time(nil)
        var parts = tm()
        gmtime_r(&seconds, &parts)
        var text = [CChar](repeating: 0, count: 32)
        let count = strftime(&text, text.count, "%Y-%m-%dT%H:%M:%SZ", &parts)
        return String(decoding: text[..<count].map { UInt8(bitPattern: $0) }, as: UTF8.self)
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

/// What to do with a new key, as blocks to paste.
enum KeygenAdvice {
    static func text(path: String, publicKey: String) -> String {
        let path = Self.quoted(path)
        return """
            Wrote the private key to \(path), for its owner only. It never leaves this machine; \
            what others need is the public key.

            # For the server's key. server.toml (paths are relative to the file's folder):
            private_key = \(path)
            # and in every client.toml:
            server_public_key = "\(publicKey)"

            # For a client's key. client.toml:
            private_key = \(path)
            # and in server.toml:
            [[peer]]
            name = "edge-1"
            public_key = "\(publicKey)"
            services = ["*"]

            The public key:
            """
    }

    static func presharedText(path: String) -> String {
        let path = Self.quoted(path)
        return """
            Wrote a preshared key to \(path), for its owner only. Both ends need the same file; \
            copy it over a channel you trust, such as scp.

            # client.toml, before the first [[forward]] (paths are relative to the file's folder):
            preshared_key = \(path)
            # and in server.toml, in the [[peer]] of that client:
            preshared_key = \(path)
            """
    }

    /// A basic string of TOML.
    private static func quoted(_ text: String) -> String {
        var result = ""
        for scalar in text.unicodeScalars {
            switch scalar.value {
            case 0x22, 0x5C: result += "\\\(scalar)"
            case 0..<0x20, 0x7F:
                result += "\\u00" + (scalar.value < 16 ? "0" : "") + String(scalar.value, radix: 16)
            default: result.unicodeScalars.append(scalar)
            }
        }
        return "\"\(result)\""
    }
}

struct PubkeyCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "pubkey",
        abstract: "Print the public key of a private key file."
    )

    @Argument(help: ArgumentHelp("The private key's file.", valueName: "path"))
    var path: String

    @OptionGroup var keyOptions: KeyOptions

    func run() throws {
        let file = KeyFile(path: self.path, location: self.path)
        do throws(KeyFileRefusal) {
            let key = try file.load(groupReadable: self.keyOptions.groupReadableKeys)
            Terminal.print(key.publicKey.description)
        } catch {
            Terminal.complain("fairlead pubkey: \(error)")
            throw CommandExit.failure
        }
    }
}

/// What every command that reads private keys understands.
struct KeyOptions: ParsableArguments {
    @Flag(help: "Accept private key files that their group can read (mode 0640).")
    var groupReadableKeys = false
}
