import LinuxIO
import Primitives

/// Probes backends from test addresses and judges what came of it.
struct BackendProbes {
    private let backends: [PlacedBackend]
    private let testAddresses: [SocketAddress]
    private let interrupt: ProbeInterrupt?

    init(
        _ backends: [PlacedBackend],
        testAddresses: [SocketAddress],
        interrupt: ProbeInterrupt?
    ) {
        self.backends = backends
        self.testAddresses = testAddresses
        self.interrupt = interrupt
    }

    /// Nothing when interrupted.
    func run() -> [TransparentBackend: ReturnPathVerdict.State] {
        var targets: [ReturnPathProbe.Target] = []
        var ranges: [Range<Int>] = []
        for placed in self.backends {
            let start = targets.count
            targets += self.targets(placed)
            ranges.append(start..<targets.count)
        }
        guard let outcomes = ReturnPathProbe.run(targets, interrupt: self.interrupt) else {
            return [:]
        }
        var states: [TransparentBackend: ReturnPathVerdict.State] = [:]
        for (placed, range) in zip(self.backends, ranges) {
            let results = range.map { (target: targets[$0], outcome: outcomes[$0]) }
            states[placed.backend] = Self.judge(placed, results)
        }
        return states
    }

    /// Traceroute's first port and the discard service's: hardly anybody listens there.
    private static let closedPorts: [UInt16] = [33434, 9]

    private func targets(_ placed: PlacedBackend) -> [ReturnPathProbe.Target] {
        let backend = placed.backend
        let address = backend.address
        var methods: [ReturnPathProbe.Method] = []
        if backend.transport == .tcp {
            methods = [.connection]
        } else if placed.placement.isRemote {
            methods = Self.closedPorts.map { .closedPort($0) } + [.connection]
        }
        if !backend.question.isEmpty { methods.append(.question(backend.question)) }
        var targets: [ReturnPathProbe.Target] = []
        for test in self.testAddresses where test.isIPv4 == address.isIPv4 {
            // Any port will do: the kernel chooses one.
            let source = test.with(port: 1)
            targets += methods.map {
                ReturnPathProbe.Target(source: source, address: address, method: $0)
            }
        }
        // The same from an address of ours tells a silent machine from one that routes elsewhere.
        let isComparable = placed.placement.isRemote || !backend.question.isEmpty
        let comparisons = isComparable ? methods : []
        return targets + comparisons.map { ReturnPathProbe.Target(address: address, method: $0) }
    }

    private typealias Result = (target: ReturnPathProbe.Target, outcome: ReturnPathProbe.Outcome)

    private static func judge(
        _ placed: PlacedBackend,
        _ results: [Result]
    ) -> ReturnPathVerdict.State {
        let backend = placed.backend
        let spoofed = results.filter { $0.target.source != nil }
        let asked = spoofed.filter { $0.target.method == .question(backend.question) }
        if asked.contains(where: { $0.outcome.isProof }) { return Self.ready(asked) }
        let plain = results.filter { $0.target.source == nil }
        if plain.contains(where: { $0.target.method.isQuestion && $0.outcome == .answered }) {
            return Diagnosis.answersOnlyUs(placed)
        }
        if backend.transport == .udp, !placed.placement.isRemote {
            // The tables decide alone here, and they have been asked.
            let note = asked.isEmpty ? nil : "the backend does not answer its health query"
            return .ready(note: note)
        }
        if spoofed.contains(where: { $0.outcome.isProof }) {
            return Self.ready(spoofed.filter { backend.transport == .tcp || $0.outcome.isProof })
        }
        if plain.contains(where: { $0.outcome.isProof }) { return Diagnosis.answersOnlyUs(placed) }
        let failure = spoofed.lazy.compactMap { result -> IOError? in
            if case .failed(let error) = result.outcome { error } else { nil }
        }
        if let error = failure.first { return Diagnosis.unreachable(error, backend) }
        return Diagnosis.silent(placed, from: spoofed.compactMap(\.target.source))
    }

    private static func ready(_ results: [Result]) -> ReturnPathVerdict.State {
        let silent = results.filter { $0.outcome == .silent }.compactMap(\.target.source?.hostText)
        if !silent.isEmpty {
            let list = silent.joined(separator: ", ")
            return .ready(note: "the backend does not reply to \(list), but to others")
        }
        let isTCP = results.contains { $0.target.method == .connection }
        let isClosed = results.allSatisfy { $0.outcome == .closed }
        return .ready(note: isClosed && isTCP ? "nobody listens there at the moment" : nil)
    }
}
