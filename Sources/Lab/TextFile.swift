import Glibc

/// Whole files as texts.
enum TextFile {
    /// `nil`, with `errno` set, when the file cannot be read.
    static func read(_ path: String) -> String? {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { return nil }
        defer { close(descriptor) }
        var bytes: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 65_536)
        while true {
            let count = Glibc.read(descriptor, &chunk, chunk.count)
            if count < 0, errno == EINTR { continue }
            guard count >= 0 else { return nil }
            if count == 0 { return String(decoding: bytes, as: UTF8.self) }
            bytes += chunk[..<count]
        }
    }

    static func write(_ text: String, to path: String, mode: mode_t = 0o644) throws(LabFailure) {
        let descriptor = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode)
        guard descriptor >= 0 else { throw .call(path) }
        defer { close(descriptor) }
        var rest = Array(text.utf8)[...]
        while !rest.isEmpty {
            let count = rest.withUnsafeBytes { Glibc.write(descriptor, $0.baseAddress, $0.count) }
            if count < 0, errno == EINTR { continue }
            guard count > 0 else { throw .call(path) }
            rest = rest.dropFirst(count)
        }
    }

    /// Makes a folder and those above it.
    static func makeFolder(_ path: String) throws(LabFailure) {
        var prefix = path.hasPrefix("/") ? "" : "."
        for step in path.split(separator: "/") {
            prefix += "/\(step)"
            guard mkdir(prefix, 0o755) == 0 || errno == EEXIST else { throw .call(prefix) }
        }
    }

    /// The names in a folder, sorted.
    static func names(in folder: String) throws(LabFailure) -> [String] {
        guard let stream = opendir(folder) else { throw .call(folder) }
        defer { closedir(stream) }
        var names: [String] = []
        while let entry = readdir(stream) {
            let name = withUnsafeBytes(of: &entry.pointee.d_name) { bytes in
                String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
            }
            names.append(name)
        }
        return names.sorted()
    }
}

extension TextFile {
    /// Removes a folder that holds files only.
    static func removeFolder(_ path: String) {
        for name in (try? Self.names(in: path)) ?? [] where name != "." && name != ".." {
            unlink("\(path)/\(name)")
        }
        rmdir(path)
    }
}
