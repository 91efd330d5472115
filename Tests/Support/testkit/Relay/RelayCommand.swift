import ArgumentParser
import Glibc
import LinuxIO
import Netem
import Primitives

/// `testkit relay`: see ``RelayOptions/usage``.
struct RelayCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "relay",
        abstract: "Pass UDP over a path as bad as you like.",
        usage: "testkit relay --listen ADDRESS:PORT --target ADDRESS:PORT [OPTION VALUE]...",
        discussion: RelayOptions.usage
    )

    /// Each option exists three times, for both directions and for each: the relay reads them.
    @Argument(parsing: .captureForPassthrough, help: .hidden)
    var words: [String] = []

    func run() throws {
        if self.words.contains("--help") || self.words.contains("-h") {
            throw CleanExit.helpRequest(self)
        }
        let options: RelayOptions
        do throws(RelayMistake) {
            options = try RelayOptions(self.words, at: BootClock().now())
        } catch {
            throw ValidationError(error.message)
        }
        guard let target = options.target else { throw ValidationError("--target is missing") }
        let relay = try Relay(options, target: target)
        print("ready listen=\(relay.address) target=\(target)")
        fflush(nil)
        try relay.run()
        Self.report("up  ", relay.counters.up)
        Self.report("down", relay.counters.down)
    }

    private static func report(_ name: String, _ counters: LinkCounters) {
        let lost = counters.lostRandomly + counters.lostByChain + counters.lostInBursts
        print(
            "\(name) sent=\(counters.sent) delivered=\(counters.delivered) lost=\(lost)",
            "outage=\(counters.lostInOutages) queue=\(counters.droppedByQueue)",
            "mtu=\(counters.droppedTooLarge) storage=\(counters.droppedByStorage)",
            "duplicated=\(counters.duplicated) reordered=\(counters.reordered)",
            "corrupted=\(counters.corrupted) bytes=\(counters.bytesDelivered)"
        )
    }
}
