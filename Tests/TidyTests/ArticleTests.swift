import Foundation
import Testing

/// The engine's articles quote programs that are built and run: see contrib/check-engine.sh.
@Suite struct ArticleTests {
    @Test(arguments: [("TwoEnginesInMemory", "InMemory"), ("YourOwnEventLoop", "EventLoop")])
    func quotesItsProgram(article: String, program: String) throws {
        let page = try #require(Tree.text("Sources/Session/Session.docc/\(article).md"))
        let path = "examples/engine/Sources/\(program)/\(program).swift"
        let code = Self.lines(of: try #require(Tree.text(path)))
        let blocks = Self.blocks(of: page)
        #expect(blocks.count >= 4)
        for block in blocks {
            #expect(code.contains(block), "\(article) quotes what \(path) does not say:\n\(block)")
        }
    }

    @Test func noticesAnotherLine() {
        let block = Self.blocks(of: "```swift\nlet a = 1\nlet b = 2\n```\n")
        #expect(Self.lines(of: "  let a = 1\n  let b = 2\n").contains(block[0]))
        #expect(!Self.lines(of: "  let a = 1\n\n  let b = 2\n").contains(block[0]))
    }

    /// The Swift in `page`, each block as lines without their indentation.
    private static func blocks(of page: String) -> [[Substring]] {
        page.components(separatedBy: "```swift\n").dropFirst().map { rest in
            Self.lines(of: rest.components(separatedBy: "```")[0]).dropLast()
        }
    }

    private static func lines(of text: String) -> [Substring] {
        text.split(separator: "\n", omittingEmptySubsequences: false).map {
            $0.drop { $0 == " " }
        }
    }
}
