import Foundation
import Glibc
import Primitives
import Sealing
import Testing

@testable import Configuration

/// A folder of its own for one test, gone afterwards.
final class TemporaryFolder {
    let path: String

    init() throws {
        var template = Array("/tmp/fairlead-test-XXXXXX\0".utf8).map { CChar(bitPattern: $0) }
        let made = try #require(mkdtemp(&template))
        self.path = String(cString: made)
    }

    deinit {
        try? FileManager.default.removeItem(atPath: self.path)
    }

    /// Writes a file and returns its path.
    func write(_ text: String, to name: String, mode: mode_t = 0o600) throws -> String {
        let path = "\(self.path)/\(name)"
        let file = try #require(fopen(path, "w"))
        fputs(text, file)
        fclose(file)
        chmod(path, mode)
        return path
    }
}

@Suite struct KeyFileTests {
    private static let text = SecretKey(entropy: .seeded(1)).keyFileText(created: "2026-01-01")

    private func got(_ path: String, _ mode: KeyMode = .strict) -> String? {
        do {
            _ = try KeyFile(path: "k", location: path).load(mode)
            return nil
        } catch {
            return error.description.replacing(path, with: "PATH")
        }
    }

    @Test func readsWhatOnlyItsOwnerCanRead() throws {
        let folder = try TemporaryFolder()
        let path = try folder.write(Self.text, to: "a.key")
        let key = try KeyFile(path: "a", location: path).load()
        #expect(key.publicKey == SecretKey(entropy: .seeded(1)).publicKey)
        chmod(path, 0o400)
        #expect(self.got(path) == nil)
        let bare = try #require(Self.text.split(separator: ":").last)
        #expect(self.got(try folder.write(String(bare), to: "wireguard.key")) == nil)
    }

