import Foundation
import Testing

@Suite struct HelpTests {
    @Test func explainsCommandsAsBefore() throws {
        let help = try Program.run("fairlead", "help", "status", in: "/tmp")
        #expect(help.status == 0)
        #expect(help.output.contains("USAGE: fairlead status"))
        #expect(try Program.run("fairlead", "help", "lab", "run", in: "/tmp").status == 0)
        let all = try Program.run("fairlead", "help", in: "/tmp")
        #expect(all.output == (try Program.run("fairlead", "--help", in: "/tmp")).output)
    }

    @Test func explainsKeys() throws {
        let key = try Program.run("fairlead", "help", "config", "peer.max_streams", in: "/tmp")
        #expect(key.status == 0)
        #expect(key.output.hasPrefix("peer.max_streams: "))
        let all = try Program.run("fairlead", "help", "config", in: "/tmp")
        #expect(all.output.contains("\n  max_streams "))
    }

    @Test(arguments: [
        (["help", "config", "max_stream"], "did you mean max_streams?"),
        (["help", "docter"], "did you mean doctor?"),
        (["help", "confg"], "did you mean config?"),
        (["help", "config", "weather"], "fairlead help config lists all"),
    ])
    func suggests(arguments: [String], hint: String) throws {
        let run = try Program.run("fairlead", arguments, in: "/tmp")
        #expect(run.status == 2)
        #expect(run.errors.contains(hint), "\(run.errors)")
    }

    @Test func writesThePage() throws {
        let run = try Program.run("fairlead", "help", "config", "--markdown", in: "/tmp")
        #expect(run.output.hasPrefix("# Configuration\n"))
    }
}
