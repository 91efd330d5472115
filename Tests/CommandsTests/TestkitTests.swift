import Foundation
import Testing

/// The tests' own program is asked like any other.
@Suite struct TestkitTests {
    static let commands = [
        "soak", "trials", "echo", "budgets", "kernels", "relay", "kcp-peer", "player-swarm",
        "return-path-peer",
    ]

    @Test(arguments: Self.commands)
    func explainsItselfAtOnce(command: String) throws {
        let start = Date()
        let help = try Program.run("testkit", command, "--help", in: "/tmp")
        #expect(help.status == 0)
        #expect(help.output.contains("USAGE: testkit \(command)"), "\(help.output)")
        #expect(Date().timeIntervalSince(start) < 5)
        #expect(try Program.run("testkit", "help", in: "/tmp").output.contains("  \(command) "))
    }

    @Test(arguments: [
        (["trials", "--seed", "1"], "--seed"),
        (["trials", "--group", "weather"], "the groups are"),
        (["trials", "--seeds", "many"], "many"),
        (["soak", "--seed", "1", "--siege", "2"], "choose one"),
        (["echo", "--sessions", "0"], "at least 1"),
        (["relay", "--listen", "127.0.0.1:0"], "--target is missing"),
        (["relay", "--target", "127.0.0.1:9", "--up-weather", "bad"], "no option weather"),
        (["kcp-peer", "window=many"], "window=256"),
        (["player-swarm", "echo", "nowhere"], "nowhere"),
        (["budget"], "budget"),
    ])
    func saysWhatIsWrong(arguments: [String], hint: String) throws {
        let run = try Program.run("testkit", arguments, in: "/tmp")
        #expect(run.status == 2)
        #expect(run.errors.contains(hint), "\(run.errors)")
    }

    @Test func oneHistoryIsToldInFull() throws {
        let run = try Program.run("testkit", "soak", "--seed", "7", in: "/tmp")
        #expect(run.status == 0)
        #expect(run.output.contains("digest ") && run.output.contains("every promise was kept"))
    }
}
