import Glibc

/// Opens a file behind symbolic links, as orchestrators lay out secrets: `client.key` leads to
/// `..data/client.key`, and `..data` to a folder with a date.
///
/// Goes one step after the other and stays in each folder it has looked at, so that nothing can
/// be exchanged behind its back. Each folder and link has to belong to root or to this user, and
/// nobody else may write the folders; in a folder with the sticky bit others cannot exchange what
/// is not theirs.
struct LinkWalk: ~Copyable {
    enum Obstacle: Error {
        /// A step that somebody else may change, and how.
        case unsafe(path: String, how: String)
        case failed(errno: Int32)
    }

    private static let maximumLinks = 16
    /// `O_PATH`, which is hidden from Swift: a folder to go through, not to read.
    private static let pathOnly: Int32 = 0o10_000_000
    private static let folderFlags = Self.pathOnly | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC

    private var folder: Int32
    private var folderPath: String
    /// What is still to be walked, the next step last.
    private var steps: [String] = []
    private var links = 0

    /// A descriptor of the file at the end of `path`.
    static func open(_ path: String) throws(Obstacle) -> Int32 {
        var walk = try LinkWalk(path)
        return try walk.end()
    }

    private init(_ path: String) throws(Obstacle) {
        let isAbsolute = path.hasPrefix("/")
        var start = "/"
        if !isAbsolute, let working = unsafe getcwd(nil, 0) {
            start = unsafe String(cString: working)
            unsafe free(working)
        }
        self.folder = unsafe Glibc.open("/", Self.folderFlags)
        self.folderPath = ""
        self.append(path)
        if !isAbsolute { self.append(start) }
        guard self.folder >= 0 else { throw .failed(errno: errno) }
        try Self.check(self.folder, "/")
    }

    deinit { close(self.folder) }

    private mutating func append(_ path: String) {
        self.steps += path.split(separator: "/").filter { $0 != "." }.reversed().map(String.init)
    }

    private mutating func end() throws(Obstacle) -> Int32 {
        while let step = self.steps.popLast() {
            let path = step == ".." ? "\(self.folderPath)/.." : "\(self.folderPath)/\(step)"
            var status = stat()
            guard unsafe fstatat(self.folder, step, &status, AT_SYMLINK_NOFOLLOW) == 0 else {
                throw .failed(errno: errno)
            }
            try Self.checkOwner(status, path)
            if status.st_mode & S_IFMT == S_IFLNK {
                try self.follow(step)
            } else if self.steps.isEmpty {
                let flags = O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK
                let file = unsafe openat(self.folder, step, flags)
                guard file >= 0 else { throw .failed(errno: errno) }
                return file
            } else {
                try self.enter(step, path)
            }
        }
        throw .failed(errno: EISDIR)
    }

    private mutating func follow(_ link: String) throws(Obstacle) {
        self.links += 1
        guard self.links <= Self.maximumLinks else { throw .failed(errno: ELOOP) }
        var target = [UInt8](repeating: 0, count: Int(PATH_MAX))
        let count = unsafe target.withUnsafeMutableBytes { buffer in
            unsafe buffer.baseAddress.map { unsafe readlinkat(self.folder, link, $0, buffer.count) }
                ?? 0
        }
        guard count > 0 else { throw .failed(errno: count == 0 ? ENOENT : errno) }
        let path = String(decoding: target[..<count], as: UTF8.self)
        self.append(path)
        guard path.hasPrefix("/") else { return }
        let root = unsafe Glibc.open("/", Self.folderFlags)
        guard root >= 0 else { throw .failed(errno: errno) }
        close(self.folder)
        (self.folder, self.folderPath) = (root, "")
    }

    private mutating func enter(_ step: String, _ path: String) throws(Obstacle) {
        let next = unsafe openat(self.folder, step, Self.folderFlags)
        guard next >= 0 else { throw .failed(errno: errno) }
        close(self.folder)
        (self.folder, self.folderPath) = (next, path)
        try Self.check(next, path)
    }

    private static func check(_ folder: Int32, _ path: String) throws(Obstacle) {
        var status = stat()
        guard unsafe fstat(folder, &status) == 0 else { throw .failed(errno: errno) }
        try Self.checkOwner(status, path)
        guard status.st_mode & 0o022 == 0 || status.st_mode & S_ISVTX != 0 else {
            throw .unsafe(path: path, how: "which others may write")
        }
    }

    private static func checkOwner(_ status: stat, _ path: String) throws(Obstacle) {
        guard status.st_uid == 0 || status.st_uid == geteuid() else {
            throw .unsafe(path: path, how: "which belongs to uid \(status.st_uid)")
        }
    }
}
