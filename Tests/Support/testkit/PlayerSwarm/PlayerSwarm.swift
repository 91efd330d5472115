public import ArgumentParser
import Glibc
import LinuxIO
public import Primitives

/// Load for the namespace tests and `contrib/bench`: thousands of UDP players, and what they play
/// with.
struct PlayerSwarm: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "player-swarm",
        abstract: "Thousands of UDP players, and the game server they play with.",
        discussion: """
            A game server answers each line of its standard input with its counts. Players take \
            `greet FROM UNTIL SECONDS` and `play RATE SECONDS`, and answer with what came of it. \
            All answers are JSON.
            """,
        subcommands: [Echo.self, Sink.self, Play.self]
    )

    struct Echo: ParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Send every datagram back.")

        @Argument(help: "Where to listen.") var address: SocketAddress

        func run() throws { try PlayerSwarm.serve(self.address, echoes: true) }
    }

    struct Sink: ParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Count datagrams.")

        @Argument(help: "Where to listen.") var address: SocketAddress

        func run() throws { try PlayerSwarm.serve(self.address, echoes: false) }
    }

    struct Play: ParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Be the players.")

        @Argument(help: "Where the players play.") var target: SocketAddress
        @Argument(help: "The first player's address.") var firstPlayer: SocketAddress
        @Argument(help: "How many there are.") var players: Int
        @Argument(help: "How many of them share an address.") var ports: Int
        @Argument(help: "The first port of each address.") var firstPort: UInt16
        @Argument(help: "Bytes a datagram.") var bytes: Int

        func validate() throws {
            let isFitting = Saying.byteCount...65_507 ~= self.bytes
            guard self.players > 0, self.ports > 0, isFitting else {
                throw ValidationError(
                    "players and ports are at least 1, bytes \(Saying.byteCount) to 65507"
                )
            }
        }

        func run() throws {
            var plan = Swarm.Plan()
            plan.target = self.target
            plan.first = self.firstPlayer
            plan.players = self.players
            plan.ports = self.ports
            plan.firstPort = self.firstPort
            plan.byteCount = self.bytes
            let swarm = try Swarm(plan)
            PlayerSwarm.say(#"{"ready": true}"#)
            while let line = readLine() { PlayerSwarm.obey(line, swarm) }
        }
    }

    fileprivate static func serve(_ address: SocketAddress, echoes: Bool) throws {
        let backend = try Backend(address, echoes: echoes)
        Self.say(#"{"ready": true}"#)
        try backend.run()
    }

    fileprivate static func obey(_ line: String, _ swarm: Swarm) {
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

    fileprivate static func say(_ line: String) {
        print(line)
        fflush(nil)
    }
}

extension SocketAddress: ExpressibleByArgument {
    /// An IP address and a port.
    public init?(argument: String) { self.init(argument) }
}
