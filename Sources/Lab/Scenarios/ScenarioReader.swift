import Configuration
import Glibc
import Netem
import Primitives
import TOMLKit

extension Scenario {
    /// Reads `examples/lab/NAME.toml`; the name of the scenario is the name of the file.
    public static func load(path: String) throws(LabFailure) -> Scenario {
        guard let text = TextFile.read(path) else { throw .call(path) }
        let file = path.split(separator: "/").last.map(String.init) ?? path
        let name = file.hasSuffix(".toml") ? String(file.dropLast(5)) : file
        do throws(LabFailure) {
            return try Self.parse(text, name: name)
        } catch {
            throw LabFailure("\(path): \(error)")
        }
    }

    /// Reads the text of a scenario.
    public static func parse(_ text: String, name: String) throws(LabFailure) -> Scenario {
        let root: TOMLTable
        do {
            root = try TOMLTable(string: text)
        } catch {
            throw LabFailure("not TOML: \(error)")
        }
        let reader = ScenarioTable(root, place: "")
        try reader.refuseUnknown([
            "title", "stacks", "measures", "duration", "warm_up", "seeds", "link", "up", "down",
            "outages", "changes", "messages_per_second", "message_bytes", "class", "max_age",
            "losses",
            "idle_streams", "stalled_readers",
        ])
        var scenario = Scenario(name: name, title: try reader.string("title") ?? name)
        scenario.stacks = try reader.names("stacks")
        scenario.measures = try reader.names("measures")
        if let duration = try reader.duration("duration") { scenario.duration = duration }
        if let warmUp = try reader.duration("warm_up") { scenario.warmUp = warmUp }
        if let seeds = try reader.integers("seeds") { scenario.seeds = seeds }
        if let rate = try reader.integer("messages_per_second") {
            scenario.echo.messagesPerSecond = rate
        }
        if let size = try reader.integer("message_bytes") {
            scenario.echo.byteCount = Int(clamping: size)
        }
        if let name = try reader.string("class") { scenario.trafficClass = name }
        if let age = try reader.duration("max_age") { scenario.maximumAge = age.milliseconds }
        scenario.losses = try reader.shares("losses")
        if let count = try reader.integer("idle_streams") {
            scenario.idleStreams = Int(clamping: count)
        }
        if let count = try reader.integer("stalled_readers") {
            scenario.stalledReaders = Int(clamping: count)
        }
        for key in ["link", "up", "down"] {
            guard let table = try reader.table(key) else { continue }
            if key != "down" { try table.read(into: &scenario.up) }
            if key != "up" { try table.read(into: &scenario.down) }
        }
        scenario.timeline.outages = try reader.outages()
        scenario.timeline.changes = try reader.changes()
        try scenario.check()
        return scenario
    }

    private func check() throws(LabFailure) {
        if self.stacks.isEmpty { throw LabFailure("stacks: got nothing, expected at least one") }
        if self.measures.isEmpty { throw LabFailure("measures: got nothing, expected one") }
        if self.seeds.isEmpty { throw LabFailure("seeds: got none, expected at least one") }
        guard (1...1_000).contains(self.echo.messagesPerSecond) else {
            throw LabFailure("messages_per_second: expected 1 to 1000")
        }
        guard ["auto", "interactive", "realtime", "bulk"].contains(self.trafficClass) else {
            throw LabFailure("class: expected auto, interactive, realtime or bulk")
        }
        guard self.idleStreams <= 1_000, self.stalledReaders <= 1_000 else {
            throw LabFailure("idle_streams, stalled_readers: expected 0 to 1000")
        }
        guard (16...1_200).contains(self.echo.byteCount) else {
            throw LabFailure("message_bytes: expected 16 to 1200")
        }
    }
}

/// One table of a scenario file; every refusal names the key.
struct ScenarioTable {
    private let table: TOMLTable
    private let place: String

    init(_ table: TOMLTable, place: String) {
        self.table = table
        self.place = place
    }

    private func wrong(_ key: String, _ expected: String) -> LabFailure {
        LabFailure("\(self.place)\(key): expected \(expected)")
    }

