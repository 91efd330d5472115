import Glibc
public import Sealing

/// Where a private or preshared key lies; the key itself is read when it is needed and never kept
/// here.
public struct KeyFile: Hashable, Sendable {
    /// As written in the configuration.
    public var path: String
    /// The path to open: relative ones are relative to the configuration file's folder.
    public var location: String

    /// A file that nobody has looked for yet.
    public init(path: String, location: String) {
        self.path = path
        self.location = location
    }

    /// Reads a private key, if its file is one that nobody else could have read.
    ///
    /// Follows links where nobody else may change them; never waits for a pipe.
    public func load(_ mode: KeyMode = .strict) throws(KeyFileRefusal) -> SecretKey {
        let text = try self.read(.secret, mode)
        do throws(KeyFileError) {
            return try SecretKey(keyFileText: text)
        } catch {
            throw self.refusal(error, "fairlead keygen or wg genkey")
        }
    }

    /// Reads a preshared key, by the same rules.
    public func loadPreshared(_ mode: KeyMode = .strict) throws(KeyFileRefusal) -> PresharedKey {
        let text = try self.read(.preshared, mode)
        do throws(KeyFileError) {
            return try PresharedKey(keyFileText: text)
        } catch {
            throw self.refusal(error, "fairlead keygen --preshared or wg genpsk")
        }
    }

    private func refusal(_ error: KeyFileError, _ writers: String) -> KeyFileRefusal {
        self.refusal("in which \(error)", "a key file as \(writers) writes it")
    }

    private func read(_ kind: KeyKind, _ mode: KeyMode) throws(KeyFileRefusal) -> String {
        let descriptor = try self.open(kind)
        defer { close(descriptor) }
        var status = stat()
        guard unsafe fstat(descriptor, &status) == 0 else { throw self.refusal(errno: errno, kind) }
        try self.check(status.st_mode, mode)
        return try self.text(of: descriptor, kind)
    }

    private func open(_ kind: KeyKind) throws(KeyFileRefusal) -> Int32 {
        let flags = O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK
        let descriptor = unsafe Glibc.open(self.location, flags)
        if descriptor >= 0 { return descriptor }
        guard errno == ELOOP else { throw self.refusal(errno: errno, kind) }
        do throws(LinkWalk.Obstacle) {
            return try LinkWalk.open(self.location)
        } catch {
            switch error {
            case .failed(let code): throw self.refusal(errno: code, kind)
            case .unsafe(let path, let how):
                throw self.refusal(
                    "which is a symbolic link by way of \(Complaint.oneLine(path)), \(how)",
                    "links and folders that only root and this user (uid \(geteuid())) may change"
                )
            }
        }
    }

    private func check(_ held: mode_t, _ mode: KeyMode) throws(KeyFileRefusal) {
        guard held & S_IFMT == S_IFREG else {
            throw self.refusal("which is no ordinary file", "the path of a key file")
        }
        guard held & mode.forbidden != 0 else { return }
        let digits = String(held & 0o7777, radix: 8)
        let octal = String(repeating: "0", count: max(0, 4 - digits.count)) + digits
        let command = "\(mode.command) \(Complaint.oneLine(self.location))"
        let other = KeyMode.accepting(held).map {
            ", or --key-mode \($0) where the mode cannot be changed"
        }
        throw self.refusal(
            "with mode \(octal)",
            "\(mode.wanted): \(command)\(other ?? "")"
        )
    }

    private func text(
        of descriptor: Int32,
        _ kind: KeyKind
    ) throws(KeyFileRefusal) -> String {
        let capacity = 4096
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: capacity, alignment: 1)
        defer {
            unsafe buffer.baseAddress.map { unsafe explicit_bzero($0, capacity) }
            unsafe buffer.deallocate()
        }
        var count = 0
        while count < capacity {
            let rest = unsafe UnsafeMutableRawBufferPointer(rebasing: buffer[count...])
            let result = unsafe Glibc.read(descriptor, rest.baseAddress, rest.count)
            if result < 0, errno == EINTR { continue }
            guard result >= 0 else { throw self.refusal(errno: errno, kind) }
            if result == 0 { break }
            count += result
        }
        guard count < capacity else {
            throw self.refusal("of 4096 bytes or more", "a key file, which is much smaller")
        }
        return unsafe String(decoding: buffer[..<count], as: UTF8.self)
    }

    private func refusal(errno code: Int32, _ kind: KeyKind) -> KeyFileRefusal {
        switch code {
        case ENOENT where self.location.hasPrefix("/run/credentials/"):
            self.refusal(
                "which does not exist outside the unit that it is for",
                "a running unit with LoadCredential=NAME:/etc/fairlead/NAME, which puts it there;"
                    + " keys themselves are made in /etc/fairlead"
            )
        case ENOENT:
            self.refusal(
                "which does not exist",
                "a key file; make one: fairlead keygen "
                    + (kind == .preshared ? "--preshared " : "")
                    + Complaint.oneLine(self.location)
            )
        case ELOOP:
            self.refusal("which is too many symbolic links", "at most 16 on the way to a key file")
        case EACCES, EPERM:
            self.refusal(
                "which this user may not read",
                "a file that belongs to the user who runs fairlead (uid \(geteuid()))"
            )
        default:
            self.refusal(
                unsafe "(\(String(cString: strerror(code)).lowercased()))",
                "a readable key file"
            )
        }
    }

    private func refusal(_ problem: String, _ expected: String) -> KeyFileRefusal {
        KeyFileRefusal(got: "\(Complaint.quoted(self.path)) \(problem)", expected: expected)
    }
}

/// Why a key file is not used: what it is, and what to do.
///
/// Holds nothing of its contents.
public struct KeyFileRefusal: Error, Hashable, Sendable, CustomStringConvertible {
    /// What was found: the path in quotes and what is wrong with it.
    public let got: String
    /// What it should have been, with the command that makes it so.
    public let expected: String

    public var description: String { "got \(self.got), expected \(self.expected)" }
}
