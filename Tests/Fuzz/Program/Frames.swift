import Primitives

@testable import Session

/// Every type of frame over any bytes: what is read is written as it stood, and the rest is left.
func fuzzFrames(_ input: inout Input) {
    let choice = input.byte()
    let body = input.everything()
    switch choice % 14 {
    case 0: hold(StreamFrame.self, body)
    case 1: hold(StreamPartFrame.self, body)
    case 2: hold(CloseFrame.self, body)
    case 3: hold(WindowFrame.self, body)
    case 4: hold(DatagramFrame.self, body)
    case 5: hold(FragmentFrame.self, body)
    case 6: hold(CopiesFrame.self, body)
    case 7: hold(RepairFrame.self, body)
    case 8: hold(RateFrame.self, body)
    case 9: hold(MayDeflateFrame.self, body)
    case 10: hold(RatchetFrame.self, body)
    // A byte that means nothing here, or a reason of a later version, is not written again.
    case 11: hold(PathFrame.self, body, isExact: false)
    case 12: hold(ResetFrame.self, body, isExact: false)
    default: holdOpen(body)
    }
}

private func hold<Kind: Frame>(_: Kind.Type, _ body: [UInt8], isExact: Bool = true) {
    body.withUnsafeBytes { bytes in
        var reader = ByteReader(bytes)
        guard let frame = Kind(parsing: &reader) else { return }
        let count = Kind.fieldByteCount
        Oracle.hold(bytes.count - reader.remaining == count, "it read more than its fields")
        let written = write(count) { frame.encode(to: &$0) }
        Oracle.hold(written.count == count, "it wrote more than its fields")
        Oracle.hold(!isExact || written == Array(body[..<count]), "it wrote what it had not read")
        // What was written is read the same, whatever was left out.
        let again = written.withUnsafeBytes { bytes -> [UInt8]? in
            var reader = ByteReader(bytes)
            return Kind(parsing: &reader).map { frame in write(count) { frame.encode(to: &$0) } }
        }
        Oracle.hold(again == written, "it did not read what it wrote")
    }
}

/// An OPEN that is read says the same when it is written, within its limit.
private func holdOpen(_ body: [UInt8]) {
    body.withUnsafeBytes { bytes in
        var reader = ByteReader(bytes)
        guard let frame = OpenFrame(parsing: &reader) else { return }
        let limit = Opening.byteCountLimit(frame.request)
        let written = write(limit) { frame.encode(to: &$0) }
        let again = written.withUnsafeBytes { bytes in
            var reader = ByteReader(bytes)
            return OpenFrame(parsing: &reader)
        }
        Oracle.hold(again == frame, "another request came of it")
    }
}

private func write(_ capacity: Int, _ body: (inout ByteWriter) -> Void) -> [UInt8] {
    [UInt8](unsafeUninitializedCapacity: max(1, capacity)) { buffer, count in
        guard let base = buffer.baseAddress else { return }
        var writer = ByteWriter(base, capacity: capacity)
        body(&writer)
        count = writer.count
    }
}