    func refuseUnknown(_ known: [String]) throws(LabFailure) {
        for key in self.table.keys where !known.contains(key) {
            throw LabFailure("\(self.place)\(key): unknown, expected one of \(known)")
        }
    }

    func string(_ key: String) throws(LabFailure) -> String? {
        guard let value = self.table[key] else { return nil }
        guard let text = value.string else { throw self.wrong(key, "a string") }
        return text
    }

    func integer(_ key: String) throws(LabFailure) -> UInt64? {
        guard let value = self.table[key] else { return nil }
        guard let number = value.int, number >= 0 else { throw self.wrong(key, "a whole number") }
        return UInt64(number)
    }

    func flag(_ key: String) throws(LabFailure) -> Bool? {
        guard let value = self.table[key] else { return nil }
        guard let flag = value.bool else { throw self.wrong(key, "true or false") }
        return flag
    }

    func table(_ key: String) throws(LabFailure) -> ScenarioTable? {
        guard let value = self.table[key] else { return nil }
        guard let table = value.table else { throw self.wrong(key, "a table") }
        return ScenarioTable(table, place: "\(self.place)\(key).")
    }

    func integers(_ key: String) throws(LabFailure) -> [UInt64]? {
        guard let value = self.table[key] else { return nil }
        guard let array = value.array else { throw self.wrong(key, "a list") }
        var numbers: [UInt64] = []
        for index in 0..<array.count {
            guard let number = array[index].int, number >= 0 else {
                throw self.wrong(key, "whole numbers")
            }
            numbers.append(UInt64(number))
        }
        return numbers
    }

    /// A list of the names of an enumeration's cases.
    func names<Name>(_ key: String) throws(LabFailure) -> [Name]
    where Name: RawRepresentable & CaseIterable, Name.RawValue == String {
        guard let array = self.table[key]?.array else { throw self.wrong(key, "a list of names") }
        var names: [Name] = []
        for index in 0..<array.count {
            guard let name = array[index].string.flatMap(Name.init(rawValue:)) else {
                throw self.wrong(key, "names out of \(Name.allCases.map(\.rawValue))")
            }
            names.append(name)
        }
        return names
    }

    func duration(_ key: String) throws(LabFailure) -> Instant.Interval? {
        guard let text = try self.string(key) else { return nil }
        if text.hasSuffix("us"), let count = UInt64(text.dropLast(2)) {
            return .microseconds(count)
        }
        guard let duration = Units.duration(text) else {
            throw self.wrong(key, "a duration such as \"15ms\" or \"7500us\"")
        }
        return duration
    }

    func rate(_ key: String) throws(LabFailure) -> UInt64? {
        guard let text = try self.string(key) else { return nil }
        guard let rate = Units.rate(text) else { throw self.wrong(key, "a rate: \"100 mbps\"") }
        return rate
    }

    func size(_ key: String) throws(LabFailure) -> UInt64? {
        guard let text = try self.string(key) else { return nil }
        guard let size = Units.size(text) else { throw self.wrong(key, "a size: \"250 kB\"") }
        return UInt64(size)
    }

    /// `"3%"` or `"0.5%"` in parts per million.
    func share(_ key: String) throws(LabFailure) -> UInt32? {
        guard let text = try self.string(key) else { return nil }
        guard let share = Self.share(of: text) else {
            throw self.wrong(key, "a share such as \"1%\"")
        }
        return share
    }

    /// A list of shares; empty when the key is absent.
    func shares(_ key: String) throws(LabFailure) -> [UInt32] {
        guard let value = self.table[key] else { return [] }
        guard let array = value.array else { throw self.wrong(key, "a list") }
        var shares: [UInt32] = []
        for index in 0..<array.count {
            guard let share = array[index].string.flatMap(Self.share) else {
                throw self.wrong(key, "shares such as \"1%\"")
            }
            shares.append(share)
        }
        return shares
    }

    private static func share(of text: String) -> UInt32? {
        guard text.hasSuffix("%"), let percent = Double(text.dropLast()), percent >= 0,
            percent <= 100
        else { return nil }
        return UInt32((percent * 10_000).rounded())
    }

