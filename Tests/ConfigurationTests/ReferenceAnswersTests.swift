import Testing

@testable import Configuration

/// What `fairlead help config` prints.
@Suite struct ReferenceAnswersTests {
    @Test func tellsEverythingAboutAKey() {
        let expected = """
            peer.max_streams: How many TCP connections the key may have at a time, over all
            its sessions.

              where    [[peer]], in a server's file
              value    an integer from 1 to 10000000 (streams)
              default  4096
              reload   The new value applies to what is opened from then on.
              since    0.1.0

            Flows with delivery = "reliable" count as well.

            Example:

              [[peer]]
              max_streams = 500
            """
        #expect(ReferenceAnswers.answer(to: "peer.max_streams") == expected)
        #expect(ReferenceAnswers.answer(to: "max_streams") == expected)
    }

    @Test func aNameOfSeveralTablesShowsAll() throws {
        let answer = try #require(ReferenceAnswers.answer(to: "max_flows"))
        for path in ["server.max_flows: ", "client.max_flows: ", "peer.max_flows: "] {
            #expect(answer.contains(path))
        }
        let one = try #require(ReferenceAnswers.answer(to: "client.max_flows"))
        #expect(one.hasPrefix("client.max_flows: ") && !one.contains("peer.max_flows"))
    }

    @Test(arguments: [
        "service.health.interval", "health.interval", "backends.weight", "backend.weight",
        "[[peer]]", "server", "health",
    ])
    func findsPlaces(word: String) {
        #expect(ReferenceAnswers.answer(to: word) != nil)
    }

    @Test func listsEveryKey() {
        let overview = ReferenceAnswers.overview()
        for key in KeyReference.all { #expect(overview.contains("\n  \(key.name) ")) }
        for line in overview.split(separator: "\n") { #expect(line.count <= 80, "\(line)") }
    }

    @Test(arguments: [
        ("max_stream", "max_streams"), ("peer.max_stream", "peer.max_streams"),
        ("helth", "health"), ("backends.wieght", "backends.weight"),
        ("ideltimeout", "idle_timeout"),
    ])
    func suggests(word: String, near: String) {
        #expect(ReferenceAnswers.answer(to: word) == nil)
        #expect(ReferenceAnswers.suggestion(for: word) == near)
    }

    @Test(arguments: ["weather", "", ".", "peer.", "zzzz.name", "peer.listen"])
    func hasNoAnswer(word: String) {
        #expect(ReferenceAnswers.answer(to: word) == nil)
    }
}
