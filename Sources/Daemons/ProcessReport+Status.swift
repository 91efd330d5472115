import Admin
import Runtime
import Sealing
import Session

extension ProcessReport {
    /// The pages' view of what the runtime knows.
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
        self.sessions = status.sessions.map(Session.init)
        self.refusals = status.refusals.map { tally in
            Refusal(
                reason: tally.reason,
                key: tally.key,
                peer: tally.peer,
                from: tally.from,
                count: tally.count,
                last: Timestamp.text(tally.last)
            )
        }
        self.services = status.services.map { tally in
            var service = Service(name: tally.name)
            service.streams = tally.streams
            service.flows = tally.flows
            service.bytesUp = tally.bytesUp
            service.bytesDown = tally.bytesDown
            service.backends = tally.backends.map { backend in
                var shown = Backend(
                    address: backend.address,
                    isUp: backend.isUp,
                    streams: backend.streams,
                    flows: backend.flows
                )
                shown.isDraining = backend.isDraining
                return shown
            }
            return service
        }
        self.metrics = status.metricFamilies(version: Release.version)
    }
}

extension ProcessReport.Session {
    fileprivate init(_ session: SessionSnapshot) {
        self.init(
            peer: session.peer,
            address: session.address,
            roundTrip: session.roundTrip,
            lossRate: session.lossRate,
            cipher: session.cipher.label,
            streams: session.streams,
            flows: session.flows
        )
        self.age = session.age
        self.silence = session.silence
        self.packetSize = session.packetSize
        self.congestionWindow = session.congestionWindow
        self.pacingRate = session.pacingRate
        self.wireBytesSent = session.wireBytesSent
        self.wireBytesReceived = session.wireBytesReceived
        self.isPostQuantum = session.isPostQuantum
    }
}
