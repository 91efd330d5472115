import Netem
import Primitives
import Recovery

/// A trial that docs/CONGESTION.md shows: what arrived and what the pacer allowed, above the
/// bottleneck's queue.
public struct CoursePlot: Sendable {
    /// Of its file, without `.svg`.
    public let name: String
    let title: String
    let trial: Trial
    /// Whose each tunnel is.
    let owners: [String]

    /// Every plot of the page.
    public static let all = [Self.start, Self.rival, Self.step, Self.burst]

    /// How a download begins.
    public static let start = Self(
        name: "start",
        title: "A download starts: 50 Mbit/s, 40 ms, a queue of 100 ms",
        trial: Self.trial(.link(megabits: 50, roundTrip: 40), seconds: 3),
        owners: ["auto"]
    )

    static let rival: Self = {
        var trial = Self.trial(.link(megabits: 50, roundTrip: 40, queue: 60), seconds: 24)
        var late = Trial.Load.download
        late.startsAt = .seconds(5)
        trial.tunnels.append(Trial.Tunnel(.cubic, [late]))
        return Self(
            name: "rival",
            title: "A CUBIC comes after 5 s: 50 Mbit/s, 40 ms, a queue of 60 ms",
            trial: trial,
            owners: ["auto", "CUBIC"]
        )
    }()

    static let step: Self = {
        var trial = Self.trial(.link(megabits: 50, roundTrip: 40), seconds: 16)
        trial.steps = [(4, 15), (8, 80), (12, 30)].map {
            Trial.Step(at: .seconds($0), megabits: $1)
        }
        return Self(
            name: "step",
            title: "The capacity steps: 50, 15, 80, 30 Mbit/s, 40 ms, a queue of 100 ms",
            trial: trial,
            owners: ["auto"]
        )
    }()

    static let burst: Self = {
        var path = Impairment.link(megabits: 50, roundTrip: 40)
        path.bursts = .averaging(lossPartsPerMillion: 30_000, meanLength: .milliseconds(40))
        return Self(
            name: "burst",
            title: "Dead times of 40 ms lose 3 %: 50 Mbit/s, 40 ms, a queue of 100 ms",
            trial: Self.trial(path, seconds: 12),
            owners: ["auto"]
        )
    }()

    private static func trial(_ path: Impairment, seconds: UInt64) -> Trial {
        var trial = Trial("plot", path: path, tunnels: [Trial.Tunnel(.auto, [.download])])
        trial.warmUp = .zero
        trial.duration = .seconds(seconds)
        return trial
    }

    /// The picture; one seed gives one picture.
    public func svg(seed: UInt64 = 1) -> String {
        let moments = Course(self.trial, seed: seed).record(every: .milliseconds(25))
        return LinePlot(
            title: self.title,
            end: Self.seconds(self.trial.duration),
            panels: [self.rates(moments), Self.queue(moments)]
        ).svg
    }

    private static let colours = ["#0072b2", "#d55e00"]

    private func rates(_ moments: [Course.Moment]) -> LinePlot.Panel {
        var lines = [
            LinePlot.Line(
                name: "link",
                colour: "#999999",
                points: moments.map { (Self.seconds($0.at), Double($0.capacity) / 1e6) }
            )
        ]
        for (tunnel, owner) in self.owners.enumerated() {
            // A tenth of a second, so that single packets do not show.
            let arrived = zip(moments, moments.dropFirst(4)).map { earlier, later in
                let bytes = later.received[tunnel] - earlier.received[tunnel]
                return (Self.seconds(later.at), Double(bytes) * 8 / 1e6 / 0.1)
            }
            lines.append(
                LinePlot.Line(name: owner, colour: Self.colours[tunnel], points: arrived)
            )
        }
        if self.owners.count == 1 {
            let pacing = moments.map {
                (Self.seconds($0.at), min(Double($0.pacing[0]) * 8 / 1e6, 120))
            }
            lines.insert(
                LinePlot.Line(name: "pacing rate", colour: "#56b4e9", points: pacing),
                at: 1
            )
        }
        return LinePlot.Panel(label: "Mbit/s", height: 180, lines: lines)
    }

    private static func queue(_ moments: [Course.Moment]) -> LinePlot.Panel {
        LinePlot.Panel(
            label: "queue, ms",
            height: 100,
            lines: [
                LinePlot.Line(
                    name: "",
                    colour: "#333333",
                    points: moments.map { (Self.seconds($0.at), $0.queue) }
                )
            ]
        )
    }

    private static func seconds(_ interval: Instant.Interval) -> Double {
        Double(interval.milliseconds) / 1_000
    }
}
