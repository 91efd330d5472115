"""What a backend is told of a player besides its address, and what stands for an address."""

import socket
import struct

import peers
from lab import BACKEND4, EDGE4, EDGE6, PLAYER6, Service, place, until
from origin import RIGHTS, SIGNATURE, restoring
from programs import metrics
from tproxy import header, recorder
from unprivileged import quick_proof
from verdicts import case, expect, expect_equal

TRUST = 'trusted = ["10.80.0.0/24", "fd80::/64"]'
AUTHORITY, CHECKSUM, UNIQUE_ID, FINGERPRINT = 0x02, 0x03, 0x05, 0xE5


def crc32c(data: bytes) -> int:
    state = 0xFFFF_FFFF
    for byte in data:
        state ^= byte
        for _ in range(8):
            state = state >> 1 ^ (0x82F6_3B78 if state & 1 else 0)
    return state ^ 0xFFFF_FFFF


def written(extensions: dict[int, bytes], kind: int = 0x11) -> bytes:
    """A PROXY v2 header from 198.51.100.9:4444 to 203.0.113.1:443."""
    addresses = socket.inet_aton("198.51.100.9") + socket.inet_aton("203.0.113.1")
    body = addresses + struct.pack("!HH", 4444, 443)
    for number, value in extensions.items():
        body += struct.pack("!BH", number, len(value)) + value
    return SIGNATURE + bytes([0x21, kind]) + struct.pack("!H", len(body)) + body


def check_checksum(data: bytes, checksum: bytes):
    end = 16 + struct.unpack("!H", data[14:16])[0]
    place_ = data.index(b"\x03\0\x04" + checksum)
    zeroed = data[: place_ + 3] + bytes(4) + data[place_ + 7 : end]
    expect_equal(struct.unpack("!I", checksum)[0], crc32c(zeroed), "the header's checksum")


def forward(protocol: str, name: str, port: int) -> Service:
    return Service(
        name, protocol, place(BACKEND4, port), place(EDGE4, port), 'origin = "proxy-v2"',
        f'accept = "proxy-v2"\n{TRUST}',
    )  # fmt: skip


@case("origin: unique id and authority of an accepted header reach the backend")
def extensions_pass(lab):
    got: list[bytes] = []
    peers.TCPBackend(lab, BACKEND4, 8080, recorder(got))
    backend = lab.udp("backend", BACKEND4, 9000)
    rights = 'services = ["*"]\norigins = ["0.0.0.0/0"]\n'
    alone = f'accept = "proxy-v2"\ndialect = "first-alone"\n{TRUST}'
    services = [
        forward("tcp", "web", 8080), forward("udp", "echo", 9000),
        forward("udp", "alone", 9000)._replace(listen=place(EDGE4, 9001), forward_lines=alone),
    ]  # fmt: skip
    _, client = restoring(lab, services, rights)
    said = {AUTHORITY: b"play.example.net", UNIQUE_ID: b"abc-123", 0xE0: b"dropped"}
    with lab.connect(EDGE4, 8080) as proxy:
        data = written(said)
        # A header comes as it likes.
        proxy.sendall(data[:30])
        proxy.sendall(data[30:] + b"hello")
        until(3, "the backend's bytes", lambda: got)
    player, destination, extensions, rest = header(got[0])
    expect_equal((player, destination), (("198.51.100.9", 4444), ("203.0.113.1", 443)), "the ends")
    expect_equal(extensions[AUTHORITY], b"play.example.net", "the authority")
    expect_equal(extensions[UNIQUE_ID], b"abc-123", "the unique id")
    expect_equal(len(extensions[FINGERPRINT]), 32, "the size of the client's fingerprint")
    expect(0xE0 not in extensions, "an extension of somebody else's was passed on")
    check_checksum(got[0], extensions[CHECKSUM])
    expect_equal(rest, b"hello", "the player's bytes")
    with lab.udp("player", "10.80.0.2") as proxy:
        proxy.sendto(written(said, 0x12) + b"ping", (EDGE4, 9000))
        datagram, _ = backend.recvfrom(2000)
    _, _, extensions, rest = header(datagram)
    expect_equal(extensions[AUTHORITY], b"play.example.net", "the authority over UDP")
    expect_equal(extensions[UNIQUE_ID], b"abc-123", "the unique id over UDP")
    expect_equal(rest, b"ping", "the datagram")
    # A header may also come alone, before the datagram.
    with lab.udp("player", "10.80.0.2") as proxy:
        proxy.sendto(written(said, 0x12), (EDGE4, 9001))
        proxy.sendto(b"alone", (EDGE4, 9001))
        datagram, _ = backend.recvfrom(2000)
    _, _, extensions, rest = header(datagram)
    expect_equal(extensions[AUTHORITY], b"play.example.net", "the authority that came alone")
    expect_equal(rest, b"alone", "the datagram")
    # The longest there are: the identifier goes, the name no longer fits beside it.
    with lab.connect(EDGE4, 8080) as proxy:
        proxy.sendall(written({AUTHORITY: b"a" * 255, UNIQUE_ID: b"u" * 128}) + b"hello")
        until(3, "the backend's bytes", lambda: len(got) > 1)
    _, _, extensions, _ = header(got[1])
    expect_equal(extensions[UNIQUE_ID], b"u" * 128, "the longest unique id")
    expect(AUTHORITY not in extensions, "what does not fit was passed on")
    expect(client.process.poll() is None, "the client ended")


