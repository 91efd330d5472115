"""Forwards for whole ranges of ports, with and without the packet filter's help."""

import contextlib
import os
import socket
import struct
import subprocess
import threading

import peers
from lab import (
    BACKEND4, EDGE4, EDGE6, PLAYER4, PLAYER6, SERVER4, TUNNEL_PORT, Lab, Service, place, until,
)  # fmt: skip
from origin import SIGNATURE, restoring
from verdicts import case, expect, expect_equal

# Not addresses of the edge: they are only routed to it.
FAR4, FAR6 = "198.51.100.7", "2001:db8:7::7"
# The address that a player connected to is a claim as well.
RIGHTS = (
    'services = ["*"]\n'
    f'origins = ["10.80.0.0/24", "fd80::/64", "{FAR4}/32", "{FAR6}/128"]\n'
)
FIRST, LAST = 20000, 20100


def header(data: bytes) -> tuple[tuple, tuple, dict[int, bytes], bytes]:
    """Player, destination, extensions and the rest of what begins with a PROXY v2 header."""
    expect_equal(data[:12], SIGNATURE, "the signature")
    size = struct.unpack("!H", data[14:16])[0]
    if data[13] >> 4 == 1:
        family, length, end = socket.AF_INET, 4, 28
    else:
        family, length, end = socket.AF_INET6, 16, 52
    texts = [
        socket.inet_ntop(family, data[16 + i * length : 16 + (i + 1) * length]) for i in (0, 1)
    ]
    ports = struct.unpack("!HH", data[end - 4 : end])
    extensions = {}
    while end < 16 + size:
        kind, count = struct.unpack("!BH", data[end : end + 3])
        extensions[kind] = data[end + 3 : end + 3 + count]
        end += 3 + count
    return (texts[0], ports[0]), (texts[1], ports[1]), extensions, data[16 + size :]


def services(listen: str, lines: str = "transparent = true") -> list[Service]:
    return [
        Service("web", "tcp", place(BACKEND4, 8080), listen, 'origin = "proxy-v2"', lines),
        Service("echo", "udp", place(BACKEND4, 9000), listen, 'origin = "proxy-v2"', lines),
    ]


class HeaderEcho:
    """A UDP backend that notes headers and answers with what stood behind them."""

    def __init__(self, lab: Lab):
        self.socket = lab.udp("backend", BACKEND4, 9000, seconds=None)
        self.seen: list[tuple] = []
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self):
        while True:
            data, source = self.socket.recvfrom(65_536)
            player, destination, _, rest = header(data)
            self.seen.append((player, destination))
            self.socket.sendto(rest, source)


@contextlib.contextmanager
def led(lab: Lab, config: str):
    """The packet filter and the routes as `fairlead routes print` wants them."""
    run = ["ip", "netns", "exec", f"{lab.prefix}-client"]
    script = subprocess.run(
        [f"{lab.binaries}/fairlead", "routes", "print", "--client", config],
        capture_output=True, text=True, cwd=lab.folder,
    )  # fmt: skip
    expect_equal(script.returncode, 0, f"routes print: {script.stderr}")
    for _ in range(2):  # It may be run again.
        done = subprocess.run([*run, "sh", "-e"], input=script.stdout, text=True,
                              capture_output=True)  # fmt: skip
        expect(done.returncode == 0, f"{script.stdout}\n{done.stderr}")
    lab.ip("player", "route", "add", FAR4, "via", EDGE4)
    lab.ip("player", "-6", "route", "add", FAR6, "via", EDGE6)
    try:
        yield
    finally:
        lab.ip("player", "route", "del", FAR4)
        lab.ip("player", "-6", "route", "del", FAR6)
        for command in (
            "nft delete table inet fairlead_client",
            "ip rule del pref 690", "ip -6 rule del pref 690",
            "ip route flush table 46900", "ip -6 route flush table 46900",
        ):  # fmt: skip
            subprocess.run([*run, *command.split()], capture_output=True)


def doctor(lab: Lab) -> tuple[int, str]:
    done = subprocess.run(
        ["ip", "netns", "exec", f"{lab.prefix}-client", f"{lab.binaries}/fairlead", "doctor",
         "--client", f"{lab.folder}/client.toml"],
        capture_output=True, text=True, cwd=lab.folder,
    )  # fmt: skip
    return done.returncode, done.stdout


def sysctl(lab: Lab, key: str, value: int):
    run = ["ip", "netns", "exec", f"{lab.prefix}-client", "sh", "-c"]
    subprocess.run([*run, f"echo {value} >/proc/sys/{key}"], check=True)