    /// Each mode, and the strictest key mode that takes it.
    @Test(
        arguments: [
            (0o640, .group), (0o440, .group), (0o644, .any), (0o444, .any), (0o604, .any),
            (0o601, .any), (0o620, nil), (0o666, nil),
        ] as [(mode_t, KeyMode?)]
    )
    func refusesWhatOthersCanReach(mode: mode_t, accepting: KeyMode?) throws {
        let folder = try TemporaryFolder()
        let path = try folder.write(Self.text, to: "a.key", mode: mode)
        let octal = "0" + String(mode, radix: 8)
        #expect(
            self.got(path)
                == "got \"k\" with mode \(octal), expected a file that only its owner can read:"
                + " chmod 600 PATH"
                + (accepting.map { ", or --key-mode \($0) where the mode cannot be changed" } ?? "")
        )
        #expect((self.got(path, .group) == nil) == (accepting == .group))
        #expect((self.got(path, .any) == nil) == (accepting != nil))
    }

    @Test func saysWhatIsWrongWithAFile() throws {
        let folder = try TemporaryFolder()
        mkfifo("\(folder.path)/pipe", 0o600)
        #expect(
            self.got("\(folder.path)/pipe")
                == "got \"k\" which is no ordinary file, expected the path of a key file"
        )
        #expect(self.got(folder.path)?.contains("which is no ordinary file") == true)
        #expect(
            self.got("\(folder.path)/none")
                == "got \"k\" which does not exist, expected a key file; make one: fairlead keygen"
                + " PATH"
        )
        for (index, contents) in ["", "# only\n", "short\n", Self.text + Self.text].enumerated() {
            let path = try folder.write(contents, to: "bad\(index).key")
            let message = try #require(self.got(path))
            #expect(message.hasPrefix("got \"k\" in which "), "\(message)")
            #expect(!message.contains("\n"))
        }
        let huge = try folder.write(String(repeating: "#\n", count: 4096), to: "huge.key")
        #expect(self.got(huge)?.hasPrefix("got \"k\" of 4096 bytes or more") == true)
    }

    private static let preshared =
        PresharedKey(entropy: .seeded(3)).keyFileText(created: "2026-01-01")

    @Test func presharedKeysFollowTheSameRules() throws {
        let folder = try TemporaryFolder()
        let got = { (path: String, mode: KeyMode) -> String? in
            do throws(KeyFileRefusal) {
                _ = try KeyFile(path: "k", location: path)
                    .loadPreshared(mode)
                return nil
            } catch {
                return error.description.replacing(path, with: "PATH")
            }
        }
        let path = try folder.write(Self.preshared, to: "a.psk")
        #expect(got(path, .strict) == nil)
        chmod(path, 0o640)
        #expect(
            got(path, .strict)
                == "got \"k\" with mode 0640, expected a file that only its owner can read:"
                + " chmod 600 PATH, or --key-mode group where the mode cannot be changed"
        )
        #expect(got(path, .group) == nil)
        symlink(path, "\(folder.path)/link")
        #expect(got("\(folder.path)/link", .group) == nil)
        #expect(
            got("\(folder.path)/none", .strict)
                == "got \"k\" which does not exist, expected a key file; make one: fairlead keygen"
                + " --preshared PATH"
        )
        #expect(
            got(try folder.write(Self.text, to: "private.key"), .strict)
                == "got \"k\" in which line 3 is not a preshared key, expected"
                + " FAIRLEAD-PRESHARED-KEY:<44 base64 characters>, expected a key file as"
                + " fairlead keygen --preshared or wg genpsk writes it"
        )
    }

    @Test func loadsPresharedKeysOfBothFiles() throws {
        let folder = try TemporaryFolder()
        mkdir("\(folder.path)/keys", 0o700)
        for name in ["server", "client"] { _ = try folder.write(Self.text, to: "keys/\(name).key") }
        _ = try folder.write(Self.preshared, to: "keys/edge.psk")
        let peer = { (name: String, key: String, extra: String) in
            "[[peer]]\nname = \"\(name)\"\npublic_key = \"\(key)\"\nservices = []\n\(extra)\n"
        }
        let line = "preshared_key = \"keys/edge.psk\""
        let text = Samples.server(peer("a", Samples.key, line) + peer("b", Samples.otherKey, ""))
        let server = try ServerConfiguration.load(
            path: try folder.write(text, to: "server.toml")
        )
        let known = try #require(PublicKey(base64: Samples.key))
        #expect(server.presharedKeys == [known: PresharedKey(entropy: .seeded(3))])
        #expect(server.configuration.peers[0].presharedKey?.path == "keys/edge.psk")
        let client = try ClientConfiguration.load(
            path: try folder.write(Samples.clientHead + line + "\n", to: "client.toml")
        )
        #expect(client.presharedKey == PresharedKey(entropy: .seeded(3)))
        chmod("\(folder.path)/keys/edge.psk", 0o644)
        let errors = { (load: () throws(ConfigurationError) -> Void) -> [Complaint] in
            do throws(ConfigurationError) { try load() } catch { return error.complaints }
            return []
        }
        let atServer = errors { () throws(ConfigurationError) in
            _ = try ServerConfiguration.load(path: "\(folder.path)/server.toml")
        }
        #expect(atServer.map(\.line) == [11] && atServer.map(\.key) == ["preshared_key"])
        let atClient = errors { () throws(ConfigurationError) in
            _ = try ClientConfiguration.load(path: "\(folder.path)/client.toml")
        }
        #expect(atClient.map(\.line) == [4] && atClient.map(\.key) == ["preshared_key"])
    }

    @Test func loadsAFileWithItsKeyBesideIt() throws {
        let folder = try TemporaryFolder()
        mkdir("\(folder.path)/keys", 0o700)
        let key = try folder.write(Self.text, to: "keys/server.key")
        let path = try folder.write(Samples.server(), to: "server.toml")
        let loaded = try ServerConfiguration.load(path: path)
        #expect(loaded.privateKey.publicKey == SecretKey(entropy: .seeded(1)).publicKey)
        #expect(loaded.configuration.privateKey.location == key)
    }

    @Test func tellsAboutTheKeyAmongTheOtherMistakes() throws {
        let folder = try TemporaryFolder()
        let path = try folder.write(Samples.server("origin = \"x\""), to: "server.toml")
        do {
            _ = try ServerConfiguration.load(path: path)
            Issue.record("loaded without a key")
        } catch {
            #expect(error.complaints.map(\.line) == [2, 7])
            let first = try #require(error.lines.first)
            #expect(
                first.hasPrefix(
                    "\(path):2: private_key: got \"keys/server.key\" which does not exist, expected"
                )
            )
        }
    }

    @Test func tellsAboutFilesItCannotRead() throws {
        let folder = try TemporaryFolder()
        let error = { (path: String) -> String? in
            do throws(ConfigurationError) {
                _ = try ClientConfiguration.load(path: path)
                return nil
            } catch {
                return error.description.replacing(path, with: "F")
            }
        }
        let form = "expected a readable text file in TOML of at most 1 MiB"
        #expect(
            error("\(folder.path)/none") == "F:1: file: got no such file or directory, \(form)"
        )
        #expect(error(folder.path) == "F:1: file: got is a directory, \(form)")
        let path = "\(folder.path)/latin1.toml"
        let file = try #require(fopen(path, "w"))
        fwrite([97, 10, 0xE4, 10] as [UInt8], 1, 4, file)
        fclose(file)
        #expect(
            error(path) == "F:2: syntax: got bytes that are not UTF-8, expected a text in UTF-8"
        )
    }

    /// A key made there would be lost with the unit, and the unit would not use it.
    @Test func sendsNobodyIntoSystemdsFolder() {
        let path = "/run/credentials/fairlead-none.service/server.key"
        do throws(KeyFileRefusal) {
            _ = try KeyFile(path: path, location: path).load()
            Issue.record("read \(path)")
        } catch {
            #expect(error.expected.contains("LoadCredential="))
            #expect(!error.expected.contains("keygen"))
        }
    }
}
