import Foundation
import Testing

/// The files that docs/MIGRATION.md shows, each pair held against itself.
@Suite struct PagePairsTests {
    /// What stands between ```` ```toml ```` and ```` ``` ````, if it begins as a whole file does.
    private static func blocks(of page: String) -> [(end: String, text: String)] {
        page.components(separatedBy: "```toml\n").dropFirst().compactMap { rest in
            let text = rest.components(separatedBy: "```")[0]
            let end = ["server", "client"].first { text.hasPrefix("# \($0).toml, ") }
            return end.map { ($0, text) }
        }
    }

    @Test func everyPairOfThePagePasses() throws {
        let page = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
            .deletingLastPathComponent().deletingLastPathComponent()
            .appendingPathComponent("docs/MIGRATION.md")
        let text = try String(contentsOf: page, encoding: .utf8)
        let blocks = Self.blocks(of: text)
        // A pair for each tool, and no file that stands alone.
        let pairs = Array(repeating: ["server", "client"], count: 6)
        #expect(blocks.map(\.end) == pairs.flatMap(\.self))
        let folder = try TemporaryFolder()
        var keys: [String: String] = [:]
        for end in ["server", "client"] {
            let made = try Program.run("fairlead", "keygen", "\(end).key", in: folder.path)
            keys[end] = made.output.trimmingCharacters(in: .newlines)
        }
        for (end, text) in blocks {
            let other = end == "server" ? "client" : "server"
            let holder = "ReplaceThisWithThePublicKeyOfYour\(other.capitalized)0000="
            #expect(text.contains(holder))
            let filled = text.replacingOccurrences(of: holder, with: try #require(keys[other]))
            try folder.write(filled, to: "\(end).toml")
            guard end == "client" else { continue }
            let files = ["check", "server.toml", "client.toml"]
            let run = try Program.run("fairlead", files, in: folder.path)
            #expect(run.output == "ok\n" && run.errors.isEmpty, "\(run.errors)\(text)")
        }
    }
}
