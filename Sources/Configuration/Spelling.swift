/// Finds the name that was probably meant.
public enum Spelling {
    /// The candidate nearest to `word`, if it is near enough to be a slip of the fingers.
    public static func nearest(to word: String, among candidates: [String]) -> String? {
        guard word.utf8.count <= 64 else { return nil }
        let lowered = Array(word.lowercased().utf8)
        var best: (distance: Int, candidate: String)?
        for candidate in candidates where candidate != word {
            let distance = Self.distance(lowered, Array(candidate.lowercased().utf8))
            if distance < best?.distance ?? Int.max { best = (distance, candidate) }
        }
        guard let best else { return nil }
        let allowed = max(1, min(word.utf8.count, best.candidate.utf8.count) / 3)
        return best.distance <= allowed ? best.candidate : nil
    }

    /// The number of letters to add, drop, change or swap with a neighbour (Damerau 1964, the
    /// restricted form).
    static func distance(_ a: [UInt8], _ b: [UInt8]) -> Int {
        var older: [Int] = []
        var previous = Array(0...b.count)
        for (row, letter) in a.enumerated() {
            var current = [row + 1]
            for (column, other) in b.enumerated() {
                let change = previous[column] + (letter == other ? 0 : 1)
                var cost = min(change, previous[column + 1] + 1, current[column] + 1)
                if row > 0, column > 0, letter == b[column - 1], other == a[row - 1] {
                    cost = min(cost, older[column - 1] + 1)
                }
                current.append(cost)
            }
            older = previous
            previous = current
        }
        return previous[b.count]
    }
}
