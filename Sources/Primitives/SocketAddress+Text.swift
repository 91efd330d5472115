extension SocketAddress: CustomStringConvertible {
    /// `192.0.2.1:80` or `[2001:db8::1]:80`, IPv6 as RFC 5952 writes it.
    public var description: String {
        self.isIPv4 ? "\(self.hostText):\(self.port)" : "[\(self.hostText)]:\(self.port)"
    }

    /// The address without brackets and port.
    public var hostText: String {
        if self.isIPv4 {
            let bits = self.ipv4
            return "\(bits >> 24).\(bits >> 16 & 255).\(bits >> 8 & 255).\(bits & 255)"
        }
        let text = Self.ipv6Text(self.groups)
        return self.scope == 0 ? text : "\(text)%\(self.scope)"
    }

    private var groups: [UInt16] {
        (0..<8).map { index in
            let half = index < 4 ? self.high : self.low
            return UInt16(truncatingIfNeeded: half >> (48 - 16 * UInt64(index % 4)))
        }
    }

    /// RFC 5952 §4: the longest run of two or more zero groups becomes `::`, the first one wins.
    private static func ipv6Text(_ groups: [UInt16]) -> String {
        var best = 0..<0
        var start = 0
        while start < 8 {
            var end = start
            while end < 8, groups[end] == 0 { end += 1 }
            if end - start > max(best.count, 1) { best = start..<end }
            start = max(end, start + 1)
        }
        let hex = { (part: ArraySlice<UInt16>) in
            part.map { String($0, radix: 16) }.joined(separator: ":")
        }
        guard !best.isEmpty else { return hex(groups[...]) }
        return hex(groups[..<best.lowerBound]) + "::" + hex(groups[best.upperBound...])
    }

    /// Reads `192.0.2.1:80` or `[2001:db8::1]:80`; `nil` for anything else, names included.
    public init?(_ text: String) {
        guard let colon = text.lastIndex(of: ":") else { return nil }
        let portText = text[text.index(after: colon)...]
        guard let port = UInt16(portText), portText.allSatisfy(\.isNumber) else { return nil }
        var host = String(text[..<colon])
        if host.hasPrefix("["), host.hasSuffix("]") {
            host = String(host.dropFirst().dropLast())
            guard host.contains(":") else { return nil }
        } else if host.contains(":") {
            return nil
        }
        self.init(host: host, port: port)
    }

    /// Reads an address without port or brackets; `nil` for anything that is not an IP address.
    public init?(host: String, port: UInt16) {
        if !host.contains(":") {
            guard let bits = Self.parseIPv4(host[...]) else { return nil }
            self.init(ipv4: bits, port: port)
            return
        }
        guard let groups = Self.parseIPv6(host) else { return nil }
        let join = { (part: ArraySlice<UInt16>) in
            part.reduce(UInt64(0)) { $0 << 16 | UInt64($1) }
        }
        self.init(high: join(groups[0..<4]), low: join(groups[4..<8]), port: port)
    }

    /// Four decimal numbers without leading zeros, which some libraries read as octal.
    static func parseIPv4(_ text: Substring) -> UInt32? {
        let parts = text.split(separator: ".", omittingEmptySubsequences: false)
        guard parts.count == 4 else { return nil }
        var bits: UInt32 = 0
        for part in parts {
            guard (1...3).contains(part.utf8.count),
                part.utf8.allSatisfy({ (48...57).contains($0) }),
                part.utf8.count == 1 || part.utf8.first != 48, let byte = UInt8(part)
            else { return nil }
            bits = bits << 8 | UInt32(byte)
        }
        return bits
    }

    /// RFC 4291 §2.2, the form with a dotted tail included.
    static func parseIPv6(_ text: String) -> [UInt16]? {
        guard let gap = text.range(of: "::") else {
            guard let groups = Self.parseGroups(text[...]), groups.count == 8 else { return nil }
            return groups
        }
        guard text[gap.upperBound...].range(of: "::") == nil,
            let head = Self.parseGroups(text[..<gap.lowerBound]),
            let tail = Self.parseGroups(text[gap.upperBound...]), head.count + tail.count < 8
        else { return nil }
        return head + Array(repeating: 0, count: 8 - head.count - tail.count) + tail
    }

    private static func parseGroups(_ text: Substring) -> [UInt16]? {
        if text.isEmpty { return [] }
        var groups: [UInt16] = []
        let parts = text.split(separator: ":", omittingEmptySubsequences: false)
        for (index, part) in parts.enumerated() {
            if part.contains("."), index == parts.count - 1, let bits = Self.parseIPv4(part) {
                groups += [UInt16(bits >> 16), UInt16(bits & 0xFFFF)]
                continue
            }
            guard (1...4).contains(part.utf8.count), part.utf8.allSatisfy(Self.isHex),
                let group = UInt16(part, radix: 16)
            else { return nil }
            groups.append(group)
        }
        return groups.count <= 8 ? groups : nil
    }

    private static func isHex(_ byte: UInt8) -> Bool {
        (48...57).contains(byte) || (65...70).contains(byte) || (97...102).contains(byte)
    }
}

extension StringProtocol {
    /// The first place where `needle` stands, without Foundation.
    fileprivate func range(of needle: String) -> Range<Index>? {
        var start = self.startIndex
        while start < self.endIndex {
            if self[start...].hasPrefix(needle) {
                return start..<self.index(start, offsetBy: needle.count)
            }
            start = self.index(after: start)
        }
        return nil
    }
}
