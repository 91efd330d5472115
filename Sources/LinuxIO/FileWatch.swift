import Glibc

/// Notices that a path leads to another file than before, or that the file was written.
///
/// The folder of each step is watched, that of every link on the way as well: orchestrators and
/// editors replace files, and the links to them, instead of writing into them.
public final class FileWatch {
    /// What tells one file, as it was written, from another.
    private struct Fingerprint: Equatable {
        let device: UInt64
        let inode: UInt64
        let size: Int64
        let seconds: Int
        let nanoseconds: Int
    }

    /// Readable when something has happened near the file.
    public let descriptor: Int32
    private let path: String
    private var watches: [Int32] = []
    private var last: Fingerprint?

    /// Where a chain of links ends that leads nowhere.
    private static let linkLimit = 40

    /// Watches `path` from now on; it may be relative to the current folder, and missing.
    ///
    /// Throws where the kernel gives no inotify instance.
    public init(_ path: String) throws(IOError) {
        self.path = path
        self.descriptor = try plainCall("inotify_init1") {
            inotify_init1(Int32(IN_NONBLOCK | IN_CLOEXEC))
        }
        self.arm()
        self.last = Self.fingerprint(path)
    }

    deinit { closeDescriptor(self.descriptor) }

    /// Whether anything has happened near the file since the last call.
    public func takeEvents() -> Bool {
        var isAny = false
        withUnsafeTemporaryAllocation(byteCount: 4_096, alignment: 16) { buffer in
            while read(self.descriptor, buffer.baseAddress, buffer.count) > 0 { isAny = true }
        }
        return isAny
    }

    /// Whether the path leads to something else than at the last call.
    ///
    /// A file that is gone for the moment is no change.
    public func takeChange() -> Bool {
        self.arm()
        guard let found = Self.fingerprint(self.path), found != self.last else { return false }
        self.last = found
        return true
    }

    private static func fingerprint(_ path: String) -> Fingerprint? {
        var status = stat()
        guard stat(path, &status) == 0 else { return nil }
        return Fingerprint(
            device: UInt64(status.st_dev),
            inode: UInt64(status.st_ino),
            size: Int64(status.st_size),
            seconds: status.st_mtim.tv_sec,
            nanoseconds: status.st_mtim.tv_nsec
        )
    }

    /// Watches the steps of today's way.
    private func arm() {
        for watch in self.watches { inotify_rm_watch(self.descriptor, watch) }
        self.watches = []
        let changes = UInt32(
            IN_CREATE | IN_MOVED_TO | IN_MOVED_FROM | IN_DELETE | IN_CLOSE_WRITE | IN_ATTRIB
        )
        for place in Set(Self.steps(to: self.path)) {
            let watch = inotify_add_watch(self.descriptor, place, changes)
            if watch >= 0 { self.watches.append(watch) }
        }
    }

    /// The folders in which a change would lead `path` elsewhere, and the file itself.
    static func steps(to path: String) -> [String] {
        var rest = path.split(separator: "/").map(String.init)
        var current = path.hasPrefix("/") ? "" : "."
        var steps: [String] = []
        var links = 0
        while !rest.isEmpty {
            let name = rest.removeFirst()
            let place = current + "/" + name
            if let target = self.link(place), links < self.linkLimit {
                links += 1
                steps.append(current.isEmpty ? "/" : current)
                if target.hasPrefix("/") { current = "" }
                rest = target.split(separator: "/").map(String.init) + rest
            } else {
                if rest.isEmpty { steps += [current.isEmpty ? "/" : current, place] }
                current = place
            }
        }
        return steps
    }

    private static func link(_ path: String) -> String? {
        withUnsafeTemporaryAllocation(of: CChar.self, capacity: 4_096) { buffer in
            guard let base = buffer.baseAddress else { return nil }
            let count = readlink(path, base, buffer.count)
            guard count > 0 else { return nil }
            let bytes = UnsafeRawBufferPointer(start: base, count: count)
            return String(decoding: bytes, as: UTF8.self)
        }
    }
}
