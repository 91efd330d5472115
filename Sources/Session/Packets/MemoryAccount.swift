/// Bytes of memory that one peer makes an engine hold, in all its sessions together.
///
/// Everything that grows with what a peer sends, or leaves unacknowledged, is charged here:
/// streams in both directions, datagrams and what is kept of them, decoders, encoders, inflaters,
/// datagrams in parts, and the logs of what was sent.
final class MemoryAccount {
    var byteCount = 0
}