@case("origin: a client without `origins` may not name a connection either")
def extensions_ignored(lab):
    got: list[bytes] = []
    peers.TCPBackend(lab, BACKEND4, 8080, recorder(got))
    restoring(lab, [forward("tcp", "web", 8080)], 'services = ["*"]\n')
    for _ in range(2):
        with lab.connect(EDGE4, 8080) as proxy:
            seen = len(got)
            proxy.sendall(written({AUTHORITY: b"evil", UNIQUE_ID: b"mine"}) + b"hello")
            until(3, "the backend's bytes", lambda: len(got) > seen)
    first, second = (header(data)[2] for data in got)
    expect(AUTHORITY not in first, "the authority was believed")
    expect_equal(len(first[UNIQUE_ID]), 32, "the size of the server's own id")
    expect(first[UNIQUE_ID] != second[UNIQUE_ID], "two connections have one id")


def pseudo(origin: str, protocol: str = "tcp", more: str = "pseudo_ipv4 = true") -> Service:
    port = 8080 if protocol == "tcp" else 9000
    name = "web" if protocol == "tcp" else "echo"
    lines = f'origin = "{origin}"\n{more}'
    return Service(name, protocol, place(BACKEND4, port), place(EDGE6, port), lines)


def same_port(lab, address: str) -> socket.socket:
    player = lab.open_socket("player", socket.AF_INET6, socket.SOCK_STREAM)
    player.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    player.bind((address, 7777))
    player.settimeout(3)
    player.connect((EDGE6, 8080))
    return player


def is_class_e(address: str) -> bool:
    return socket.inet_aton(address)[0] >> 4 == 15 and address != "255.255.255.255"


@case("pseudo-ipv4: IPv6 players on IPv4 backends, transparent and with proxy-v1", seconds=40)
def pseudo_ipv4(lab):
    backend = peers.TCPBackend(lab, BACKEND4, 8080, peers.echo)
    echo = peers.UDPEcho(lab, BACKEND4, 9000)
    # The backend's way back to addresses of class E leads over the server, as all of them must.
    lab.ip("backend", "route", "add", "240.0.0.0/4", "via", "10.80.2.1")
    lab.ip("player", "-6", "addr", "add", "fd80::22/64", "dev", "to-client", "nodad")
    try:
        with quick_proof(lab):
            services = [pseudo("transparent"), pseudo("transparent", "udp")]
            server, client = restoring(lab, services)
            with lab.connect(EDGE6, 8080) as player:
                player.sendall(b"hello")
                expect_equal(player.recv(5), b"hello", "the echo")
                port = player.getsockname()[1]
            stood = backend.peers[-1]
            expect(is_class_e(stood[0]), f"what the backend saw: {stood}")
            expect_equal(stood[1], port, "the player's port")
            # The same port of two players of one /64 is one address to the backend, so only one of
            # them can keep it.
            seen = len(backend.peers)
            with same_port(lab, PLAYER6) as one, same_port(lab, "fd80::22") as two:
                for player in (one, two):
                    player.sendall(b"hello")
                    expect_equal(player.recv(5), b"hello", "the echo of one of two")
            ports = [peer[1] for peer in backend.peers[seen:] if peer[0] == stood[0]]
            expect(len(ports) == 2 and ports[0] != ports[1], f"their ports: {ports}")
            # Over UDP alike: both are behind the same address, and stay apart.
            one, two = (lab.udp("player", address, 5555) for address in (PLAYER6, "fd80::22"))
            with one, two:
                peers.ask(one, b"one", (EDGE6, 9000))
                peers.ask(two, b"two", (EDGE6, 9000))
                peers.ask(one, b"still one", (EDGE6, 9000), tries=1)
                peers.ask(two, b"still two", (EDGE6, 9000), tries=1)
            expect_equal({s[0] for s in echo.sources}, {stood[0]}, "the address of both")
            expect_equal(len(echo.sources), 2, "the number of players the backend saw")
            expect((stood[0], 5555) in echo.sources, "nobody kept the port")
            # The same after a restart, so that bans hold.
            server.stop()
            client.stop()
            restoring(lab, services)
            with lab.connect(EDGE6, 8080) as player:
                player.sendall(b"hello")
                expect_equal(player.recv(5), b"hello", "the echo after a restart")
            expect_equal(backend.peers[-1][0], stood[0], "the address after a restart")
    finally:
        lab.ip("backend", "route", "del", "240.0.0.0/4")
        lab.ip("player", "-6", "addr", "del", "fd80::22/64", "dev", "to-client")


@case("pseudo-ipv4: proxy-v1 names the address that stands for the player")
def pseudo_v1(lab):
    got: list[bytes] = []
    peers.TCPBackend(lab, BACKEND4, 8080, lambda c: got.append(c.recv(200)))
    restoring(lab, [pseudo("proxy-v1")])
    with lab.connect(EDGE6, 8080) as player:
        player.sendall(b"hello")
        until(3, "the backend's bytes", lambda: got)
        port = player.getsockname()[1]
    words = got[0].split(b"\r\n")[0].decode().split()
    expect_equal((words[0], words[1], words[4]), ("PROXY", "TCP4", str(port)), "the header")
    expect(is_class_e(words[2]), f"the player's address: {words}")
    expect_equal((words[3], words[5]), (BACKEND4, "8080"), "the destination")


@case("pseudo-ipv4: without the switch an IPv6 player of an IPv4 backend is refused and told")
def pseudo_off(lab):
    peers.TCPBackend(lab, BACKEND4, 8080, peers.echo)
    server, _ = restoring(lab, [pseudo("transparent", more="")])
    with lab.connect(EDGE6, 8080) as player:
        try:
            player.sendall(b"hello")
            answer = player.recv(5)
        except ConnectionResetError:
            answer = b"a reset"
        expect_equal(answer, b"a reset", "what the player got")
    event = server.wait("backend-refused", 3)
    expect("IP version" in event["cause"], f"the cause: {event}")
    until(2, "no stream left", lambda: metrics(lab.control["server"])["fairlead_streams"] == 0)
