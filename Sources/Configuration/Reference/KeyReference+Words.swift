/// What the reference says of a key, in the words that page and terminal share.
extension KeyReference {
    /// What may be written, with the unit of a bare number.
    var range: String {
        switch self.value {
        case .integer(_, let unit): "\(self.value.expected) (\(unit))"
        default: self.value.expected
        }
    }

    var standardText: String {
        switch self.standard {
        case .required: "none: the key is required"
        case .written(let text): text
        case .absent(let meaning): meaning
        }
    }

    /// The words that may be written and what they mean; empty for other values.
    var words: [KeyValue.Word] {
        if case .words(let words) = self.value { words } else { [] }
    }

    /// The example with what has to stand around it.
    var exampleText: String {
        let inline = self.example.split(separator: "\n").joined(separator: ", ")
        return switch self.place {
        case .server, .client: self.example
        case .forward, .peer, .service: "\(self.place.title)\n\(self.example)"
        case .backends: "[[service]]\nbackends = [{ \(inline) }]"
        case .health: "[[service]]\nhealth = { \(inline) }"
        }
    }
}

extension KeyPlace {
    /// Where the table stands, as in `[[peer]], in a server's file`.
    var whereabouts: String {
        switch self {
        case .server, .client: self.title
        case .forward, .peer, .service: "\(self.title), in \(self.file.title)"
        case .backends: "an entry of backends, in [[service]], in \(self.file.title)"
        case .health: "the table health, in [[service]], in \(self.file.title)"
        }
    }

    /// Without an article, for a heading.
    var heading: String {
        switch self {
        case .server: "A server's file"
        case .client: "A client's file"
        case .forward: "`[[forward]]`"
        case .peer: "`[[peer]]`"
        case .service: "`[[service]]`"
        case .backends: "`backends`"
        case .health: "`health`"
        }
    }
}
