import Primitives
import Testing

/// The table against a dictionary.
@Suite struct IndexTableTests {
    /// Few keys collide and are removed often; many make the table double.
    @Test(arguments: UInt64(0)..<16)
    func answersAsADictionaryDoes(seed: UInt64) {
        var random = SeededGenerator(seed: seed)
        var table = IndexTable(capacity: 1 << Int(random.below(5)))
        var model: [UInt32: UInt32] = [:]
        let keys: UInt64 = [12, 300, 1 << 32][Int(seed % 3)]
        for _ in 0..<3000 {
            var key = UInt32(random.below(keys))
            if keys > 1000, random.chance(1, in: 2), let known = model.keys.min() { key = known }
            switch random.below(3) {
            case 0:
                let value = UInt32(random.below(UInt64(IndexTable.none)))
                table.insert(key, value)
                model[key] = value
            case 1:
                table.remove(key)
                model[key] = nil
            default:
                #expect(table[key] == model[key] ?? IndexTable.none)
            }
            #expect(table.count == model.count)
        }
        for (key, value) in model { #expect(table[key] == value) }
        for key in UInt32(0)..<400 { #expect(table[key] == model[key] ?? IndexTable.none) }
        for key in model.keys { table.remove(key) }
        #expect(table.count == 0)
    }

    @Test func trapsOnWhatCannotBe() async {
        await #expect(processExitsWith: .failure) { _ = IndexTable(capacity: 12) }
        await #expect(processExitsWith: .failure) {
            var table = IndexTable()
            table.insert(1, IndexTable.none)
        }
    }
}
