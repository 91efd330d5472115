import Glibc

/// What a non-blocking call can say when nothing is wrong.
@frozen
public enum IOResult<Value> {
    /// The call has done its work and returned this.
    case done(Value)
    /// The call would have had to wait (`EAGAIN`): ask the poller.
    case wouldBlock
}

extension IOResult: Sendable where Value: Sendable {}
extension IOResult: Equatable where Value: Equatable {}

/// A call the kernel refused.
public struct IOError: Error, Hashable, Sendable, CustomStringConvertible {
    /// The `errno` value.
    public var code: Int32
    /// The call's name, as in the manual pages.
    public var call: String

    /// A refusal with an `errno` value, and the call's name as in the manual pages.
    public init(code: Int32, call: StaticString) {
        self.code = code
        self.call = call.description
    }

    /// The kernel's words for the code, without the call.
    public var reason: String { String(cString: strerror(self.code)) }

    public var description: String { "\(self.call): \(self.reason)" }
}

/// Runs one system call: retries on EINTR, folds EAGAIN into a value and throws the rest; the two
/// codes that can only mean a bug of ours trap.
@inline(__always)
func systemCall<Value: FixedWidthInteger>(
    _ name: StaticString,
    _ body: () -> Value
) throws(IOError) -> IOResult<Value> {
    while true {
        let result = body()
        if result != -1 { return .done(result) }
        switch errno {
        case EINTR: continue
        case EAGAIN: return .wouldBlock
        case EBADF, EFAULT:
            preconditionFailure("\(name): errno \(errno) means this program is wrong")
        case let code: throw IOError(code: code, call: name)
        }
    }
}

/// Runs one system call that has no business saying EAGAIN.
@inline(__always)
func plainCall<Value: FixedWidthInteger>(
    _ name: StaticString,
    _ body: () -> Value
) throws(IOError) -> Value {
    switch try systemCall(name, body) {
    case .done(let value): return value
    case .wouldBlock: throw IOError(code: EAGAIN, call: name)
    }
}

/// Sets an integer socket option.
func setOption(
    _ descriptor: Int32,
    _ level: Int32,
    _ option: Int32,
    _ value: Int32,
    _ name: StaticString
) throws(IOError) {
    var value = value
    _ = try plainCall(name) {
        setsockopt(descriptor, level, option, &value, socklen_t(MemoryLayout<Int32>.size))
    }
}

/// Reads an integer socket option; `nil` when the kernel does not know it.
func option(_ descriptor: Int32, _ level: Int32, _ option: Int32) -> Int32? {
    var value: Int32 = 0
    var length = socklen_t(MemoryLayout<Int32>.size)
    return getsockopt(descriptor, level, option, &value, &length) == 0 ? value : nil
}

/// Opens a non-blocking socket that children do not inherit.
func openSocket(_ family: Int32, _ kind: __socket_type) throws(IOError) -> Int32 {
    let flags = Int32(kind.rawValue | SOCK_NONBLOCK.rawValue | SOCK_CLOEXEC.rawValue)
    return try plainCall("socket") { socket(family, flags, 0) }
}

/// Closes a descriptor; on Linux it is gone whatever the call says, so there is nothing to report.
func closeDescriptor(_ descriptor: Int32) { _ = Glibc.close(descriptor) }
