import Configuration
import Glibc
import Session

/// How many streams and flows the descriptors of this process are enough for; servers only.
///
/// Every flow and every stream has a socket. Without this a flood of players would take the last
/// descriptor, and nobody could be served until they have gone; with it, silent flows give way, and
/// what a peer has more of than others.
enum DescriptorBudget {
    /// What a server needs besides players: listeners, probes, pages, logs.
    private static let reserve = 256

    /// The limits of one of `workers` engines; three quarters of the descriptors go to flows.
    static func limits(_ configured: Limits, workers: Int) -> EngineLimits {
        var limits = EngineLimits(configured)
        let share = Self.flows(descriptors: Self.available) / max(workers, 1)
        limits.maximumFlows = min(limits.maximumFlows, max(share, 1))
        limits.maximumChannels = max(
            Self.channels(descriptors: Self.available) / max(workers, 1),
            1
        )
        return limits
    }

    static func flows(descriptors: Int) -> Int { Self.channels(descriptors: descriptors) / 4 * 3 }

    /// Streams and flows together.
    static func channels(descriptors: Int) -> Int { max(descriptors - Self.reserve, 4) }

    private static var available: Int {
        var limit = rlimit()
        guard getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0 else {
            return 1024
        }
        return Int(clamping: limit.rlim_cur)
    }
}
