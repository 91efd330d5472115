import Glibc

/// Why the laboratory cannot go on, in words for a person.
public struct LabFailure: Error, Hashable, Sendable, CustomStringConvertible {
    public let description: String

    public init(_ description: String) { self.description = description }

    /// A call the kernel refused, with the present `errno`.
    static func call(_ name: String) -> Self {
        Self("\(name): \(String(cString: strerror(errno)))")
    }
}

/// A signal asked the laboratory to end.
public struct LabInterruption: Error {}
