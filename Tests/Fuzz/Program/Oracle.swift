import CFuzzer
import Glibc

/// What the targets hold the code to besides "no trap" and AddressSanitizer's own checks.
enum Oracle {
    /// So many bytes of a filling in a row are no accident.
    private static let fillRun = 24
    /// What new blocks of memory are filled with.
    nonisolated(unsafe) private static var fill: UInt8 = 0
    nonisolated(unsafe) private static var suspicion: String?
    /// FNV-1a of everything that came out, if that is asked for.
    nonisolated(unsafe) private static var digest: UInt64?

    static func hold(_ isTrue: Bool, _ sentence: @autoclosure () -> String) {
        guard !isTrue else { return }
        print("oracle: \(sentence())")
        fflush(nil)
        abort()
    }

    /// Runs an input, and holds what it costs against its length.
    ///
    /// If bytes came out which look like memory that nobody wrote, the input is run twice more:
    /// bytes that change with what memory is filled with were written by nobody indeed.
    static func judge(_ target: Target, _ bytes: UnsafeRawBufferPointer) {
        let begin = Self.work
        _ = self.run(target, bytes, fill: 0xA5, digest: nil)
        let spent = Self.work - begin
        Self.hold(
            spent <= target.work + target.workPerByte * UInt64(bytes.count),
            "\(bytes.count) bytes of input cost \(spent) units of work"
        )
        guard let suspicion = Self.suspicion else { return }
        let digests = [0x5B, 0xD3].map { self.run(target, bytes, fill: $0, digest: 0) }
        Self.hold(digests[0] == digests[1], "\(suspicion) holds bytes that nobody wrote")
    }

    private static func run(
        _ target: Target,
        _ bytes: UnsafeRawBufferPointer,
        fill: UInt8,
        digest: UInt64?
    ) -> UInt64? {
        Self.fill = fill
        CFuzzer_fill(fill)
        Self.suspicion = nil
        Self.digest = digest
        var input = Input(bytes)
        target.run(&input)
        return Self.digest
    }

    /// Suspects `what` if it was handed out beyond what had been put into it.
    static func isWritten(_ bytes: UnsafeRawBufferPointer, _ what: @autoclosure () -> String) {
        if let digest = Self.digest {
            Self.digest = bytes.reduce(digest ^ 0xCBF2_9CE4_8422_2325) {
                ($0 ^ UInt64($1)) &* 0x100_0000_01B3
            }
        }
        let fill = Self.fill
        var run = 0
        for byte in bytes {
            run = byte == fill ? run + 1 : 0
            guard run < Self.fillRun else { return Self.suspicion = what() }
        }
    }

    static var heap: Int { Int(__sanitizer_get_current_allocated_bytes()) }

    /// Units of work so far: comparisons, and bytes that the kernels of codes touched, by eights.
    ///
    /// They are counted and not timed, so that an input costs the same wherever it runs.
    static var work: UInt64 { CFuzzer_work() }
}
