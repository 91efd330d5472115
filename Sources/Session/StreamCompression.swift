/// Placeholder until the Compression module joins.
final class StreamCompression {}
