/// One key of a configuration file: everything there is to know of it, once.
///
/// The readers refuse every key that has no entry and take bounds and words from it, the reload
/// takes from it what has to wait for a restart, and `fairlead help config` and
/// `docs/CONFIGURATION.md` are made of nothing else.
public struct KeyReference: Sendable, CustomStringConvertible {
    /// What it means to leave the key out.
    public enum Standard: Sendable {
        /// The file is refused.
        case required
        /// The same as this, as TOML.
        case written(String)
        /// What no value says.
        case absent(String)
    }

    /// What a reload does with a changed value.
    public enum Reload: String, CaseIterable, Sendable {
        /// What exists already follows the new value.
        case atOnce
        /// What exists already keeps the old one.
        case newOnes
        /// What exists already under the changed table ends.
        case endsOwn
        /// Nothing follows it before the process starts anew.
        case restart

        /// One or two words for a table.
        public var label: String {
            switch self {
            case .atOnce: "at once"
            case .newOnes: "new ones"
            case .endsOwn: "at once, ends its own"
            case .restart: "restart"
            }
        }

        /// One sentence for the reference.
        public var meaning: String {
            switch self {
            case .atOnce: "The new value applies at once."
            case .newOnes: "The new value applies to what is opened from then on."
            case .endsOwn:
                "The new value applies at once; the streams and flows that belong to the changed"
                    + " table end."
            case .restart:
                "The running process keeps the old value until a restart, and the log says so"
                    + " (`needs-restart`)."
            }
        }
    }

    /// The table in which the key stands.
    public let place: KeyPlace
    /// The key as it is written, without its table.
    public let name: String
    /// What may be written for it.
    public let value: KeyValue
    /// What it means to leave it out.
    public let standard: Standard
    /// What a reload does with a changed value.
    public let reload: Reload
    /// The version that had the key first.
    public let since: String
    /// One line that says what it is.
    public let help: String
    /// What else is to be known; may be empty.
    public let details: String
    /// Lines of TOML for the table in which the key stands.
    public let example: String

    init(
        _ place: KeyPlace,
        _ name: String,
        _ value: KeyValue,
        _ standard: Standard,
        _ reload: Reload,
        since: String = "0.1.0",
        _ help: String,
        _ details: String = "",
        example: String
    ) {
        self.place = place
        self.name = name
        self.value = value
        self.standard = standard
        self.reload = reload
        self.since = since
        self.help = help
        self.details = details
        self.example = example
    }

    /// `peer.max_streams`.
    public var path: String { "\(self.place.rawValue).\(self.name)" }

    public var description: String { self.path }

    var isRequired: Bool {
        if case .required = self.standard { true } else { false }
    }
}

extension KeyReference {
    /// Every key there is, by place and in the order of the reference.
    public static let all: [KeyReference] =
        Self.serverKeys + Self.clientKeys + Self.forwardKeys + Self.peerKeys + Self.serviceKeys
        + Self.backendKeys + Self.healthKeys

    /// The keys of one table, in the order of the reference.
    public static func keys(of place: KeyPlace) -> [KeyReference] {
        Self.all.filter { $0.place == place }
    }

    /// The entry of a key; `nil` for one that does not exist.
    public static func key(_ name: String, of place: KeyPlace) -> KeyReference? {
        Self.all.first { $0.place == place && $0.name == name }
    }
}
