import Netem
import Primitives

/// What the command line of the relay says.
struct RelayOptions {
    var listen = SocketAddress(ipv4: 0x7F00_0001, port: 0)
    var target: SocketAddress?
    var up = Impairment()
    var down = Impairment()
    var seed: UInt64 = 1

    static let usage = """
        An option holds for both directions; --up-OPTION or --down-OPTION for one.
          --delay 30ms          one way            --jitter 5ms          keeps order
          --reordering-jitter 5ms                  --loss 1%             each packet alone
          --burst-loss 3%/40ms  share/mean length  --chain-loss 3%/5     share/mean packets
          --duplicate 1%        --reorder 1%       --corrupt 0.1%
          --rate 50mbps         --queue 65536      bytes before the bottleneck (drop tail)
          --mtu 1300            larger UDP payloads vanish
          --outage 5s/2s        start after the relay's start, and length; may be repeated
          --seed N              of the dice

        SIGHUP gives every client a new source port towards the target, as a NAT that forgot does.
        SIGTERM and SIGINT end the relay; it prints what became of the packets.
        """

    /// Reads `arguments` without the program's name; the message says which one is wrong.
    init(_ arguments: [String], at now: Instant) throws(RelayMistake) {
        var rest = arguments[...]
        while let name = rest.popFirst() {
            guard let value = rest.popFirst() else { throw RelayMistake("\(name) needs a value") }
            switch name {
            case "--listen": self.listen = try Self.address(value)
            case "--target": self.target = try Self.address(value)
            case "--seed": self.seed = try Self.number(value)
            default:
                if name.hasPrefix("--up-") {
                    try Self.set(&self.up, String(name.dropFirst(5)), value, now)
                } else if name.hasPrefix("--down-") {
                    try Self.set(&self.down, String(name.dropFirst(7)), value, now)
                } else if name.hasPrefix("--") {
                    try Self.set(&self.up, String(name.dropFirst(2)), value, now)
                    try Self.set(&self.down, String(name.dropFirst(2)), value, now)
                } else {
                    throw RelayMistake("\(name) is not an option")
                }
            }
        }
        if self.target == nil { throw RelayMistake("--target is missing") }
    }

    private static func set(
        _ impairment: inout Impairment,
        _ name: String,
        _ value: String,
        _ now: Instant
    ) throws(RelayMistake) {
        switch name {
        case "delay": impairment.delay = try Self.interval(value)
        case "jitter": impairment.jitter = try Self.interval(value)
        case "reordering-jitter":
            impairment.jitter = try Self.interval(value)
            impairment.jitterReorders = true
        case "loss": impairment.lossPartsPerMillion = try Self.share(value)
        case "burst-loss":
            let (loss, length) = try Self.pair(value)
            impairment.bursts = .averaging(
                lossPartsPerMillion: try Self.partialShare(loss),
                meanLength: try Self.interval(length)
            )
        case "chain-loss":
            let (loss, length) = try Self.pair(value)
            impairment.gilbertElliott = .averaging(
                lossPartsPerMillion: try Self.partialShare(loss),
                meanPackets: max(1, UInt32(clamping: try Self.number(length)))
            )
        case "duplicate": impairment.duplicationPartsPerMillion = try Self.share(value)
        case "reorder": impairment.reorderPartsPerMillion = try Self.share(value)
        case "corrupt": impairment.corruptionPartsPerMillion = try Self.share(value)
        case "rate": impairment.bitsPerSecond = try Self.rate(value)
        case "queue": impairment.queueByteCount = try Self.number(value)
        case "mtu": impairment.maximumPacketByteCount = Int(clamping: try Self.number(value))
        case "outage":
            let (start, length) = try Self.pair(value)
            let begin = now + (try Self.interval(start))
            impairment.outages.append(begin..<begin + (try Self.interval(length)))
        default: throw RelayMistake("there is no option \(name)")
        }
    }
}

/// What is wrong with a command line.
struct RelayMistake: Error {
    let message: String

    init(_ message: String) { self.message = message }
}

/// Reading of single values.
extension RelayOptions {
    private static func address(_ text: String) throws(RelayMistake) -> SocketAddress {
        guard let address = SocketAddress(text) else {
            throw RelayMistake("\(text) is not an IP address and port")
        }
        return address
    }

    private static func number(_ text: String) throws(RelayMistake) -> UInt64 {
        guard let number = UInt64(text) else { throw RelayMistake("\(text) is not a number") }
        return number
    }

    /// A decimal number with one of the suffixes, times what the suffix stands for.
    private static func scaled(
        _ text: String,
        _ suffixes: [(name: String, factor: UInt64)]
    ) throws(RelayMistake) -> UInt64 {
        for (name, factor) in suffixes where text.hasSuffix(name) {
            let parts = text.dropLast(name.count).split(
                separator: ".",
                omittingEmptySubsequences: false
            )
            guard parts.count <= 2, let whole = UInt64(parts[0]), whole < 1_000_000_000 else {
                continue
            }
            var scaled = whole * factor
            var place = factor
            for digit in parts.count == 2 ? parts[1] : "" {
                guard let value = digit.wholeNumberValue else {
                    throw RelayMistake("\(text) is not a number")
                }
                place /= 10
                scaled += UInt64(value) * place
            }
            return scaled
        }
        throw RelayMistake("\(text): expected a number and one of \(suffixes.map(\.name))")
    }

    private static func interval(_ text: String) throws(RelayMistake) -> Instant.Interval {
        let units: [(String, UInt64)] = [
            ("ms", 1_000_000), ("us", 1_000), ("s", 1_000_000_000), ("m", 60_000_000_000),
        ]
        return Instant.Interval(nanoseconds: try Self.scaled(text, units))
    }

    private static func share(_ text: String) throws(RelayMistake) -> UInt32 {
        let parts = try Self.scaled(text, [("%", 10_000)])
        guard parts <= 1_000_000 else { throw RelayMistake("\(text) is more than everything") }
        return UInt32(parts)
    }

    /// More than nothing and less than everything.
    private static func partialShare(_ text: String) throws(RelayMistake) -> UInt32 {
        let parts = try Self.share(text)
        guard parts > 0, parts < 1_000_000 else {
            throw RelayMistake("\(text): expected more than 0 % and less than 100 %")
        }
        return parts
    }

    private static func rate(_ text: String) throws(RelayMistake) -> UInt64 {
        try Self.scaled(text, [("kbps", 1_000), ("mbps", 1_000_000), ("gbps", 1_000_000_000)])
    }

    private static func pair(_ text: String) throws(RelayMistake) -> (String, String) {
        let parts = text.split(separator: "/")
        guard parts.count == 2 else { throw RelayMistake("\(text): expected two values and a /") }
        return (String(parts[0]), String(parts[1]))
    }
}
