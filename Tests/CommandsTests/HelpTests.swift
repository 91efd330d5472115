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
        (["help", "metrics", "drops"], "did you mean fairlead_drops_total?"),
        (["help", "metrics", "fairlead_sesions"], "did you mean fairlead_sessions?"),
        (["help", "metrics", "weather_in_the_bay_today"], "fairlead help metrics lists all"),
    ])
    func suggests(arguments: [String], hint: String) throws {
        let run = try Program.run("fairlead", arguments, in: "/tmp")
        #expect(run.status == 2)
        #expect(run.errors.contains(hint), "\(run.errors)")
    }

    @Test func explainsMetrics() throws {
        let metric = try Program.run("fairlead", "help", "metrics", "bytes_total", in: "/tmp")
        #expect(metric.output.hasPrefix("fairlead_bytes_total: "))
        #expect(metric.output.contains("labels: service, direction"))
        let reasons = try Program.run("fairlead", "help", "metrics", "drops_total", in: "/tmp")
        #expect(reasons.output.contains("    replayed: "))
        let all = try Program.run("fairlead", "help", "metrics", in: "/tmp")
        #expect(all.output.contains("\n  fairlead_backend_up "))
    }

    @Test func writesThePage() throws {
        let run = try Program.run("fairlead", "help", "config", "--markdown", in: "/tmp")
        #expect(run.output.hasPrefix("# Configuration\n"))
    }
}
