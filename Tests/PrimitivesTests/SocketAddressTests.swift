import Primitives
import Testing

@Suite struct SocketAddressTests {
    @Test(arguments: [
        ("127.0.0.1:80", "127.0.0.1:80"), ("[::1]:9", "[::1]:9"),
        ("[2001:DB8:0:0:1:0:0:1]:443", "[2001:db8::1:0:0:1]:443"),
        ("[::ffff:1.2.3.4]:5", "1.2.3.4:5"), ("[1:2:3:4:5:6:7::]:1", "[1:2:3:4:5:6:7:0]:1"),
        ("[::]:65535", "[::]:65535"), ("[fe80::]:0", "[fe80::]:0"),
    ])
    func readsAndWrites(text: String, canonical: String) {
        #expect(SocketAddress(text)?.description == canonical)
    }

    @Test(arguments: [
        "", ":", "1.2.3.4", "1.2.3:4", "01.2.3.4:5", "256.1.1.1:1", "::1:80", "[::1]",
        "[1.2.3.4]:5",
        "[1::2::3]:4", "[12345::]:1", "[1:2:3:4:5:6:7:8:9]:1", "host:80", "1.2.3.4:65536",
        "1.2.3.4:+5", "[::g]:1",
    ])
    func refuses(text: String) {
        #expect(SocketAddress(text) == nil)
    }
}
