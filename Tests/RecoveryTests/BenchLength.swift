import Glibc

/// Virtual seconds of a measurement: `FAIRLEAD_BENCH_SECONDS`, else few, for speed.
let benchSeconds: UInt64 =
    getenv("FAIRLEAD_BENCH_SECONDS").flatMap { UInt64(String(cString: $0)) } ?? 4
