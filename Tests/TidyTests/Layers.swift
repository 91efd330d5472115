import Foundation

/// Who may import whom.
///
/// A module that is not listed has no layer and is refused.
enum Layers {
    static let words: Set<String> = ["Primitives"]
    static let ideas: Set<String> = [
        "Balancing", "Compression", "Erasure", "KCP", "Netem", "Origin", "Recovery", "Sealing",
    ]
    /// Everything below the kernel: no clock, no socket, no Foundation.
    static let pure = Self.words.union(Self.ideas).union(["Session", "Simulation", "Trials"])
    static let system: Set<String> = ["Glibc", "Synchronization", "Dispatch", "Logging"]

    static let allowed: [String: Set<String>] = {
        var table: [String: Set<String>] = ["Primitives": []]
        for idea in Self.ideas { table[idea] = Self.words }
        table["Erasure"]?.insert("CGalois")
        table["Sealing"]?.insert("CSodium")
        table["Compression"]?.insert("CZlib")
        table["Session"] = Self.words.union(Self.ideas).subtracting(["Netem"])
        table["Simulation"] = Self.words.union(Self.ideas).union(["Session"])
        table["Trials"] = table["Simulation"]
        table["PostQuantum"] = ["Crypto", "Sealing"]
        table["Names"] = ["CCares", "Glibc", "LinuxIO", "Primitives"]
        table["LinuxIO"] = Self.words.union(Self.system).union(["CLinuxShims", "SystemPackage"])
        table["Configuration"] = Self.words.union(Self.ideas).union(Self.system)
            .union(["TOMLKit", "Foundation"])
        table["Admin"] = Self.words.union(Self.system).union(["LinuxIO"])
        table["ReturnPath"] = Self.words.union(Self.system).union(["LinuxIO"])
        let engine = Self.pure.subtracting(["Simulation", "Trials", "Netem"])
        table["Runtime"] = engine.union(Self.system).union([
            "Admin", "CLinuxShims", "Collections", "Configuration", "LinuxIO", "Names",
            "PostQuantum", "ReturnPath", "SystemPackage",
        ])
        let kernel: Set<String> = [
            "Admin", "CLinuxShims", "Configuration", "LinuxIO", "ReturnPath", "Runtime",
        ]
        table["Lab"] = Self.pure.union(Self.system).union(kernel)
            .union(["CLab", "TOMLKit"])
        table["Daemons"] = engine.union(Self.system).union(kernel).union(["ArgumentParser"])
        table["Commands"] = Self.pure.union(Self.system).union(kernel)
            .union(["ArgumentParser", "Daemons", "Foundation", "Lab", "Names", "PostQuantum"])
        table["fairlead"] = ["Commands", "Daemons"]
        // The laboratory, TUN devices and launchers of other tunnels are none of theirs.
        for program in ["fairlead-client", "fairlead-server"] { table[program] = ["Daemons"] }
        table["testkit"] = Self.pure.union(Self.system).union([
            "ArgumentParser", "CMallocCount", "CPoison", "LinuxIO", "PostQuantum", "ReturnPath",
        ])
        return table
    }()

    /// Imports of a file under `Sources/<module>/` or `Tests/Support/<module>/` that point against
    /// the arrows.
    static func arrows(_ file: SourceFile) -> [String] {
        let parts = file.path.replacing("Tests/Support/", with: "Sources/").split(separator: "/")
        guard parts.count > 2, parts[0] == "Sources", file.isSwift else { return [] }
        let module = String(parts[1])
        guard let allowed = Self.allowed[module] else {
            return ["\(file.path): module \(module) has no layer: add it to Layers.swift"]
        }
        let code = SwiftLexer.code(of: file.text)
        let pattern =
            "(?m)^\\s*(?:@\\w+(?:\\(\\w+\\))?\\s+|public |internal |package |private "
            + "|fileprivate )*import (?:struct |class |enum |func |protocol |typealias |let |var )?"
            + "\\w+"
        return Rules.matches(of: pattern, in: code).compactMap { match in
            let name = match.text.split(separator: " ").last.map(String.init) ?? ""
            if allowed.contains(name) || name == module { return nil }
            return "\(file.path): \(module) may not import \(name)"
        }
    }
}
