"""Backends see the player: by its address, or by a header that names it."""

import socket
import struct

import peers
from lab import BACKEND4, BACKEND6, EDGE4, EDGE6, PLAYER4, PLAYER6, Service, place, until
from verdicts import Failed, Skipped, case, expect, expect_equal

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
RIGHTS = 'services = ["*"]\norigins = ["10.80.0.0/24", "fd80::/64"]\n'


def restoring(lab, services: list[Service], peer: str = RIGHTS):
    """Both ends, or `Skipped` where this version restores no origins."""
    try:
        server = lab.start_server(services, peer=peer)
        client = lab.start_client(services)
    except Failed:
        if any("not supported by this version" in s for p in lab.programs for s in p.lines):
            raise Skipped("not supported by this version") from None
        raise
    client.wait("session-up", 5)
    return server, client


def tcp(origin: str, edge=EDGE4, backend=BACKEND4) -> Service:
    lines = f'origin = "{origin}"\n'
    return Service("web", "tcp", place(backend, 8080), place(edge, 8080), lines)


def udp(origin: str, edge=EDGE4, backend=BACKEND4, more: str = "") -> Service:
    lines = f'origin = "{origin}"\n{more}'
    return Service("echo", "udp", place(backend, 9000), place(edge, 9000), lines)


def first_bytes(lab, origin: str, count: int) -> tuple[bytes, tuple]:
    """What a backend gets first when a player sends `hello`, and the player's address."""
    got: list[bytes] = []
    backend = peers.TCPBackend(
        lab, BACKEND4, 8080, lambda c: got.append(peers.read_exactly(c, count))
    )
    restoring(lab, [tcp(origin)])
    with lab.connect(EDGE4, 8080) as player:
        player.sendall(b"hello")
        until(3, "the backend's bytes", lambda: got or backend.errors)
        expect(got, f"the backend got too little: {backend.errors}")
        return got[0], player.getsockname()


@case("origin: transparent TCP over IPv4 and IPv6")
def transparent_tcp(lab):
    four = peers.TCPBackend(lab, BACKEND4, 8080, peers.echo)
    six = peers.TCPBackend(lab, BACKEND6, 8080, peers.echo)
    services = [
        tcp("transparent"),
        tcp("transparent", EDGE6, BACKEND6)._replace(name="web6"),
    ]
    restoring(lab, services)
    data = peers.payload(1, 1_000_000)
    for edge, backend, address in ((EDGE4, four, PLAYER4), (EDGE6, six, PLAYER6)):
        with lab.connect(edge, 8080) as player:
            own = player.getsockname()[:2]
            expect_equal(peers.exchange(player, data)[1], peers.digest(data), "the echo")
        # The server has asked first whether replies come back, with addresses of its own choice.
        expect_equal(backend.peers[-1][:2], own, f"what the backend saw of {address}")


@case("origin: transparent UDP over IPv4 and IPv6")
def transparent_udp(lab):
    four = peers.UDPEcho(lab, BACKEND4, 9000)
    six = peers.UDPEcho(lab, BACKEND6, 9000)
    services = [
        udp("transparent"),
        udp("transparent", EDGE6, BACKEND6)._replace(name="echo6"),
    ]
    restoring(lab, services)
    for edge, backend, own in ((EDGE4, four, PLAYER4), (EDGE6, six, PLAYER6)):
        with lab.udp("player", own) as player:
            peers.ask(player, b"hello", (edge, 9000))
            port = player.getsockname()[1]
        expect_equal({s[:2] for s in backend.sources}, {(own, port)}, "what the backend saw")


@case("origin: proxy-v1 names the player")
def proxy_v1(lab):
    count = len(f"PROXY TCP4 {PLAYER4} {EDGE4} 10000 8080\r\n")
    got, own = first_bytes(lab, "proxy-v1", count)
    line = f"PROXY TCP4 {own[0]} {EDGE4} {own[1]} 8080\r\n".encode()
    expect_equal(got[: len(line)], line, "the header")


