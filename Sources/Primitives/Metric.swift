/// What a number that a process shows is called, and what it means.
public struct MetricDescriptor: Hashable, Sendable {
    /// How a number behaves as time goes by; the raw value is Prometheus' word for it.
    public enum Kind: String, Sendable {
        /// Only grows, until the process ends.
        case counter
        /// Goes up and down.
        case gauge
    }

    /// What a number is counted in; the raw value is for people.
    public enum Unit: String, Sendable {
        /// A plain number of things.
        case count
        /// Bytes, of what the help says.
        case bytes
        /// Bytes in a second, as an average.
        case bytesPerSecond = "bytes per second"
        /// Seconds, with fractions.
        case seconds
        /// From 0 to 1.
        case ratio
        /// 1 for yes, 0 for no.
        case flag
    }

    /// Without the program's name; that of a counter ends with `_total`.
    public let name: String
    /// Whether readers take its rate (counter) or its value (gauge).
    public let kind: Kind
    /// What the number is counted in; pages show it, and METRICS.md lists it.
    public let unit: Unit
    /// The labels that say whose number it is, such as `service`.
    public let subject: [String]
    /// The label that tells several numbers of one subject apart, such as `direction`.
    public let split: String?
    /// One sentence.
    public let help: String

    /// Describes one metric; ``MetricTable`` makes them from its rows.
    public init(
        name: String,
        kind: Kind,
        unit: Unit,
        subject: [String],
        split: String?,
        help: String
    ) {
        self.name = name
        self.kind = kind
        self.unit = unit
        self.subject = subject
        self.split = split
        self.help = help
    }

    /// All labels, in the order of a sample's values.
    public var labels: [String] { self.subject + (self.split.map { [$0] } ?? []) }
}

/// A number as it was counted, before a page writes it.
public enum MetricValue: Hashable, Sendable {
    /// A total or a level, in the descriptor's unit.
    case count(UInt64)
    /// A length of time, which pages write in seconds with fractions.
    case seconds(Instant.Interval)
    /// A share, from 0 to 1.
    case ratio(Double)
    /// There is nothing to measure now.
    case none
}

/// A metric and its numbers at one moment.
public struct MetricFamily: Sendable {
    /// One number of a metric.
    public struct Sample: Sendable {
        /// One for each of the descriptor's labels.
        public let labels: [String]
        /// What was counted, in the unit of the descriptor.
        public let value: MetricValue

        /// A number, with the values of the labels in the order of ``MetricDescriptor/labels``.
        public init(labels: [String], value: MetricValue) {
            self.labels = labels
            self.value = value
        }
    }

    /// The name, unit and labels that all samples share.
    public let descriptor: MetricDescriptor
    /// One sample for each subject and split value; empty where there is nothing to count.
    public let samples: [Sample]

    /// A metric and the samples of one reading of it.
    public init(_ descriptor: MetricDescriptor, _ samples: [Sample]) {
        self.descriptor = descriptor
        self.samples = samples
    }
}

/// The fields of a type that counts, and the metric that each of them is shown as.
///
/// A type that counts has one such table beside it. Sums, pages and documents are made of it, so
/// that a new field needs one new row and nothing else.
public struct MetricTable<Source>: Sendable {
    /// Where a number is found.
    public enum Field: Sendable {
        /// A total; those of several sources are added up.
        case total(any WritableKeyPath<Source, UInt64> & Sendable)
        /// What there is now; those of several sources are added up.
        case level(any WritableKeyPath<Source, Int> & Sendable)
        /// What there is now, of one source: not added up.
        case size(any KeyPath<Source, Int> & Sendable)
        /// How much there is in a second now: not added up.
        case rate(any KeyPath<Source, UInt64> & Sendable)
        /// A length of time of one source: not added up.
        case interval(any KeyPath<Source, Instant.Interval> & Sendable)
        /// The length of time that was last measured, if any: not added up.
        case latest(any KeyPath<Source, Instant.Interval?> & Sendable)
        /// A share, from 0 to 1: not added up.
        case ratio(any KeyPath<Source, Double> & Sendable)
        /// Whether something is so: not added up.
        case flag(any KeyPath<Source, Bool> & Sendable)

