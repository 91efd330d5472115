"""Narrow paths, several servers, and the settings that change how traffic travels."""

import socket
import time
from concurrent.futures import ThreadPoolExecutor

import peers
from datagrams import ECHO
from lab import BACKEND4, CLIENT4, EDGE4, SERVER4, Service, until
from programs import metrics
from relay import Weather
from streams import MEGABYTE, WEB, relay_before_the_server
from verdicts import case, expect, expect_equal


def pass_both_ways(lab, count: int, seconds: float = 15):
    """A stream and large datagrams, compared byte by byte."""
    data = peers.payload(1, count)
    with lab.connect(EDGE4, 8080, seconds=seconds) as player:
        expect_equal(peers.exchange(player, data), (len(data), peers.digest(data)), "the echo")
    with lab.udp("player", "0.0.0.0") as flow:
        for size in (1200, 1472, 9000):
            peers.ask(flow, peers.payload(size, size), (EDGE4, 9000))


def start_backends(lab):
    peers.TCPBackend(lab, BACKEND4, 8080, peers.echo)
    peers.UDPEcho(lab, BACKEND4, 9000)


@case("a link with an MTU of 1280")
def narrow_link(lab):
    start_backends(lab)
    try:
        for where, device in (("client", "to-server"), ("server", "to-client")):
            lab.ip(where, "link", "set", device, "mtu", "1280")
        lab.tunnel([WEB, ECHO])
        pass_both_ways(lab, 3 * MEGABYTE)
    finally:
        for where, device in (("client", "to-server"), ("server", "to-client")):
            lab.ip(where, "link", "set", device, "mtu", "1500")


@case("a path that swallows packets over 1250 bytes without a word")
def black_hole(lab):
    start_backends(lab)
    relay = relay_before_the_server(lab, Weather(mtu=1250))
    lab.start_server([WEB, ECHO])
    client = lab.start_client([WEB, ECHO], f'server = "{CLIENT4}:4700"\n')
    client.wait("session-up", 5)
    pass_both_ways(lab, 3 * MEGABYTE)
    expect(relay.counts["passed"] > 2000, f"the relay did not do its work: {relay.counts}")


@case("a path that shrinks below what it carried", 30)
def shrinking_path(lab):
    start_backends(lab)
    relay = relay_before_the_server(lab)
    lab.start_server([WEB, ECHO])
    client = lab.start_client([WEB, ECHO], f'server = "{CLIENT4}:4700"\n')
    client.wait("session-up", 5)
    pass_both_ways(lab, 3 * MEGABYTE)
    relay.weather = Weather(mtu=1250)
    pass_both_ways(lab, 3 * MEGABYTE)


@case("mtu = 1200: no packet is larger")
def fixed_mtu(lab):
    start_backends(lab)
    relay = relay_before_the_server(lab)
    relay.record_limit = 2000
    top = "mtu = 1200\n"
    lab.start_server([WEB, ECHO], top)
    client = lab.start_client([WEB, ECHO], f'server = "{CLIENT4}:4700"\n{top}')
    client.wait("session-up", 5)
    pass_both_ways(lab, 2 * MEGABYTE)
    largest = max(len(packet) for packet in relay.recorded)
    expect(1000 < largest <= 1200, f"the largest packet has {largest} bytes")


@case("a list of servers: the second is taken when the first is silent")
def second_server(lab):
    start_backends(lab)
    lab.start_server([WEB, ECHO])
    client = lab.start_client([WEB, ECHO], f'server = ["{SERVER4}:4999", "{SERVER4}:4600"]\n')
    client.wait("session-up", 8)
    pass_both_ways(lab, 100_000)


@case("a range of ports: each listens and serves")
def port_range(lab):
    start_backends(lab)
    web = WEB._replace(listen="0.0.0.0:8100-8103")
    lab.tunnel([web, ECHO._replace(listen="0.0.0.0:9100-9103")])
    for index in range(4):
        with lab.connect(EDGE4, 8100 + index) as player:
            player.sendall(b"hello")
            peers.read_exactly(player, 5)
        with lab.udp("player", "0.0.0.0") as flow:
            peers.ask(flow, b"hello", (EDGE4, 9100 + index))


