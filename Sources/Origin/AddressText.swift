import Primitives

/// Addresses and ports as the text of PROXY v1, read and written in place, without a `String`.
enum AddressText {
    typealias Bytes = Slice<UnsafeRawBufferPointer>

    /// `0`...`65535`, no leading zero, no sign.
    static func port(_ text: Bytes) -> UInt16? {
        guard (1...5).contains(text.count), text.first != 48 || text.count == 1 else { return nil }
        var value: UInt32 = 0
        for byte in text {
            guard (48...57).contains(byte) else { return nil }
            value = value * 10 + UInt32(byte - 48)
        }
        return UInt16(exactly: value)
    }

    /// Four decimal numbers without leading zeros, which some libraries read as octal.
    static func ipv4(_ text: Bytes) -> UInt32? {
        var bits: UInt32 = 0
        var start = text.startIndex
        for part in 0..<4 {
            var end = start
            while end < text.endIndex, text[end] != 46 { end += 1 }
            guard let byte = Self.port(text[start..<end]), byte <= 255,
                (end < text.endIndex) == (part < 3)
            else { return nil }
            bits = bits << 8 | UInt32(byte)
            start = end + 1
        }
        return bits
    }

    /// RFC 4291 §2.2, the form with a dotted tail included; no scope.
    static func ipv6(_ text: Bytes) -> (high: UInt64, low: UInt64)? {
        guard (2...45).contains(text.count) else { return nil }
        var groups = Groups()
        var gap: Int?
        var start = text.startIndex
        if text[start] == 58 {
            guard text[start + 1] == 58 else { return nil }
            gap = 0
            start += 2
        }
        while start < text.endIndex {
            var end = start
            while end < text.endIndex, text[end] != 58 { end += 1 }
            if end == text.endIndex, text[start..<end].contains(46) {
                guard let tail = Self.ipv4(text[start..<end]) else { return nil }
                groups.append(UInt16(tail >> 16))
                groups.append(UInt16(tail & 0xFFFF))
                break
            }
            guard let group = Self.group(text[start..<end]) else { return nil }
            groups.append(group)
            if end == text.endIndex { break }
            start = end + 1
            guard start < text.endIndex else { return nil }
            if text[start] == 58 {
                guard gap == nil else { return nil }
                gap = groups.count
                start += 1
            }
        }
        return groups.joined(gap: gap)
    }

    private static func group(_ text: Bytes) -> UInt16? {
        guard (1...4).contains(text.count) else { return nil }
        var value: UInt16 = 0
        for byte in text {
            switch byte {
            case 48...57: value = value << 4 | UInt16(byte - 48)
            case 65...70: value = value << 4 | UInt16(byte - 55)
            case 97...102: value = value << 4 | UInt16(byte - 87)
            default: return nil
            }
        }
        return value
    }

    /// Up to eight groups of 16 bits; more are counted and make the address invalid.
    private struct Groups {
        var values: [8 of UInt16] = .init(repeating: 0)
        var count = 0

        mutating func append(_ group: UInt16) {
            if self.count < 8 { self.values[self.count] = group }
            self.count += 1
        }

        func joined(gap: Int?) -> (high: UInt64, low: UInt64)? {
            // `::` stands for at least one group.
            guard gap == nil ? self.count == 8 : self.count < 8 else { return nil }
            let zeros = 8 - self.count
            var halves: (high: UInt64, low: UInt64) = (0, 0)
            for place in 0..<8 {
                var group: UInt16 = 0
                if let gap {
                    if place < gap { group = self.values[place] }
                    if place >= gap + zeros { group = self.values[place - zeros] }
                } else {
                    group = self.values[place]
                }
                halves.high = halves.high << 16 | halves.low >> 48
                halves.low = halves.low << 16 | UInt64(group)
            }
            return halves
        }
    }
}

/// Appends text to memory of known size; running over leaves ``isFull`` set and writes nothing.
struct TextWriter {
    let buffer: UnsafeMutableRawBufferPointer
    private(set) var count = 0
    private(set) var isFull = false

    init(_ buffer: UnsafeMutableRawBufferPointer) { self.buffer = buffer }

    mutating func write(_ byte: UInt8) {
        guard self.count < self.buffer.count else {
            self.isFull = true
            return
        }
        self.buffer[self.count] = byte
        self.count += 1
    }

    mutating func write(_ text: StaticString) {
        for index in 0..<text.utf8CodeUnitCount { self.write(text.utf8Start[index]) }
    }

    mutating func write(_ value: UInt32, radix: UInt32) {
        if value >= radix { self.write(value / radix, radix: radix) }
        let digit = UInt8(value % radix)
        self.write(digit + (digit < 10 ? 48 : 87))
    }

    mutating func writeIPv4(_ bits: UInt32) {
        for part in 0..<4 {
            if part > 0 { self.write(46) }
            self.write(bits >> UInt32(24 - 8 * part) & 255, radix: 10)
        }
    }

    /// As RFC 5952 §4 and §5 have it: the first of the longest runs of zero groups becomes `::`.
    mutating func writeIPv6(_ address: SocketAddress) {
        if address.isIPv4 {
            self.write("::ffff:")
            return self.writeIPv4(address.ipv4)
        }
        let gap = Self.longestGap(address)
        var place = 0
        while place < 8 {
            if place == gap.start, gap.count > 1 {
                self.write("::")
                place += gap.count
                continue
            }
            if place > 0, place != gap.start + gap.count || gap.count < 2 { self.write(58) }
            self.write(Self.group(address, place), radix: 16)
            place += 1
        }
    }

    private static func group(_ address: SocketAddress, _ place: Int) -> UInt32 {
        let half = place < 4 ? address.high : address.low
        return UInt32(half >> UInt64(48 - 16 * (place % 4)) & 0xFFFF)
    }

    private static func longestGap(_ address: SocketAddress) -> (start: Int, count: Int) {
        var best = (start: 0, count: 0)
        var run = 0
        for place in 0..<8 {
            run = Self.group(address, place) == 0 ? run + 1 : 0
            if run > best.count { best = (place + 1 - run, run) }
        }
        return best
    }
}