        /// The field itself, whatever its type.
        public var path: PartialKeyPath<Source> {
            switch self {
            case .total(let path): path
            case .level(let path): path
            case .size(let path): path
            case .rate(let path): path
            case .interval(let path): path
            case .latest(let path): path
            case .ratio(let path): path
            case .flag(let path): path
            }
        }

        func value(in source: Source) -> MetricValue {
            switch self {
            case .total(let path): .count(source[keyPath: path])
            case .level(let path): .count(UInt64(max(0, source[keyPath: path])))
            case .size(let path): .count(UInt64(max(0, source[keyPath: path])))
            case .rate(let path): .count(source[keyPath: path])
            case .interval(let path): .seconds(source[keyPath: path])
            case .latest(let path): source[keyPath: path].map(MetricValue.seconds) ?? .none
            case .ratio(let path): .ratio(source[keyPath: path])
            case .flag(let path): .count(source[keyPath: path] ? 1 : 0)
            }
        }
    }

    /// One metric, and the field of each of its numbers.
    public struct Row: Sendable {
        let name: String
        let kind: MetricDescriptor.Kind
        let unit: MetricDescriptor.Unit
        let split: String?
        let help: String
        /// With the value of the label ``split``, where there is one.
        public let fields: [(value: String?, field: Field)]

        /// A total; its name gets `_total`.
        public static func counter(
            _ name: String,
            _ unit: MetricDescriptor.Unit,
            _ help: String,
            _ path: any WritableKeyPath<Source, UInt64> & Sendable
        ) -> Row {
            Row(
                name: name + "_total",
                kind: .counter,
                unit: unit,
                split: nil,
                help: help,
                fields: [(nil, .total(path))]
            )
        }

        /// Totals of one kind, told apart by the label `split`.
        public static func counter(
            _ name: String,
            _ unit: MetricDescriptor.Unit,
            _ help: String,
            split: String,
            _ paths: KeyValuePairs<String, any WritableKeyPath<Source, UInt64> & Sendable>
        ) -> Row {
            Row(
                name: name + "_total",
                kind: .counter,
                unit: unit,
                split: split,
                help: help,
                fields: paths.map { ($0.key, .total($0.value)) }
            )
        }

        /// One number that goes up and down, under `name` as it stands.
        public static func gauge(
            _ name: String,
            _ unit: MetricDescriptor.Unit,
            _ help: String,
            _ field: Field
        ) -> Row {
            Row(
                name: name,
                kind: .gauge,
                unit: unit,
                split: nil,
                help: help,
                fields: [(nil, field)]
            )
        }
    }

    /// The names of the labels that tell sources apart, such as `service`; empty for one source.
    public let subject: [String]
    /// The metrics, in the order in which pages and documents show them.
    public let rows: [Row]

    /// Rows about sources that the labels of `subject` tell apart.
    public init(subject: [String] = [], _ rows: [Row]) {
        self.subject = subject
        self.rows = rows
    }

    /// What the rows are called, in their order.
    public var descriptors: [MetricDescriptor] { self.rows.map(self.descriptor) }

    private func descriptor(_ row: Row) -> MetricDescriptor {
        MetricDescriptor(
            name: row.name,
            kind: row.kind,
            unit: row.unit,
            subject: self.subject,
            split: row.split,
            help: row.help
        )
    }

    /// The numbers of `sources`, each with one label for every word of ``subject``.
    public func families(_ sources: [(subject: [String], source: Source)]) -> [MetricFamily] {
        self.rows.map { row in
            let samples = sources.flatMap { labels, source in
                row.fields.map { value, field in
                    MetricFamily.Sample(
                        labels: labels + (value.map { [$0] } ?? []),
                        value: field.value(in: source)
                    )
                }
            }
            return MetricFamily(self.descriptor(row), samples)
        }
    }

    /// Adds the totals and levels of `other` to those of `sum`.
    public func add(_ other: Source, to sum: inout Source) {
        for (_, field) in self.rows.flatMap(\.fields) {
            switch field {
            case .total(let path): sum[keyPath: path] &+= other[keyPath: path]
            case .level(let path): sum[keyPath: path] += other[keyPath: path]
            case .size, .rate, .interval, .latest, .ratio, .flag: break
            }
        }
    }
}