def exchange_all(lab: Lab, got: list[bytes], echo: HeaderEcho, targets: list[tuple[str, int]]):
    for address, port in targets:
        own = PLAYER6 if ":" in address else PLAYER4
        with lab.connect(address, port, seconds=5) as player:
            seen = len(got)
            player.sendall(b"hello")
            until(3, f"the backend's bytes of {address}", lambda: len(got) > seen)
            shown, destination, _, rest = header(got[-1])
            expect_equal(shown, player.getsockname()[:2], "the player")
            expect_equal(destination, (address, port), "where it connected to")
            expect_equal(rest, b"hello", "its bytes")
        with lab.udp("player", own) as player:
            for body in (b"one", b"two"):
                peers.ask(player, body, (address, port))
            player.sendto(b"three", (address, port))
            data, source = player.recvfrom(100)
            expect_equal((data, source[:2]), (b"three", (address, port)), "the reply's source")
            shown = (own, player.getsockname()[1])
        expect_equal(echo.seen[-1], (shown, (address, port)), "what the UDP backend saw")


def recorder(got: list[bytes]):
    def handle(connection):
        data = b""
        while not data.endswith(b"hello"):
            data += connection.recv(300) or b"hello"
        got.append(data)

    return handle


@case("transparent forward: one socket for 101 ports of every address, both families", seconds=40)
def tproxy(lab):
    got: list[bytes] = []
    peers.TCPBackend(lab, BACKEND4, 8080, recorder(got))
    echo = HeaderEcho(lab)
    server, client = restoring(lab, services(f"[::]:{FIRST}-{LAST}"), RIGHTS)
    expect(client.find("transparent-route-missing"), "the missing route is not told")
    code, text = doctor(lab)
    expect(code == 1 and "packet-filter" in text, f"doctor without the rules: {code} {text}")
    targets = [(EDGE4, FIRST), (EDGE4, LAST), (FAR4, 20050), (EDGE6, 20001), (FAR6, LAST)]
    with led(lab, f"{lab.folder}/client.toml"):
        code, text = doctor(lab)
        expect(code == 0, f"doctor with the rules: {text}")
        exchange_all(lab, got, echo, targets)
        # What WireGuard's script may have left behind.
        switch = "net/ipv4/conf/all/src_valid_mark"
        sysctl(lab, switch, 1)
        code, text = doctor(lab)
        expect(code == 1 and "src_valid_mark" in text, f"doctor with marks checked: {text}")
        with lab.udp("player", PLAYER4, seconds=0.5) as player:
            player.sendto(b"lost", (FAR4, 20050))
            try:
                expect(not player.recv(10), "doctor is wrong: the packet came through")
            except TimeoutError:
                pass
        sysctl(lab, switch, 0)
        # A program of the edge keeps its own port inside the range.
        with lab.udp("client", EDGE4, 20060) as own, lab.udp("player", PLAYER4) as player:
            player.sendto(b"mine", (EDGE4, 20060))
            expect_equal(own.recv(10), b"mine", "what the edge's own program got")
        # Nothing is left of a killed client that a new one would trip over; flows go on.
        with lab.udp("player", PLAYER4) as player:
            peers.ask(player, b"before", (FAR4, 20070))
            client.close()
            again = lab.start_client(services(f"[::]:{FIRST}-{LAST}"), name="client")
            again.wait("session-up", 5)
            peers.ask(player, b"after", (FAR4, 20070))
        expect(not again.find("transparent-route-missing"), "a route that is there is missed")
        exchange_all(lab, got, echo, targets)


@case("transparent forward: of one address only, IPv4 alone, two workers")
def tproxy_one(lab):
    got: list[bytes] = []
    peers.TCPBackend(lab, BACKEND4, 8080, recorder(got))
    echo = HeaderEcho(lab)
    wanted = services(f"{FAR4}:{FIRST}-{LAST}")
    lab.start_server(wanted, peer=RIGHTS)
    lab.start_client(wanted, "workers = 2").wait("session-up", 5)
    with led(lab, f"{lab.folder}/client.toml"):
        exchange_all(lab, got, echo, [(FAR4, FIRST), (FAR4, 20050), (FAR4, LAST)])
        with lab.open_socket("player", socket.AF_INET, socket.SOCK_STREAM) as player:
            player.settimeout(1)
            expect(player.connect_ex((EDGE4, FIRST)) != 0, "another address is let in too")


