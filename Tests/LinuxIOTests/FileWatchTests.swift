import Glibc
import Testing

@testable import LinuxIO

/// Files that change in the ways that editors and orchestrators change them.
@Suite struct FileWatchTests {
    private let folder: String

    init() throws {
        var template = Array("/tmp/fairlead-watch-XXXXXX".utf8CString)
        let made = template.withUnsafeMutableBufferPointer { buffer in
            buffer.baseAddress.flatMap { mkdtemp($0) }.map { String(cString: $0) }
        }
        self.folder = try #require(made)
    }

    private func write(_ name: String, _ text: String) throws {
        let file = try #require(fopen("\(self.folder)/\(name)", "w"))
        fputs(text, file)
        fclose(file)
    }

    private func link(_ name: String, to target: String) {
        let new = "\(self.folder)/\(name).new"
        #expect(symlink(target, new) == 0)
        #expect(rename(new, "\(self.folder)/\(name)") == 0)
    }

    @Test func aFileThatIsWrittenOrReplacedIsNoticed() throws {
        try self.write("a.toml", "one")
        let watch = try FileWatch("\(self.folder)/a.toml")
        #expect(!watch.takeEvents() && !watch.takeChange())
        try self.write("a.toml", "longer")
        #expect(watch.takeEvents())
        #expect(watch.takeChange())
        #expect(!watch.takeChange())
        try self.write("b.toml", "another")
        #expect(watch.takeEvents())
        // Not this one.
        #expect(!watch.takeChange())
        #expect(rename("\(self.folder)/b.toml", "\(self.folder)/a.toml") == 0)
        #expect(watch.takeEvents())
        #expect(watch.takeChange())
        // Gone for the moment, which editors do; then as it was, or new.
        #expect(unlink("\(self.folder)/a.toml") == 0)
        #expect(watch.takeEvents() && !watch.takeChange())
        try self.write("a.toml", "new")
        #expect(watch.takeEvents())
        #expect(watch.takeChange())
    }

    /// As the kubelet lays out a ConfigMap: `a.toml` → `..data/a.toml`, `..data` → a folder.
    @Test func linksThatLeadElsewhereAreNoticed() throws {
        for number in ["1", "2"] {
            #expect(mkdir("\(self.folder)/..v\(number)", 0o755) == 0)
            try self.write("..v\(number)/a.toml", "version \(number)\(number)")
        }
        self.link("..data", to: "..v1")
        self.link("a.toml", to: "..data/a.toml")
        let watch = try FileWatch("\(self.folder)/a.toml")
        #expect(!watch.takeChange())
        self.link("..data", to: "..v2")
        #expect(watch.takeEvents())
        #expect(watch.takeChange())
        // The new place is watched from now on.
        try self.write("..v2/a.toml", "version 3")
        #expect(watch.takeEvents())
        #expect(watch.takeChange())
    }

    @Test func linksInACircleEnd() {
        self.link("x", to: "y")
        self.link("y", to: "x")
        #expect(!FileWatch.steps(to: "\(self.folder)/x").isEmpty)
    }
}