@case("max_sessions: one client too many is told `limit`")
def session_limit(lab):
    other = lab.key("other")
    text = lab.server_text([WEB], "max_sessions = 1\n")
    text += f'\n[[peer]]\nname = "other"\npublic_key = "{other}"\nservices = ["*"]\n'
    server = lab.start("fairlead-server", "server", lab.write("server.toml", text), "server")
    server.wait("ready", 5)
    lab.start_client([WEB]).wait("session-up", 5)
    second = WEB._replace(listen="0.0.0.0:8081")
    client = lab.start_client(
        [second], 'private_key = "other.key"\ncontrol = "other.sock"\n', name="other"
    )
    client.wait(None, 3, reason="limit")


@case("compression: the same bytes, fewer packets")
def compression(lab):
    received = []
    peers.TCPBackend(lab, BACKEND4, 8080, lambda c: received.append(peers.drain(c)))
    lab.tunnel([WEB._replace(forward_lines='compression = "auto"')])
    text = b"".join(b"sensor %d reads %d\n" % (n % 50, n * n % 977) for n in range(200_000))
    with lab.connect(EDGE4, 8080) as player:
        player.sendall(text)
        player.shutdown(socket.SHUT_WR)
        until(8, "the backend's end", lambda: received)
    expect_equal(received[0], (len(text), peers.digest(text)), "what the backend got")
    sent = metrics(lab.control["client"])['fairlead_wire_bytes_total{direction="sent"}']
    expect(sent < len(text) * 0.6, f"{sent:.0f} bytes on the wire for {len(text)}")


@case("compression = never: the same bytes pass, none of them deflated")
def compression_forbidden(lab):
    received = []
    peers.TCPBackend(lab, BACKEND4, 8080, lambda c: received.append(peers.drain(c)))
    peers.UDPEcho(lab, BACKEND4, 9000)
    lines = {"service_lines": 'compression = "never"', "forward_lines": 'compression = "auto"'}
    server, client = lab.tunnel([WEB._replace(**lines), ECHO._replace(**lines)])
    text = b"".join(b"sensor %d reads %d\n" % (n % 50, n * n % 977) for n in range(20_000))
    for _ in range(2):
        with lab.connect(EDGE4, 8080) as player:
            player.sendall(text)
            player.shutdown(socket.SHUT_WR)
            until(8, "the backend's end", lambda: received)
        expect_equal(received.pop(), (len(text), peers.digest(text)), "what the backend got")
    with lab.udp("player", "0.0.0.0") as player:
        for number in range(20):
            datagram = text[number : number + 1000]
            expect_equal(peers.ask(player, datagram, (EDGE4, 9000)), datagram, "the echo")
    samples = metrics(lab.control["client"])
    sent = samples['fairlead_wire_bytes_total{direction="sent"}']
    expect(sent > len(text) * 2, f"{sent:.0f} bytes on the wire for twice {len(text)}")
    for program in (server, client):
        expect_equal(program.find("stream-reset"), None, "stream-reset in the log")
    drops = metrics(lab.control["server"])
    expect_equal(drops['fairlead_drops_total{reason="compression-forbidden"}'], 0, "drops")


def deliver(lab, line: str, count: int = 200) -> int:
    """How many of `count` messages come back over a path that loses 5 % each way."""
    peers.UDPEcho(lab, BACKEND4, 9000)
    service = ECHO._replace(forward_lines=line)
    relay = relay_before_the_server(lab, Weather(delay=0.005))
    lab.start_server([service])
    client = lab.start_client([service], f'server = "{CLIENT4}:4700"\n')
    client.wait("session-up", 5)
    echoes = []
    with lab.udp("player", "0.0.0.0", seconds=1) as player:
        peers.ask(player, b"hello", (EDGE4, 9000))
        relay.weather = Weather(delay=0.005, loss=0.05)
        for number in range(count):
            player.sendto(b"%05d" % number * 20, (EDGE4, 9000))
            time.sleep(0.01)
        try:
            while len(echoes) < count:
                echoes.append(player.recv(2000))
        except TimeoutError:
            pass
    expect_equal(len(set(echoes)), len(echoes), "different echoes")
    return len(echoes)


