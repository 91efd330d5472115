import Balancing
import Erasure
import Foundation
import Origin
import Primitives
import Sealing
import Testing

@testable import Configuration

/// The table of keys against the readers.
@Suite struct ReferenceTests {
    @Test func everyKeyStandsOnce() {
        let paths = KeyReference.all.map(\.path)
        #expect(Set(paths).count == paths.count)
        #expect(Set(KeyReference.all.map(\.place)).count == KeyPlace.allCases.count)
    }

    /// No key takes a fraction: a reader that says nothing of one does not read the key.
    @Test(arguments: KeyReference.all)
    func everyKeyOfTheTableIsRead(key: KeyReference) {
        #expect(KeyBench.refuses(key, "1.5"))
    }

    @Test(arguments: KeyPlace.allCases)
    func noOtherKeyIsTaken(place: KeyPlace) {
        let elsewhere = Set(KeyReference.all.map(\.name))
            .subtracting(KeyReference.keys(of: place).map(\.name))
        for name in elsewhere.sorted() + ["weather"] {
            let text = KeyBench.text(place, ["\(name) = 1"])
            let got = KeyBench.complaints(text, place).map(\.got)
            #expect(got.contains("an unknown key"), "\(place) takes \(name)")
        }
    }

    @Test(arguments: KeyReference.all)
    func everyExampleIsRight(key: KeyReference) {
        let complaints = KeyBench.complaints(KeyBench.example(key), key.place)
        #expect(complaints.isEmpty, "\(complaints)")
        #expect(key.example.contains("\(key.name) = ") || key.example.hasPrefix("[[\(key.name)]]"))
    }

    @Test(arguments: KeyReference.all.filter(\.isRequired))
    func aRequiredKeyIsMissed(key: KeyReference) {
        let text =
            switch key.place {
            case .backends: KeyBench.text(.service, ["backends = [{}]"])
            case .health: KeyBench.text(.service, ["health = {}"])
            default:
                KeyBench.text(key.place, []).split(separator: "\n")
                    .filter { !$0.hasPrefix("\(key.name) = ") }.joined(separator: "\n")
            }
        let missed = KeyBench.complaints(text, key.place).filter { $0.got == "nothing" }
        #expect(missed.contains { $0.key.hasSuffix(key.name) }, "\(text)")
    }

    /// Nobody can tell a default that is written from one that is not.
    @Test(arguments: KeyReference.all)
    func everyDefaultIsWhatTheReaderTakes(key: KeyReference) throws {
        guard case .written(let value) = key.standard else { return }
        // What a key needs beside it, but not what only another value of it needs.
        let needless = ["forward.accept": "trusted", "forward.transparent": "listen"][key.path]
        let beside = key.example.split(separator: "\n").map(String.init).filter { line in
            ![key.name, needless].contains(String(line.prefix { $0 != " " }))
        }
        let without = KeyBench.text(key.place, beside)
        let with = KeyBench.text(key.place, beside + ["\(key.name) = \(value)"])
        if key.place.file == .client {
            let silent = try ClientConfiguration.parse(without, file: "f")
            #expect(silent == (try ClientConfiguration.parse(with, file: "f")))
        } else {
            let silent = try ServerConfiguration.parse(without, file: "f")
            #expect(silent == (try ServerConfiguration.parse(with, file: "f")))
        }
    }

