/// What is asked of the name service.
public enum NameQuestion: Hashable, Sendable {
    /// A and AAAA records of a host, or what `/etc/hosts` says of it.
    case host(String, port: UInt16)
    /// SRV records of a service, such as `_game._udp.example.net`, and their targets' addresses.
    case service(String)
}
