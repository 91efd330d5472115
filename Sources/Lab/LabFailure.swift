import Glibc

/// Why the laboratory cannot go on, in words for a person.
public struct LabFailure: Error, Hashable, Sendable, CustomStringConvertible {
    /// The cause, and the cure where one is known, in one line.
    public let description: String

    /// A failure with its words for the person at the terminal.
    public init(_ description: String) { self.description = description }

    /// A call the kernel refused, with the present `errno`.
    static func call(_ name: String) -> Self {
        Self("\(name): \(String(cString: strerror(errno)))")
    }
}

/// A signal asked the laboratory to end.
public struct LabInterruption: Error {}
