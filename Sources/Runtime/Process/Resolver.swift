import Configuration
import Glibc
import LinuxIO
import Primitives
import Synchronization

/// Looks names up on a thread of its own, because the system's resolver blocks for seconds, and
/// again from time to time, because addresses change.
///
/// Without names there is no thread.
final class Resolver: Sendable {
    typealias Report = @Sendable ([String: [SocketAddress]]) -> Void

    /// How often a name that was found is looked up again, and one that was not.
    private static let refresh = Instant.Interval.seconds(60)
    private static let retry = Instant.Interval.seconds(5)

    private struct State {
        var names: [Endpoint] = []
        var isRunning = false
    }

    private let state = Mutex(State())
    private let wakeUp: WakeUp
    private let log: EventLog
    private let report: Report

    /// `report` is called on the resolver's thread with what changed.
    init(log: EventLog, report: @escaping Report) throws(IOError) {
        self.wakeUp = try WakeUp()
        self.log = log
        self.report = report
    }

    /// Looks these names up from now on, and no others.
    func watch(_ endpoints: [Endpoint]) throws(IOError) {
        let names = endpoints.filter(\.isName)
        let mustStart = self.state.withLock { state in
            state.names = names
            guard !names.isEmpty, !state.isRunning else { return false }
            state.isRunning = true
            return true
        }
        self.wakeUp.signal()
        if mustStart { try startThread(named: "fairlead-names") { self.run() } }
    }

    private func run() {
        var found: [String: [SocketAddress]] = [:]
        do throws(IOError) {
            let poller = try Poller()
            try poller.add(self.wakeUp.descriptor, token: 0, interest: .readable)
            while true {
                self.wakeUp.clear()
                let isComplete = self.round(&found)
                _ = try poller.wait(atMost: isComplete ? Self.refresh : Self.retry)
            }
        } catch {
            self.log.error("resolver-failed", ["cause": error.description])
        }
    }

    /// Looks every name up once; true when all were found.
    private func round(_ found: inout [String: [SocketAddress]]) -> Bool {
        var isComplete = true
        for endpoint in self.state.withLock({ $0.names }) {
            guard case .name(let host, let port) = endpoint else { continue }
            let name = endpoint.description
            switch Self.lookUp(host, port: port) {
            case .success(let addresses):
                guard found[name] != addresses else { continue }
                found[name] = addresses
                self.log.debug(
                    "resolved",
                    ["name": name, "addresses": addresses.map(\.hostText).joined(separator: ",")]
                )
                self.report([name: addresses])
            case .failure(let failure):
                // What was found before stays in use: an old address beats none.
                isComplete = false
                self.log.warning("resolve-failed", ["name": name, "cause": failure.cause])
            }
        }
        return isComplete
    }

    private struct Failure: Error {
        var cause: String
    }

    private static func lookUp(_ host: String, port: UInt16) -> Result<[SocketAddress], Failure> {
        var hints = addrinfo()
        hints.ai_family = AF_UNSPEC
        hints.ai_socktype = Int32(SOCK_DGRAM.rawValue)
        var list: UnsafeMutablePointer<addrinfo>?
        let code = getaddrinfo(host, nil, &hints, &list)
        guard code == 0 else {
            return .failure(Failure(cause: String(cString: gai_strerror(code))))
        }
        defer { freeaddrinfo(list) }
        var addresses: [SocketAddress] = []
        var next = list
        while let entry = next {
            if let address = SocketAddress(entry.pointee) {
                addresses.append(address.with(port: port))
            }
            next = entry.pointee.ai_next
        }
        return addresses.isEmpty ? .failure(Failure(cause: "no address")) : .success(addresses)
    }
}
