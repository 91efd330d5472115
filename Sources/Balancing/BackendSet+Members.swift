public import Primitives

// Backends that come and go.
extension BackendSet {
    /// Follows a new list of backends.
    ///
    /// Whoever stays, by name, keeps index, health and places. Whoever goes gets nobody new; its
    /// index is somebody else's once the last player has left. At most 65,535 have an index at a
    /// time; more are left out.
    public func adopt(_ members: [Member], at now: Instant) {
        let wanted = Dictionary(members.map { ($0.name, $0) }, uniquingKeysWith: { one, _ in one })
        for index in self.places.indices {
            let member = wanted[self.places[index].member.name]
            self.places[index].isGone = member == nil
            if let member { self.places[index].member = member }
            if member == nil { self.places[index].probe = ProbeTimer() }
        }
        let present = Set(self.places.filter { !$0.isGone }.map(\.member.name))
        var free =
            self.places.indices.filter { self.places[$0].isGone && self.places[$0].active == 0 }
            .reversed() as [Int]
        for member in members where !present.contains(member.name) {
            var place = Place(member, seed: self.seed)
            if self.rules.isProbed { place.probe.due = now }
            if let index = free.popLast() {
                self.forgetChange(index)
                self.places[index] = place
            } else if self.places.count < Int(UInt16.max) {
                self.places.append(place)
            }
        }
        self.noteMembers()
    }

    /// Whether this index is nobody's, or of one that has left the list.
    public func isGone(_ index: Int) -> Bool { self.places[index].isGone }
}