@case("transparent forward: a range that holds the tunnel's own port, and reloads")
def tproxy_all_ports(lab):
    got: list[bytes] = []
    peers.TCPBackend(lab, BACKEND4, 8080, recorder(got))
    echo = HeaderEcho(lab)
    wanted = services("[::]:1024-65535")
    lab.start_server(wanted, peer=RIGHTS)
    config = lab.write("client.toml", lab.client_text(wanted))
    with led(lab, config):
        client = lab.start("fairlead-client", "client", config, "client")
        # The server's answers come to a port of the range, and are the tunnel's all the same.
        client.wait("session-up", 5)
        exchange_all(lab, got, echo, [(FAR4, 1024), (FAR4, 65535), (FAR6, 33333)])
        # More ports than sockets are kept to answer from, twice: those closed come back.
        with lab.udp("player", PLAYER4, seconds=2) as player:
            for port in [*range(30_000, 31_500), *range(30_000, 30_100)]:
                player.sendto(b"%d" % port, (FAR4, port))
                data, source = player.recvfrom(100)
                expect_equal((data, source), (b"%d" % port, (FAR4, port)), "who answered what")
        count = len(os.listdir(f"/proc/{client.pid}/fd"))
        expect(count < 1100, f"{count} descriptors are open")
        for listen, lines, expected in (
            # Another range behind the same socket is taken over as it runs.
            ("[::]:1024-50000", "transparent = true", "reload"),
            ("[::]:1024-1030", "", "reload-refused"),
        ):
            lab.write("client.toml", lab.client_text(services(listen, lines)))
            count = len(client.events)
            client.process.send_signal(1)
            told = client.wait(expected, 5, since=count)
        expect("transparent" in told["cause"], f"why the reload is refused: {told}")
        exchange_all(lab, got, echo, [(FAR4, 2000)])


@case("a port range without the packet filter: a socket for each port")
def plain_range(lab):
    got: list[bytes] = []
    peers.TCPBackend(lab, BACKEND4, 8080, recorder(got))
    echo = HeaderEcho(lab)
    restoring(lab, services(f"0.0.0.0:{FIRST}-{LAST}", ""), RIGHTS)
    exchange_all(lab, got, echo, [(EDGE4, FIRST), (EDGE4, 20050), (EDGE4, LAST)])


@case("a transparent forward without the right to it says so and ends")
def without_right(lab):
    config = lab.write("client.toml", lab.client_text(services(f"0.0.0.0:{FIRST}")))
    drop = ["setpriv", "--bounding-set=-net_raw,-net_admin", "--inh-caps=-all"]
    run = subprocess.run(
        ["ip", "netns", "exec", f"{lab.prefix}-client", *drop, "--reuid=0",
         f"{lab.binaries}/fairlead-client", "--config", config],
        capture_output=True, text=True, cwd=lab.folder, timeout=10,
    )  # fmt: skip
    expect_equal(run.returncode, 1, "the exit code")
    expect("CAP_NET_RAW" in run.stderr, f"what is missing is not told: {run.stderr}")


@case("a server that is the client itself is refused before anything is bound")
def loop(lab):
    top = f'server = "{EDGE4}:{FIRST}"\n'
    config = lab.write("client.toml", lab.client_text(services(f"0.0.0.0:{FIRST}", ""), top))
    client = lab.start("fairlead-client", "client", config, "client")
    expect_equal(client.wait_exit(5), 1, "the exit code")
    expect(any("come back in" in line for line in client.lines), f"no cause: {client.lines}")


@case("a backend that is the server itself is refused, by address and by name")
def backend_loop(lab):
    own = Service("echo", "udp", place(SERVER4, TUNNEL_PORT), place(EDGE4, 9000))
    config = lab.write("server.toml", lab.server_text([own]))
    server = lab.start("fairlead-server", "server", config, "server")
    expect_equal(server.wait_exit(5), 1, "the exit code")
    expect(any("come back in" in line for line in server.lines), f"no cause: {server.lines}")
    own = own._replace(backend=f"localhost:{TUNNEL_PORT}")
    server = lab.start_server([own])
    told = server.wait("backend-ignored", 5)
    expect("localhost" in told["cause"], f"the cause: {told}")
    # A reload into a loop changes nothing.
    lab.write("server.toml", lab.server_text([own._replace(backend=place(SERVER4, TUNNEL_PORT))]))
    server.process.send_signal(1)
    server.wait("reload-refused", 5)
