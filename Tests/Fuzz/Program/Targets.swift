import Glibc

/// What can be fuzzed; `FUZZ_TARGET` names one, and without it all names are printed.
///
/// One program for all: libFuzzer brings `main`, and everything is linked once.
struct Target: Sendable {
    let name: String
    /// The units of work that any input may cost, and that each of its bytes may cost besides.
    let work: UInt64
    let workPerByte: UInt64
    let run: @Sendable (inout Input) -> Void

    init(
        _ name: String,
        work: UInt64 = 1_000_000,
        workPerByte: UInt64,
        _ run: @escaping @Sendable (inout Input) -> Void
    ) {
        self.name = name
        self.work = work
        self.workPerByte = workPerByte
        self.run = run
    }
}

private let targets = [
    Target("engines", workPerByte: 16_000, fuzzEngines),
    Target("moves", workPerByte: 16_000, fuzzMoves),
    Target("packets", workPerByte: 12_000, fuzzPackets),
    Target("reassembly", workPerByte: 16_000, fuzzReassembly),
    Target("frames", workPerByte: 600, fuzzFrames),
    Target("acks", workPerByte: 1000, fuzzAcks),
    Target("model", workPerByte: 40_000, fuzzModel),
    Target("decoders", workPerByte: 100_000, fuzzDecoders),
    Target("conversations", workPerByte: 4000, fuzzConversations),
    Target("inflaters", workPerByte: 5000, fuzzInflaters),
    Target("headers", workPerByte: 600, fuzzHeaders),
    Target("configuration", workPerByte: 16_000, fuzzConfiguration),
    Target("admin", workPerByte: 600, fuzzAdmin),
    Target("answers", workPerByte: 600, fuzzAnswers),
]

private let chosen: Target = {
    let name = getenv("FUZZ_TARGET").map { String(cString: $0) }
    guard let target = targets.first(where: { $0.name == name }) else {
        print(targets.map(\.name).joined(separator: "\n"))
        exit(name == nil ? 0 : 2)
    }
    return target
}()

@_cdecl("LLVMFuzzerInitialize")
public func initialize(_: UnsafeRawPointer, _: UnsafeRawPointer) -> CInt {
    _ = chosen
    return 0
}

@_cdecl("LLVMFuzzerTestOneInput")
public func testOneInput(_ bytes: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
    Oracle.judge(chosen, UnsafeRawBufferPointer(start: bytes, count: count))
    return 0
}