    /// The defaults of a file without optional keys are those of the values that hold them.
    @Test func defaultsAreThoseOfTheValues() throws {
        let client = try ClientConfiguration.parse(KeyBench.text(.forward, []), file: "f")
        #expect(client.transport == TransportSettings())
        #expect(client.limits == Limits())
        let forward = try #require(client.forwards.first)
        #expect(
            forward
                == Forward(
                    listen: forward.listen,
                    transportProtocol: .tcp,
                    service: "minecraft"
                )
        )
        let server = try ServerConfiguration.parse(KeyBench.text(.health, []), file: "f")
        #expect(server.transport == TransportSettings())
        #expect(server.limits == Limits())
        #expect(server.services.first?.health == HealthCheck(probe: .tcp))
        let text = KeyBench.text(.peer, [])
        let peer = try #require(try ServerConfiguration.parse(text, file: "f").peers.first)
        #expect(
            peer == PeerEntry(name: "edge", publicKey: peer.publicKey, services: ["*"])
        )
    }

    /// The value at each end of the range, and the next one beyond it.
    @Test(arguments: KeyReference.all)
    func everyRangeIsTheReaders(key: KeyReference) {
        let write: (Int) -> String
        let range: ClosedRange<Int>
        let thousandths = { (count: Int) in
            "\(count / 1000)." + "00\(count % 1000)".suffix(3)
        }
        switch key.value {
        case .integer(let bounds, _), .automaticOrInteger(let bounds, _):
            (range, write) = (bounds, { "\($0)" })
        case .size(let bounds):
            (range, write) = (bounds, { "\"\(thousandths($0)) kB\"" })
        case .rate(let bounds):
            range = Int(bounds.lowerBound)...Int(bounds.upperBound)
            write = { "\"\(thousandths($0)) kbps\"" }
        case .duration(let bounds):
            range = Int(bounds.lowerBound.milliseconds)...Int(bounds.upperBound.milliseconds)
            write = { "\"\($0)ms\"" }
        default: return
        }
        #expect(!KeyBench.refuses(key, write(range.lowerBound)))
        #expect(!KeyBench.refuses(key, write(range.upperBound)))
        #expect(KeyBench.refuses(key, write(range.lowerBound - 1)))
        #expect(KeyBench.refuses(key, write(range.upperBound + 1)))
    }

    @Test(arguments: KeyReference.all)
    func everyWordIsTaken(key: KeyReference) {
        for word in key.words { #expect(!KeyBench.refuses(key, "\"\(word.name)\"")) }
        if !key.words.isEmpty { #expect(KeyBench.refuses(key, "\"weather\"")) }
    }

    /// What a value can be and the table does not have could never be written.
    @Test func noWordIsForgotten() {
        let all: [(String, [String])] = [
            ("server.routes", ServerConfiguration.Routes.allCases.map(\.rawValue)),
            ("server.fec", RedundancyLevel.allCases.map(\.rawValue)),
            ("forward.class", Forward.TrafficClass.allCases.map(\.rawValue)),
            ("forward.accept", Forward.AcceptedHeader.allCases.map(\.rawValue)),
            ("forward.dialect", HeaderDialect.allCases.map(\.rawValue)),
            ("service.protocol", ForwardedProtocol.allCases.map(\.rawValue)),
            ("service.balance", PickPolicy.allCases.map(\.rawValue)),
            ("service.origin", Service.Origin.allCases.map(\.rawValue)),
            ("service.source_port", Service.SourcePort.allCases.map(\.rawValue)),
        ]
        for (path, names) in all {
            let key = KeyReference.all.first { $0.path == path }
            #expect(key?.words.map(\.name) == names, "\(path)")
        }
    }

    /// A changed value is told, and as the table says; keys are compared by what their files hold.
    @Test(arguments: KeyReference.all.filter { $0.place.file == $0.place })
    func everyChangeIsNoticed(key: KeyReference) throws {
        if case .tables = key.value { return }
        guard !["private_key", "preshared_key"].contains(key.name) else { return }
        let (old, new) = (KeyBench.text(key.place, []), KeyBench.example(key))
        let (waiting, applied): ([String], [String])
        if key.place == .client {
            let reload = ClientReload(from: try Self.client(old), to: try Self.client(new))
            (waiting, applied) = (reload.needsRestart, reload.changedKeys)
        } else {
            let reload = ServerReload(from: try Self.server(old), to: try Self.server(new))
            (waiting, applied) = (reload.needsRestart, reload.changedKeys)
        }
        #expect((waiting + applied).contains(key.name))
        #expect(waiting.contains(key.name) == (key.reload == .restart))
    }

    private static let key = SecretKey(entropy: .seeded(1))

    private static func client(
        _ text: String
    ) throws -> LoadedConfiguration<ClientConfiguration> {
        LoadedConfiguration(
            configuration: try ClientConfiguration.parse(text, file: "f"),
            privateKey: Self.key
        )
    }

    private static func server(
        _ text: String
    ) throws -> LoadedConfiguration<ServerConfiguration> {
        LoadedConfiguration(
            configuration: try ServerConfiguration.parse(text, file: "f"),
            privateKey: Self.key
        )
    }

    @Test func thePageIsMadeOfTheTable() throws {
        let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
            .deletingLastPathComponent().deletingLastPathComponent()
        let file = root.appendingPathComponent("docs/CONFIGURATION.md")
        let page = try String(contentsOf: file, encoding: .utf8)
        #expect(page == ReferencePage.markdown, "stale: run make docs")
    }
}
