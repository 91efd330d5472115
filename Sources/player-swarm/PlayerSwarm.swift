import Glibc
import LinuxIO
import Primitives

/// Load for the namespace tests and `contrib/bench`: thousands of UDP players, and what they play
/// with.
///
/// ```
/// player-swarm echo|sink ADDRESS
/// player-swarm play TARGET FIRST-PLAYER PLAYERS PORTS FIRST-PORT BYTES
/// ```
///
/// A backend answers each line of its standard input with its counts. Players take `greet FROM
/// UNTIL SECONDS` and `play RATE SECONDS`, and answer with what came of it. All answers are JSON.
@main
enum PlayerSwarm {
    static func main() {
        let words = Array(CommandLine.arguments.dropFirst())
        do throws(IOError) {
            switch words.first {
            case "echo" where words.count == 2, "sink" where words.count == 2:
                guard let address = SocketAddress(words[1]) else { Self.misuse() }
                let backend = try Backend(address, echoes: words[0] == "echo")
                Self.say(#"{"ready": true}"#)
                try backend.run()
            case "play" where words.count == 7:
                let swarm = try Swarm(Self.plan(words))
                Self.say(#"{"ready": true}"#)
                while let line = readLine() { Self.obey(line, swarm) }
            default: Self.misuse()
            }
        } catch {
            Self.complain("\(error)")
            exit(1)
        }
    }

    private static func plan(_ words: [String]) -> Swarm.Plan {
        var plan = Swarm.Plan()
        guard let target = SocketAddress(words[1]), let first = SocketAddress(words[2]),
            let players = Int(words[3]), let ports = Int(words[4]),
            let firstPort = UInt16(words[5]), let byteCount = Int(words[6]), players > 0,
            ports > 0, byteCount >= Saying.byteCount, byteCount <= 65_507
        else { Self.misuse() }
        plan.target = target
        plan.first = first
        plan.players = players
        plan.ports = ports
        plan.firstPort = firstPort
        plan.byteCount = byteCount
        return plan
    }

    private static func obey(_ line: String, _ swarm: Swarm) {
        let words = line.split(separator: " ").map(String.init)
        let numbers = words.dropFirst().compactMap(Double.init)
        switch words.first {
        case "greet" where numbers.count == 3:
            let range = Int(numbers[0])..<Int(numbers[1])
            let limit = Instant.Interval.milliseconds(UInt64(numbers[2] * 1000))
            Self.tell(swarm.greet(range, atMost: limit))
        case "play" where numbers.count == 2:
            Self.tell(swarm.play(rate: numbers[0], seconds: numbers[1]))
        default: Self.say(#"{"error": "greet FROM UNTIL SECONDS, play RATE SECONDS"}"#)
        }
    }

    private static func tell(_ tally: Swarm.Tally) {
        let quantile = { (part: Double) in
            tally.delays.isEmpty ? 0 : tally.delays[Int(Double(tally.delays.count - 1) * part)]
        }
        Self.say(
            #"{"sent": \#(tally.sent), "received": \#(tally.received), "#
                + #""repeated": \#(tally.repeated), "misled": \#(tally.misled), "#
                + #""seconds": \#(tally.seconds), "p50_us": \#(quantile(0.5)), "#
                + #""p99_us": \#(quantile(0.99)), "max_us": \#(quantile(1))}"#
        )
    }

    private static func say(_ line: String) {
        print(line)
        fflush(nil)
    }

    private static func complain(_ text: String) {
        let line = "player-swarm: \(text)\n"
        _ = line.withCString { write(STDERR_FILENO, $0, strlen($0)) }
    }

    private static func misuse() -> Never {
        Self.complain("usage: see PlayerSwarm.swift")
        exit(2)
    }
}