@case('delivery = "reliable": every message comes back')
def reliable(lab):
    expect_equal(deliver(lab, 'delivery = "reliable"'), 200, "echoes of 200 messages")


@case('delivery = "deadline": nearly every message comes back')
def deadline(lab):
    came = deliver(lab, 'delivery = "deadline"\nmax_age = "500ms"')
    expect(came >= 196, f"only {came} of 200 came back")


@case("answers come from the address that was asked, of server and of client")
def second_addresses(lab):
    start_backends(lab)
    lab.ip("server", "addr", "add", "10.80.1.3/24", "dev", "to-client")
    lab.ip("client", "addr", "add", "10.80.0.5/24", "dev", "to-player")
    try:
        lab.start_server([WEB, ECHO])
        client = lab.start_client([WEB, ECHO], 'server = "10.80.1.3:4600"\n')
        client.wait("session-up", 5)
        for address in (EDGE4, "10.80.0.5"):
            with lab.udp("player", "0.0.0.0", seconds=2) as flow:
                # Connected, it hears nobody else.
                flow.connect((address, 9000))
                flow.send(b"hello")
                expect_equal(flow.recv(100), b"hello", f"the echo from {address}")
    finally:
        lab.ip("server", "addr", "del", "10.80.1.3/24", "dev", "to-client")
        lab.ip("client", "addr", "del", "10.80.0.5/24", "dev", "to-player")


@case("two backends take turns")
def two_backends(lab):
    one = peers.TCPBackend(lab, BACKEND4, 8080, peers.echo)
    two = peers.TCPBackend(lab, BACKEND4, 8081, peers.echo)
    both = WEB._replace(backend=f'{BACKEND4}:8080", "{BACKEND4}:8081')
    lab.tunnel([both])
    for _ in range(10):
        with lab.connect(EDGE4, 8080) as player:
            player.sendall(b"hello")
            peers.read_exactly(player, 5)
    expect_equal((len(one.peers), len(two.peers)), (5, 5), "connections of each backend")


@case("1000 short connections leave nothing behind", 30)
def churn(lab):
    peers.TCPBackend(lab, BACKEND4, 8080, peers.echo)
    pair = lab.tunnel([WEB])

    def visit(number: int):
        with lab.connect(EDGE4, 8080) as player:
            data = b"request %d" % number
            expect_equal(peers.exchange(player, data), (len(data), peers.digest(data)), "echo")

    with ThreadPoolExecutor(20) as pool:
        list(pool.map(visit, range(200)))
        before = [program.resident_bytes() for program in pair]
        list(pool.map(visit, range(800)))
    for program, size in zip(pair, before):
        grown = program.resident_bytes() - size
        expect(grown < 8 << 20, f"{program.name} grew by {grown >> 10} KiB")
    for end, path in lab.control.items():
        until(3, f"no stream at the {end}", lambda: metrics(path)["fairlead_streams"] == 0)


@case("workers of a client share its listeners")
def client_workers(lab):
    start_backends(lab)
    client = lab.start_client([WEB, ECHO], "workers = 2\n")
    lab.start_server([WEB, ECHO])
    client.wait("session-up", 5)
    for _ in range(8):
        pass_both_ways(lab, 100_000)


@case("names are resolved: localhost as a backend on the server's machine")
def names(lab):
    service = Service("web", "tcp", "localhost:8080", "0.0.0.0:8080")
    with lab.inside("server"):
        listener = socket.create_server(("127.0.0.1", 8080))
    lab.tunnel([service])
    with lab.connect(EDGE4, 8080) as player:
        player.sendall(b"hello")
        listener.settimeout(3)
        backend = listener.accept()[0]
        backend.settimeout(3)
        expect_equal(peers.read_exactly(backend, 5), b"hello", "what the backend got")