    func outages() throws(LabFailure) -> [Range<Instant.Interval>] {
        guard let value = self.table["outages"] else { return [] }
        guard let array = value.array else { throw self.wrong("outages", "a list") }
        var ranges: [Range<Instant.Interval>] = []
        for index in 0..<array.count {
            guard let table = array[index].table else { throw self.wrong("outages", "tables") }
            let entry = ScenarioTable(table, place: "outages.")
            try entry.refuseUnknown(["start", "length"])
            guard let start = try entry.duration("start"),
                let length = try entry.duration("length")
            else { throw self.wrong("outages", "start and length") }
            ranges.append(start..<start + length)
        }
        return ranges
    }
}

extension ScenarioTable {
    /// What happens to the link, in the order of time.
    func changes() throws(LabFailure) -> [Scenario.Change] {
        guard let value = self.table["changes"] else { return [] }
        guard let array = value.array else { throw self.wrong("changes", "a list") }
        var changes: [Scenario.Change] = []
        for index in 0..<array.count {
            guard let table = array[index].table else { throw self.wrong("changes", "tables") }
            let entry = ScenarioTable(table, place: "changes.")
            try entry.refuseUnknown(["at", "rate", "mtu", "rebind"])
            guard let at = try entry.duration("at") else { throw self.wrong("changes", "at") }
            var change = Scenario.Change(at: at)
            change.bitsPerSecond = try entry.rate("rate")
            change.maximumPacketByteCount = try entry.integer("mtu").map { Int(clamping: $0) }
            change.rebinds = try entry.flag("rebind") ?? false
            changes.append(change)
        }
        return changes.sorted { $0.at < $1.at }
    }

    /// Changes what the table names and leaves the rest.
    func read(into link: inout Impairment) throws(LabFailure) {
        try self.refuseUnknown([
            "delay", "jitter", "jitter_reorders", "loss", "chain", "bursts", "duplicate", "reorder",
            "reorder_hold", "corrupt", "rate", "queue", "mtu",
        ])
        // The devices hand over whole IP packets.
        link.headerByteCount = 0
        if let delay = try self.duration("delay") { link.delay = delay }
        if let jitter = try self.duration("jitter") { link.jitter = jitter }
        if let reorders = try self.flag("jitter_reorders") { link.jitterReorders = reorders }
        if let loss = try self.share("loss") { link.lossPartsPerMillion = loss }
        if let share = try self.share("duplicate") { link.duplicationPartsPerMillion = share }
        if let share = try self.share("reorder") { link.reorderPartsPerMillion = share }
        if let hold = try self.duration("reorder_hold") { link.reorderHold = hold }
        if let share = try self.share("corrupt") { link.corruptionPartsPerMillion = share }
        if let rate = try self.rate("rate") { link.bitsPerSecond = rate }
        if let queue = try self.size("queue") { link.queueByteCount = queue }
        if let size = try self.integer("mtu") { link.maximumPacketByteCount = Int(clamping: size) }
        try self.readBursts(into: &link)
    }

    private func readBursts(into link: inout Impairment) throws(LabFailure) {
        if let chain = try self.table("chain") {
            try chain.refuseUnknown(["loss", "mean_packets"])
            guard let loss = try chain.share("loss"), loss > 0, loss < 1_000_000,
                let packets = try chain.integer("mean_packets"), packets > 0
            else { throw self.wrong("chain", "loss and mean_packets") }
            link.gilbertElliott = .averaging(
                lossPartsPerMillion: loss,
                meanPackets: UInt32(clamping: packets)
            )
        }
        if let bursts = try self.table("bursts") {
            try bursts.refuseUnknown(["loss", "mean"])
            guard let loss = try bursts.share("loss"), loss > 0, loss < 1_000_000,
                let mean = try bursts.duration("mean"), mean > .zero
            else { throw self.wrong("bursts", "loss and mean") }
            link.bursts = .averaging(lossPartsPerMillion: loss, meanLength: mean)
        }
    }
}
