import Glibc
import Synchronization

/// Faults made on purpose, one a run, for `contrib/sanitize.sh` to see; and what is none.
///
///     fairlead-faults heap           reads a block that has been given back
///     fairlead-faults exclusivity    changes a variable that is being changed
///     fairlead-faults threads        threads count without a lock
///     fairlead-faults lock           threads count with a lock, which is no fault
@main
enum Faults {
    static func main() {
        switch CommandLine.arguments.dropFirst().first {
        case "heap": print(Self.heap())
        case "exclusivity": print(Self.exclusivity())
        case "threads": print(Self.threads())
        case "lock": print(Self.lock())
        default: exit(2)
        }
    }

    private static func heap() -> UInt8 {
        let block = UnsafeMutablePointer<UInt8>.allocate(capacity: 16)
        block.initialize(repeating: 1, count: 16)
        block.deallocate()
        return block[3]
    }

    private final class Cell {
        var value = 0
    }

    private static func exclusivity() -> Int {
        let cell = Cell()
        Self.change(&cell.value) { cell.value += 1 }
        return cell.value
    }

    private static func change(_ value: inout Int, meanwhile: () -> Void) {
        meanwhile()
        value += 1
    }

    private nonisolated(unsafe) static var count = 0

    private static func threads() -> Int {
        Self.onFourThreads { _ in
            for _ in 0..<1000 { Faults.count += 1 }
            return nil
        }
        return Self.count
    }

    /// Threads that share it meet in it: there are far more turns than one slice of time holds.
    private static let locked = Mutex(0)

    private static func lock() -> Int {
        Self.onFourThreads { _ in
            for _ in 0..<50_000 { Faults.locked.withLock { $0 += 1 } }
            return nil
        }
        return Self.locked.withLock { $0 }
    }

    private static func onFourThreads(
        _ body: @convention(c) (UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer?
    ) {
        let threads = (0..<4).map { _ in
            var thread = pthread_t()
            let error = pthread_create(&thread, nil, body, nil)
            precondition(error == 0, "no thread")
            return thread
        }
        for thread in threads { pthread_join(thread, nil) }
    }
}
