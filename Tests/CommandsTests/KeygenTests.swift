import Configuration
import Foundation
import Sealing
import Testing

@Suite struct KeygenTests {
    @Test func printsThePublicKeyAloneAndKeepsThePrivateOne() throws {
        let folder = try TemporaryFolder()
        let made = try Program.run("fairlead", "keygen", "a.key", in: folder.path)
        #expect(made.status == 0)
        let publicKey = try #require(made.output.split(separator: "\n").first.map(String.init))
        #expect(made.output == publicKey + "\n")
        #expect(PublicKey(base64: publicKey) != nil)
        // Advice is for people at a terminal.
        #expect(made.errors.isEmpty)
        let attributes = try FileManager.default.attributesOfItem(atPath: folder.file("a.key"))
        #expect((attributes[.posixPermissions] as? Int) == 0o600)
        let text = try String(contentsOfFile: folder.file("a.key"), encoding: .utf8)
        let secret = try #require(text.split(separator: ":").last)
        #expect(!made.errors.contains(secret.dropLast()))
        let again = try Program.run("fairlead", "pubkey", "a.key", in: folder.path)
        #expect(again.output == made.output)
        #expect(again.status == 0)
    }

    @Test func writesToFilesOnly() throws {
        let folder = try TemporaryFolder()
        let made = try Program.run("fairlead", "keygen", "-", in: folder.path)
        #expect(made.status == 2)
        #expect(made.output.isEmpty)
        #expect(made.errors.contains("write ./-"))
        #expect(!FileManager.default.fileExists(atPath: folder.file("-")))
    }

    @Test func warnsOfFoldersThatWebServersHandOut() throws {
        let folder = try TemporaryFolder()
        for name in ["public", "www", "htdocs", "publications"] {
            try FileManager.default.createDirectory(
                atPath: folder.file("\(name)/keys"),
                withIntermediateDirectories: true
            )
            let path = "\(name)/keys/a.key"
            let made = try Program.run("fairlead", "keygen", path, in: folder.path)
            #expect(made.status == 0)
            #expect(made.errors.contains("warning") == (name != "publications"), "\(made.errors)")
        }
        // Nor by the way that leads there.
        let inside = folder.file("www/keys")
        let made = try Program.run("fairlead", "keygen", "b.key", in: inside)
        #expect(made.errors.contains("warning"))
    }

    @Test func neverOverwrites() throws {
        let folder = try TemporaryFolder()
        try folder.write("precious", to: "a.key")
        try FileManager.default.createSymbolicLink(
            atPath: folder.file("link"),
            withDestinationPath: folder.file("elsewhere")
        )
        for name in ["a.key", "link"] {
            let made = try Program.run("fairlead", "keygen", name, in: folder.path)
            #expect(made.status == 1)
            #expect(made.output.isEmpty)
            #expect(made.errors.contains("\(name) exists and is left as it is"))
        }
        #expect(try String(contentsOfFile: folder.file("a.key"), encoding: .utf8) == "precious")
        #expect(!FileManager.default.fileExists(atPath: folder.file("elsewhere")))
        let made = try Program.run("fairlead", "keygen", "none/a.key", in: folder.path)
        #expect(made.status == 1)
        #expect(made.errors.contains("the folder of none/a.key does not exist"))
    }

    @Test func refusesKeysThatOthersCanRead() throws {
        let folder = try TemporaryFolder()
        _ = try Program.run("fairlead", "keygen", "a.key", in: folder.path)
        chmod(folder.file("a.key"), 0o640)
        let refused = try Program.run("fairlead", "pubkey", "a.key", in: folder.path)
        #expect(refused.status == 1)
        #expect(
            refused.errors
                == "fairlead pubkey: got \"a.key\" with mode 0640, expected a file that only its"
                + " owner can read: chmod 600 a.key, or --key-mode group where the mode cannot be"
                + " changed\n"
        )
        for flags in [["--group-readable-keys"], ["--key-mode", "group"], ["--key-mode", "any"]] {
            let shown = try Program.run("fairlead", ["pubkey", "a.key"] + flags, in: folder.path)
            #expect(shown.status == 0, "\(shown.errors)")
        }
    }

    @Test func makesAPresharedKey() throws {
        let folder = try TemporaryFolder()
        let flag = "--preshared"
        let made = try Program.run("fairlead", "keygen", flag, "a.psk", in: folder.path)
        #expect(made.status == 0 && made.output.isEmpty)
        #expect(made.errors.isEmpty)
        let attributes = try FileManager.default.attributesOfItem(atPath: folder.file("a.psk"))
        #expect((attributes[.posixPermissions] as? Int) == 0o600)
        let text = try String(contentsOfFile: folder.file("a.psk"), encoding: .utf8)
        #expect(text.contains("\nFAIRLEAD-PRESHARED-KEY:"))
        #expect(throws: Never.self) { _ = try PresharedKey(keyFileText: text) }
        let secret = try #require(text.split(separator: ":").last)
        #expect(!made.errors.contains(secret.dropLast()))
        let again = try Program.run("fairlead", "keygen", flag, "a.psk", in: folder.path)
        #expect(again.status == 1 && again.errors.contains("a.psk exists and is left as it is"))
        #expect(try String(contentsOfFile: folder.file("a.psk"), encoding: .utf8) == text)
    }
}
