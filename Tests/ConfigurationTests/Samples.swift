import Configuration

/// Valid files that tests bend.
enum Samples {
    static let key = "HIgo9xNzJMWLKASShiTqIybxZ0U3wGLiUeJ1PKf8ykw="
    static let otherKey = "xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg="

    /// Eight lines without a forward.
    static let clientHead = """
        server = "tunnel.example.net:4600"
        server_public_key = "\(Samples.key)"
        private_key = "keys/client.key"

        """

    /// A client whose forward starts on line 4 and whose extra lines start on line 8.
    static func client(_ extra: String = "", protocol inner: String = "tcp") -> String {
        Self.clientHead + """
            [[forward]]
            listen = "127.0.0.1:25565"
            protocol = "\(inner)"
            service = "minecraft"
            \(extra)
            """
    }

    /// A server whose service starts on line 3 and whose extra lines start on line 7.
    static func server(_ extra: String = "", protocol inner: String = "tcp") -> String {
        """
        listen = "0.0.0.0:4600"
        private_key = "keys/server.key"
        [[service]]
        name = "minecraft"
        protocol = "\(inner)"
        backends = ["10.0.0.5:25565"]
        \(extra)
        """
    }

    /// The messages for a client's text; empty if it is in order.
    static func clientErrors(_ text: String) -> [String] {
        do {
            _ = try ClientConfiguration.parse(text, file: "c")
            return []
        } catch {
            return error.lines
        }
    }

    static func serverErrors(_ text: String) -> [String] {
        do {
            _ = try ServerConfiguration.parse(text, file: "s")
            return []
        } catch {
            return error.lines
        }
    }
}
