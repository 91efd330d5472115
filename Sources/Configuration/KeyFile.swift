/// Where a private key lies; the key itself is read when it is needed and never kept here.
public struct KeyFile: Hashable, Sendable {
    /// What a key file's one line begins with.
    static let label = "FAIRLEAD-SECRET-KEY:"

    /// As written in the configuration.
    public var path: String
    /// The path to open: relative ones are relative to the configuration file's folder.
    public var location: String

    public init(path: String, location: String) {
        self.path = path
        self.location = location
    }
}
