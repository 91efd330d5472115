import Glibc
public import Sealing

/// A checked configuration and the keys whose files it names.
public struct LoadedConfiguration<Configuration: Sendable>: Sendable {
    /// What the file says, checked.
    public let configuration: Configuration
    /// The key of `private_key`, read and derived.
    public let privateKey: SecretKey
    /// By the public key of whom they are shared with.
    public let presharedKeys: [PublicKey: PresharedKey]

    /// A configuration with its keys; tests make one without files.
    public init(
        configuration: Configuration,
        privateKey: SecretKey,
        presharedKeys: [PublicKey: PresharedKey] = [:]
    ) {
        self.configuration = configuration
        self.privateKey = privateKey
        self.presharedKeys = presharedKeys
    }
}

/// What a file can be read into.
protocol ReadableConfiguration: Sendable {
    /// `nil` only after a complaint.
    init?(_ root: Section, folder: String)

    var privateKey: KeyFile { get }

    static var kind: FileKind { get }

    /// The tables that may name a preshared key, and the key of that by which they name its other
    /// holder.
    static func presharedPlaces(_ root: Section) -> [(section: Section, holder: String)]
}

/// A text to read and where it came from.
struct Source {
    let text: String
    let file: String
    /// What relative paths are relative to; empty for the current folder.
    let folder: String

    init(text: String, file: String, folder: String) {
        self.text = text
        self.file = file
        self.folder = folder
    }

    /// Reads the file at `path`; `language` is what messages say it should be written in.
    init(path: String, language: String = "TOML") throws(ConfigurationError) {
        let folder = path.lastIndex(of: "/").map { String(path[...$0].dropLast()) }
        do {
            let text = try Self.contents(of: path, language)
            // An absolute path without a folder lies in the root.
            self.init(text: text, file: path, folder: folder == "" ? "/" : folder ?? "")
        } catch {
            throw ConfigurationError(file: path, complaints: [error])
        }
    }

    /// Parses the text; throws all complaints, if any.
    func read<Value: ReadableConfiguration>() throws(ConfigurationError) -> Value {
        try self.read(Value.kind.place) { root in Value(root, folder: self.folder) }
    }

    /// Parses the text and loads the keys; a complaint about a key stands among the others.
    func load<Value: ReadableConfiguration>(
        keyMode: KeyMode
    ) throws(ConfigurationError) -> LoadedConfiguration<Value> {
        try self.read(Value.kind.place) { root -> LoadedConfiguration<Value>? in
            let value = Value(root, folder: self.folder)
            if let other = root.otherKind(than: Value.kind) {
                root.findings.replace(with: other)
                return nil
            }
            root.checkControlFolder(relativeTo: self.folder)
            let shared = Value.presharedPlaces(root).compactMap {
                self.presharedKey($0.section, of: $0.holder, keyMode)
            }
            guard let file = root.quietKeyFile("private_key", relativeTo: self.folder) else {
                return nil
            }
            do throws(KeyFileRefusal) {
                let key = try file.load(keyMode)
                for place in Value.presharedPlaces(root) {
                    place.section.checkHolder(place.holder, against: key, in: Value.kind)
                }
                return value.map {
                    LoadedConfiguration(
                        configuration: $0,
                        privateKey: key,
                        presharedKeys: Dictionary(shared) { first, _ in first }
                    )
                }
            } catch {
                root.complain("private_key", got: error.got, expected: error.expected)
                return nil
            }
        }
    }

    private func presharedKey(
        _ section: Section,
        of holder: String,
        _ keyMode: KeyMode
    ) -> (PublicKey, PresharedKey)? {
        let file = section.quietKeyFile("preshared_key", relativeTo: self.folder)
        guard let file else { return nil }
        do throws(KeyFileRefusal) {
            let key = try file.loadPreshared(keyMode)
            guard case .string(let text)? = section[holder]?.value else { return nil }
            return PublicKey(base64: text).map { ($0, key) }
        } catch {
            section.complain("preshared_key", got: error.got, expected: error.expected)
            return nil
        }
    }

    private func read<Value>(
        _ place: KeyPlace,
        _ body: (Section) -> Value?
    ) throws(ConfigurationError) -> Value {
        let findings = Findings()
        var value: Value?
        do {
            let root = try Document.parse(self.text)
            if case .table(let entries) = root.value {
                value = body(Section(entries, of: place, line: 1, findings: findings))
            }
        } catch {
            findings.add(error)
        }
        guard let value, findings.complaints.isEmpty else {
            throw ConfigurationError(file: self.file, complaints: findings.sorted)
        }
        return value
    }

    private static func contents(
        of path: String,
        _ language: String
    ) throws(Complaint) -> String {
        let expected = "a readable text file in \(language) of at most 1 MiB"
        let wrong = { (got: String) in
            Complaint(line: 1, key: "file", got: got, expected: expected)
        }
        let descriptor = unsafe open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
        guard descriptor >= 0 else {
            throw unsafe wrong(String(cString: strerror(errno)).lowercased())
        }
        defer { close(descriptor) }
        var bytes: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 65_536)
        while true {
            let count = unsafe Glibc.read(descriptor, &chunk, chunk.count)
            if count < 0, errno == EINTR { continue }
            guard count >= 0 else {
                throw unsafe wrong(String(cString: strerror(errno)).lowercased())
            }
            if count == 0 { break }
            bytes += chunk[..<count]
            guard bytes.count <= Document.maximumByteCount else { throw wrong("a larger file") }
        }
        if let text = String(validating: bytes, as: UTF8.self) { return text }
        let lines = bytes.split(separator: 10, omittingEmptySubsequences: false)
        let bad = lines.firstIndex { String(validating: $0, as: UTF8.self) == nil } ?? 0
        throw Complaint(
            line: bad + 1,
            key: "syntax",
            got: "bytes that are not UTF-8",
            expected: "a text in UTF-8"
        )
    }
}
