/// One thing a doctor has looked at.
struct DoctorFinding: Equatable {
    enum Level: String {
        case ok, warning, failure
    }

    var check: String
    var level: Level
    /// What is so.
    var cause: String
    /// What to do about it; nothing when all is well.
    var cure: String?

    static func ok(_ check: String, _ cause: String) -> Self {
        Self(check: check, level: .ok, cause: cause, cure: nil)
    }

    static func warning(_ check: String, _ cause: String, cure: String) -> Self {
        Self(check: check, level: .warning, cause: cause, cure: cure)
    }

    static func failure(_ check: String, _ cause: String, cure: String) -> Self {
        Self(check: check, level: .failure, cause: cause, cure: cure)
    }
}

/// Findings for people and for programs.
enum DoctorReport {
    /// One line of cause and one of cure each.
    static func text(_ findings: [DoctorFinding]) -> String {
        let width = findings.map(\.check.count).max() ?? 0
        return findings.map { finding in
            let label = finding.level == .failure ? "FAIL" : finding.level == .ok ? "ok" : "warn"
            let head = "\(Self.padded(label, 4)) \(Self.padded(finding.check, width))  "
            let cure = finding.cure.map { "\n" + Self.padded("", width + 7) + "cure: " + $0 } ?? ""
            return head + finding.cause + cure
        }.joined(separator: "\n")
    }

    static func json(_ findings: [DoctorFinding]) -> String {
        let items = findings.map { finding in
            let cure = finding.cure.map { Self.quoted($0) } ?? "null"
            return "{\"check\":\(Self.quoted(finding.check)),"
                + "\"level\":\(Self.quoted(finding.level.rawValue)),"
                + "\"cause\":\(Self.quoted(finding.cause)),\"cure\":\(cure)}"
        }
        let isHealthy = findings.allSatisfy { $0.level != .failure }
        return "{\"ok\":\(isHealthy),\"findings\":[\(items.joined(separator: ","))]}"
    }

    private static func padded(_ text: String, _ width: Int) -> String {
        text + String(repeating: " ", count: max(0, width - text.count))
    }

    private static func quoted(_ text: String) -> String {
        var result = ""
        for scalar in text.unicodeScalars {
            switch scalar.value {
            case 0x22, 0x5C: result += "\\\(scalar)"
            case 0..<0x20:
                result += "\\u00" + (scalar.value < 16 ? "0" : "") + String(scalar.value, radix: 16)
            default: result.unicodeScalars.append(scalar)
            }
        }
        return "\"\(result)\""
    }
}
