import LinuxIO
public import Primitives
import Sealing
import Session

extension ProcessStatus {
    /// What the process' own numbers are shown as.
    static let metrics = MetricTable<Self>([
        .gauge("uptime_seconds", .seconds, "Time since the process started.", .interval(\.uptime)),
        .gauge("ready", .flag, "1 when /ready answers 200.", .flag(\.isReady)),
        .gauge("sessions", .count, "Tunnel sessions that are up.", .size(\.sessionCount)),
        .gauge(
            "sessions_post_quantum",
            .count,
            "Those whose keys are post-quantum.",
            .size(\.strengthenedCount)
        ),
        .gauge(
            "rtt_seconds",
            .seconds,
            "Smoothed round trip of the slowest session.",
            .latest(\.slowestRoundTrip)
        ),
        .gauge("streams", .count, "TCP streams open now.", .size(\.streams)),
        .gauge(
            "buffered_bytes",
            .bytes,
            "Memory of streams' buffers and flows' queues.",
            .size(\.bufferedByteCount)
        ),
        .gauge(
            "held_bytes",
            .bytes,
            "Memory that peers make this process hold, by their accounts.",
            .size(\.heldByteCount)
        ),
    ])

    private static let build = MetricDescriptor(
        name: "build_info",
        kind: .gauge,
        unit: .flag,
        subject: ["version", "role"],
        split: nil,
        help: "Always 1; the labels say what runs."
    )

    private static let dropped = MetricDescriptor(
        name: "drops_total",
        kind: .counter,
        unit: .count,
        subject: [],
        split: "reason",
        help: "Packets, datagrams and openings thrown away."
    )

    /// Every metric there is, in the order of the pages.
    public static let descriptors: [MetricDescriptor] =
        [Self.build] + Self.metrics.descriptors + SessionSnapshot.metrics.descriptors
        + ServiceTally.metrics.descriptors + BackendTally.metrics.descriptors
        + EngineCounters.metrics.descriptors + UDPCounters.metrics.descriptors + [Self.dropped]

    /// The values of the label `reason` and what each means; one that several parts give stands
    /// once.
    public static let dropReasons: [(label: String, meaning: String)] = {
        var all = DropReason.allCases.map { (label: $0.label, meaning: $0.meaning) }
        all += WorkerDrop.allCases.map { ($0.label, $0.meaning) }
        all += HeaderRefusal.allCases.map { ($0.label, $0.meaning) }
        all += RefusalReason.allCases.map { ($0.label, $0.meaning) }
        var seen: Set<String> = []
        return all.filter { seen.insert($0.label).inserted }
    }()

    /// Every number there is now, in the order of ``descriptors``; `version` is the program's.
    ///
    /// A metric without numbers is left out.
    public func metricFamilies(version: String) -> [MetricFamily] {
        let one = MetricFamily.Sample(labels: [version, self.role.rawValue], value: .count(1))
        let drops = self.drops.map { drop in
            MetricFamily.Sample(labels: [drop.reason], value: .count(drop.count))
        }
        let services = self.services.map { (subject: [$0.name], source: $0) }
        let backends = self.services.flatMap { service in
            service.backends.map { (subject: [service.name, $0.address], source: $0) }
        }
        var families = [MetricFamily(Self.build, [one])]
        families += Self.metrics.families([([], self)])
        families += SessionSnapshot.metrics.families(self.distinctSessions)
        families += ServiceTally.metrics.families(services)
        families += BackendTally.metrics.families(backends)
        families += EngineCounters.metrics.families([([], self.counters)])
        families += UDPCounters.metrics.families([([], self.tunnelSockets)])
        families.append(MetricFamily(Self.dropped, drops))
        return families.filter { !$0.samples.isEmpty }
    }

    /// Sessions by peer and address, of several with the same the one heard last: two samples with
    /// the same labels make a page that Prometheus refuses.
    private var distinctSessions: [(subject: [String], source: SessionSnapshot)] {
        var chosen: [(subject: [String], source: SessionSnapshot)] = []
        for session in self.sessions {
            let subject = [session.peer, session.address.description]
            if let index = chosen.firstIndex(where: { $0.subject == subject }) {
                if session.silence < chosen[index].source.silence {
                    chosen[index].source = session
                }
            } else {
                chosen.append((subject, session))
            }
        }
        return chosen
    }

    private var sessionCount: Int { self.sessions.count }
    private var strengthenedCount: Int { self.sessions.count { $0.isPostQuantum } }
    private var slowestRoundTrip: Instant.Interval? { self.sessions.map(\.roundTrip).max() }
}
