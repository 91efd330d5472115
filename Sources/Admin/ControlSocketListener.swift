import Glibc
import LinuxIO

/// The unix socket that `fairlead status` talks to; only its owner may connect.
final class ControlSocketListener {
    let path: String
    let descriptor: Int32

    /// Binds `path`, replacing what a process that died has left there.
    init(path: String) throws(IOError) {
        let kind = Int32(SOCK_STREAM.rawValue | SOCK_NONBLOCK.rawValue | SOCK_CLOEXEC.rawValue)
        let descriptor = socket(AF_UNIX, kind, 0)
        guard descriptor >= 0 else { throw IOError(code: errno, call: "socket") }
        do throws(IOError) {
            // On the socket before bind(2), so that the file never exists with another mode.
            guard fchmod(descriptor, 0o600) == 0 else {
                throw IOError(code: errno, call: "fchmod")
            }
            if let code = Self.bind(descriptor, to: path) {
                guard code == EADDRINUSE, Self.removeStale(path) else {
                    throw IOError(code: code, call: "bind")
                }
                if let code = Self.bind(descriptor, to: path) {
                    throw IOError(code: code, call: "bind")
                }
            }
            guard listen(descriptor, 16) == 0 else { throw IOError(code: errno, call: "listen") }
        } catch {
            Glibc.close(descriptor)
            throw error
        }
        // Last of all: from here on a failure would run deinit, which removes the file.
        self.descriptor = descriptor
        self.path = path
    }

    /// Binds the first of `paths` that can be; a missing last folder of a path is made.
    static func first(of paths: [String]) throws(IOError) -> ControlSocketListener {
        var failure = IOError(code: ENOENT, call: "bind")
        for path in paths {
            if let slash = path.lastIndex(of: "/") { unsafe mkdir(String(path[..<slash]), 0o755) }
            do throws(IOError) {
                return try ControlSocketListener(path: path)
            } catch {
                failure = error
            }
        }
        throw failure
    }

    deinit {
        unsafe unlink(self.path)
        Glibc.close(self.descriptor)
    }

    /// `nil` when nobody is waiting, or the one who was has left.
    func accept() -> Int32? {
        let descriptor = Glibc.accept(self.descriptor, nil, nil)
        guard descriptor >= 0 else { return nil }
        _ = fcntl(descriptor, F_SETFD, FD_CLOEXEC)
        _ = fcntl(descriptor, F_SETFL, O_NONBLOCK)
        return descriptor
    }

    /// The error, or `nil` for success.
    private static func bind(_ descriptor: Int32, to path: String) -> Int32? {
        guard var address = UnixAddress(path) else { return ENAMETOOLONG }
        let result = unsafe address.withKernelAddress { unsafe Glibc.bind(descriptor, $0, $1) }
        return result == 0 ? nil : errno
    }

    /// Removes a socket nobody listens on; never anything that is no socket.
    private static func removeStale(_ path: String) -> Bool {
        var status = stat()
        guard unsafe lstat(path, &status) == 0, status.st_mode & S_IFMT == S_IFSOCK,
            var address = UnixAddress(path)
        else { return false }
        let probe = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue | SOCK_NONBLOCK.rawValue), 0)
        guard probe >= 0 else { return false }
        defer { Glibc.close(probe) }
        let result = unsafe address.withKernelAddress { unsafe connect(probe, $0, $1) }
        return unsafe result == -1 && errno == ECONNREFUSED && unlink(path) == 0
    }
}

/// A path as the kernel wants it.
struct UnixAddress {
    private var storage = sockaddr_un()

    /// `nil` for a path that is empty or longer than 107 bytes.
    init?(_ path: String) {
        self.storage.sun_family = sa_family_t(AF_UNIX)
        let bytes = Array(path.utf8)
        let fits = unsafe withUnsafeMutableBytes(of: &self.storage.sun_path) { field in
            guard !bytes.isEmpty, bytes.count < field.count, !bytes.contains(0) else {
                return false
            }
            unsafe field.copyBytes(from: bytes)
            return true
        }
        guard fits else { return nil }
    }

    mutating func withKernelAddress<Result>(
        _ body: (UnsafePointer<sockaddr>, socklen_t) -> Result
    ) -> Result {
        unsafe withUnsafePointer(to: &self.storage) { pointer in
            unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                unsafe body($0, socklen_t(MemoryLayout<sockaddr_un>.size))
            }
        }
    }
}