@case("origin: proxy-v2 names the player")
def proxy_v2(lab):
    got, own = first_bytes(lab, "proxy-v2", 28)
    header = SIGNATURE + b"\x21\x11"
    expect_equal(got[:14], header, "signature, version and family")
    expect_equal(got[16:20], socket.inet_aton(own[0]), "the player's address")
    expect_equal(got[20:24], socket.inet_aton(EDGE4), "the address it connected to")
    expect_equal(struct.unpack("!HH", got[24:28]), (own[1], 8080), "both ports")


@case("origin: proxy-v2 over UDP names the player in every datagram")
def proxy_v2_udp(lab):
    backend = lab.udp("backend", BACKEND4, 9000)
    restoring(lab, [udp("proxy-v2", more='dialect = "every"')])
    with lab.udp("player", PLAYER4) as player:
        port = player.getsockname()[1]
        for body in (b"one", b"two"):
            player.sendto(body, (EDGE4, 9000))
            datagram, source = backend.recvfrom(2000)
            expect_equal(datagram[:14], SIGNATURE + b"\x21\x12", "signature, version, family")
            expect_equal(datagram[16:20], socket.inet_aton(PLAYER4), "the player's address")
            expect_equal(struct.unpack("!HH", datagram[24:28]), (port, 9000), "both ports")
            expect_equal(datagram[-3:], body, "the payload")
            backend.sendto(b"re:" + body, source)
            expect_equal(player.recv(100), b"re:" + body, "the reply")


@case("origin: spp names the player, and replies carry the header")
def spp(lab):
    backend = lab.udp("backend", BACKEND4, 9000)
    restoring(lab, [udp("spp")])
    with lab.udp("player", PLAYER4) as player:
        port = player.getsockname()[1]
        player.sendto(b"hello", (EDGE4, 9000))
        datagram, source = backend.recvfrom(2000)
        mapped = bytes(10) + b"\xff\xff" + socket.inet_aton(PLAYER4)
        expect_equal(datagram[:2], b"\x56\xec", "the magic number")
        expect_equal(datagram[2:18], mapped, "the player's address")
        expect_equal(struct.unpack("!HH", datagram[34:38]), (port, 9000), "both ports")
        expect_equal(datagram[38:], b"hello", "the payload")
        backend.sendto(datagram[:38] + b"reply", source)
        expect_equal(player.recv(100), b"reply", "the reply without its header")


@case("origin: without `origins` a claim is ignored, the client's own address is shown")
def ignored_claim(lab):
    got: list[bytes] = []
    peers.TCPBackend(lab, BACKEND4, 8080, lambda c: got.append(c.recv(200)))
    restoring(lab, [tcp("proxy-v1")], peer='services = ["*"]\n')
    with lab.connect(EDGE4, 8080) as player:
        player.sendall(b"hello")
        until(3, "the backend's bytes", lambda: got)
    expect_equal(got[0].split()[2], b"10.80.1.1", "the address in the header")


@case("accept: proxy-v2 from a trusted sender is passed on, from another it is reset")
def accepted_header(lab):
    got: list[bytes] = []
    peers.TCPBackend(lab, BACKEND4, 8080, lambda c: got.append(c.recv(200)))
    claim = SIGNATURE + b"\x21\x11\0\x0c" + socket.inet_aton("10.80.0.99")
    claim += socket.inet_aton("10.80.0.1") + struct.pack("!HH", 5555, 8080)
    for network, is_trusted in (("10.80.0.0/24", True), ("10.99.0.0/24", False)):
        service = tcp("proxy-v1")._replace(
            forward_lines=f'accept = "proxy-v2"\ntrusted = ["{network}"]'
        )
        server, client = restoring(lab, [service])
        # A reset may come as soon as the connection stands, before it is told so.
        try:
            with lab.connect(EDGE4, 8080, seconds=3) as player:
                player.sendall(claim + b"hello")
                if is_trusted:
                    until(3, "the backend's bytes", lambda: got)
                    wanted = b"PROXY TCP4 10.80.0.99 10.80.0.1 5555 8080\r\nhello"
                    expect_equal(got[0], wanted, "what the backend got")
                else:
                    expect_equal(player.recv(1), b"a reset", "what the untrusted sender got")
        except (ConnectionResetError, BrokenPipeError):
            expect(not is_trusted, "the trusted sender was reset")
        client.stop()
        server.stop()
    expect_equal(len(got), 1, "connections the backend saw")
