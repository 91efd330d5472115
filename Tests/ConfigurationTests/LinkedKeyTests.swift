import Glibc
import Primitives
import Sealing
import Testing

@testable import Configuration

/// Keys as orchestrators lay them out: behind links, in folders with a date.
@Suite struct LinkedKeyTests {
    private static let text = SecretKey(entropy: .seeded(1)).keyFileText(created: "2026-01-01")

    private func got(_ path: String) -> String? {
        do throws(KeyFileRefusal) {
            _ = try KeyFile(path: "k", location: path).load()
            return nil
        } catch {
            return error.description
        }
    }

    /// A folder as Kubernetes mounts a secret: `client.key` → `..data/client.key`,
    /// `..data` → `..2026_01_01`.
    private func mounted(mode: mode_t = 0o1777) throws -> TemporaryFolder {
        let folder = try TemporaryFolder()
        mkdir("\(folder.path)/..2026_01_01", 0o755)
        _ = try folder.write(Self.text, to: "..2026_01_01/client.key", mode: 0o400)
        symlink("..2026_01_01", "\(folder.path)/..data")
        symlink("..data/client.key", "\(folder.path)/client.key")
        chmod(folder.path, mode)
        return folder
    }

    @Test func followsTheLinksOfASecret() throws {
        let folder = try self.mounted()
        #expect(self.got("\(folder.path)/client.key") == nil)
        symlink("\(folder.path)/client.key", "\(folder.path)/again")
        symlink("../../tmp/./..//\(folder.path)/again", "\(folder.path)/roundabout")
        #expect(self.got("\(folder.path)/again") == nil)
        #expect(self.got("\(folder.path)/roundabout") == nil)
    }

    @Test func refusesFoldersThatOthersMayWrite() throws {
        let folder = try self.mounted(mode: 0o777)
        let message = try #require(self.got("\(folder.path)/client.key"))
        #expect(
            message == "got \"k\" which is a symbolic link by way of \(folder.path), which others"
                + " may write, expected links and folders that only root and this user"
                + " (uid \(geteuid())) may change"
        )
        chmod(folder.path, 0o755)
        chmod("\(folder.path)/..2026_01_01", 0o775)
        #expect(self.got("\(folder.path)/client.key")?.contains("/..2026_01_01, which") == true)
    }

    /// Only root can give a link away.
    @Test(.enabled(if: geteuid() == 0))
    func refusesWhatBelongsToOthers() throws {
        let folder = try self.mounted()
        lchown("\(folder.path)/..data", 65_534, 65_534)
        let message = try #require(self.got("\(folder.path)/client.key"))
        #expect(message.contains("/..data, which belongs to uid 65534"), "\(message)")
        lchown("\(folder.path)/..data", 0, 0)
        lchown("\(folder.path)/..2026_01_01/client.key", 65_534, 65_534)
        #expect(self.got("\(folder.path)/client.key")?.contains("uid 65534") == true)
    }

    @Test func endsWhereLinksLeadNowhere() throws {
        let folder = try self.mounted()
        symlink("loop", "\(folder.path)/loop")
        symlink("none", "\(folder.path)/dangling")
        symlink(".", "\(folder.path)/here")
        #expect(self.got("\(folder.path)/loop")?.contains("too many symbolic links") == true)
        #expect(self.got("\(folder.path)/dangling")?.contains("does not exist") == true)
        #expect(self.got("\(folder.path)/here")?.contains("is a directory") == true)
        // The modes of the file behind the links count as ever.
        chmod("\(folder.path)/..2026_01_01/client.key", 0o444)
        #expect(self.got("\(folder.path)/client.key")?.contains("--key-mode any") == true)
    }
}
