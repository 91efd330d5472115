/// Who may be able to read a key file.
public enum KeyMode: String, CaseIterable, Sendable {
    /// Its owner alone.
    case strict
    /// Its owner and its group, as service managers hand out secrets.
    case group
    /// Anybody: for read-only mounts whose modes somebody else decides, such as 0444.
    case any

    var forbidden: UInt32 {
        switch self {
        case .strict: 0o077
        case .group: 0o037
        case .any: 0o022
        }
    }

    var wanted: String {
        switch self {
        case .strict: "a file that only its owner can read"
        case .group: "a file that its owner and group can read"
        case .any: "a file that only its owner can write"
        }
    }

    var command: String {
        switch self {
        case .strict: "chmod 600"
        case .group: "chmod 640"
        case .any: "chmod go-w"
        }
    }

    /// The strictest one that takes a file of this mode; nil where others may write it.
    static func accepting(_ mode: UInt32) -> KeyMode? {
        Self.allCases.first { mode & $0.forbidden == 0 }
    }
}
