import Glibc
import LinuxIO
import Netem
import Primitives

/// `fairlead-relay`: see ``RelayOptions/usage``.
@main
enum Main {
    static func main() {
        let arguments = Array(CommandLine.arguments.dropFirst())
        if arguments.isEmpty || arguments.contains("--help") {
            print(RelayOptions.usage)
            exit(arguments.isEmpty ? 2 : 0)
        }
        do {
            let options = try RelayOptions(arguments, at: BootClock().now())
            guard let target = options.target else { throw RelayMistake("--target is missing") }
            let relay = try Relay(options, target: target)
            print("ready listen=\(relay.address) target=\(target)")
            fflush(nil)
            try relay.run()
            Self.report("up  ", relay.counters.up)
            Self.report("down", relay.counters.down)
        } catch let mistake as RelayMistake {
            Self.complain(mistake.message)
            exit(2)
        } catch {
            Self.complain("\(error)")
            exit(1)
        }
    }

    private static func complain(_ text: String) {
        let line = "fairlead-relay: \(text)\n"
        _ = line.withCString { write(STDERR_FILENO, $0, strlen($0)) }
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
