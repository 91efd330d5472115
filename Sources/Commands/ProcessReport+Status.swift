import Admin
import Primitives
import Runtime
import Sealing
import Session

/// What a process knows of itself, in the words of its pages.
extension ProcessReport {
    init(_ status: ProcessStatus) {
        self.init(
            version: Release.version,
            role: status.role == .server ? .server : .client,
            uptime: status.uptime
        )
        self.isReady = status.isReady
        self.reason = status.reason
        self.streams = status.streams
        self.flows = status.flows
        self.sessions = status.sessions.map { session in
            Session(
                peer: session.peer,
                address: session.address,
                roundTrip: session.roundTrip,
                lossRate: session.lossRate,
                cipher: session.cipher.label,
                streams: session.streams,
                flows: session.flows
            )
        }
        self.services = status.services.map { tally in
            var service = Service(name: tally.name)
            service.streams = tally.streams
            service.flows = tally.flows
            service.bytesUp = tally.bytesUp
            service.bytesDown = tally.bytesDown
            service.backends = tally.backends.map {
                Backend(address: $0.address, isUp: $0.isUp, streams: $0.streams, flows: $0.flows)
            }
            return service
        }
        self.counters.packetsSent = status.counters.packetsSent
        self.counters.packetsReceived = status.counters.packetsReceived
        self.counters.wireBytesSent = status.counters.wireBytesSent
        self.counters.wireBytesReceived = status.counters.wireBytesReceived
        self.counters.packetsLost = status.counters.packetsLost
        self.counters.packetsRecovered = status.counters.packetsRecovered
        self.counters.redundancyBytes = status.counters.redundancyBytes
        self.counters.drops = status.drops
    }
}
