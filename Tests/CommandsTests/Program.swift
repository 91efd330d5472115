import Foundation
import Testing

/// One of the programs, run as an operator runs it.
struct Program {
    var status: Int32
    var output: String
    var errors: String

    /// Runs `name` from the folder that this test bundle was built into.
    static func run(_ name: String, _ arguments: String..., in folder: String) throws -> Program {
        try self.run(name, arguments, in: folder)
    }

    static func run(_ name: String, _ arguments: [String], in folder: String) throws -> Program {
        let bundle = URL(fileURLWithPath: CommandLine.arguments[0]).resolvingSymlinksInPath()
        let process = Process()
        process.executableURL = bundle.deletingLastPathComponent().appendingPathComponent(name)
        process.arguments = arguments
        process.currentDirectoryURL = URL(fileURLWithPath: folder)
        let (output, errors) = (Pipe(), Pipe())
        process.standardOutput = output
        process.standardError = errors
        process.standardInput = FileHandle.nullDevice
        try process.run()
        // Messages are far smaller than a pipe, so one after the other does not block.
        let outputText = String(
            decoding: output.fileHandleForReading.availableUntilEnd,
            as: UTF8.self
        )
        let errorText = String(
            decoding: errors.fileHandleForReading.availableUntilEnd,
            as: UTF8.self
        )
        process.waitUntilExit()
        return Program(status: process.terminationStatus, output: outputText, errors: errorText)
    }
}

extension FileHandle {
    fileprivate var availableUntilEnd: Data { (try? self.readToEnd()) ?? Data() }
}

/// A folder of its own for one test, gone afterwards.
final class TemporaryFolder {
    let path: String

    init() throws {
        var template = Array("/tmp/fairlead-test-XXXXXX\0".utf8).map { CChar(bitPattern: $0) }
        self.path = String(cString: try #require(mkdtemp(&template)))
    }

    deinit { try? FileManager.default.removeItem(atPath: self.path) }

    func file(_ name: String) -> String { "\(self.path)/\(name)" }

    func write(_ text: String, to name: String) throws {
        try text.write(toFile: self.file(name), atomically: false, encoding: .utf8)
    }
}
