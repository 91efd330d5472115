"""Reports from the field: claims where nobody is shown, and ports that are taken."""

import socket
import subprocess

import peers
from lab import BACKEND4, CLIENT4, EDGE4, PLAYER4, Service, place
from origin import SIGNATURE, restoring
from programs import metrics
from unprivileged import quick_proof
from verdicts import case, expect, expect_equal

LOCAL_V2 = SIGNATURE + b"\x20\0\0\0"
PUBLIC = 'services = ["*"]\norigins = ["0.0.0.0/0", "::/0"]\n'
TRUST = f'trusted = ["{PLAYER4}", "127.0.0.0/8", "{EDGE4}"]'


def told(lab, where: str, address: str, port: int, opening: bytes) -> bytes:
    """What a backend that repeats everything got in front of `hello`; b"a reset" for one."""
    with lab.open_socket(where, socket.AF_INET, socket.SOCK_STREAM) as player:
        player.settimeout(5)
        try:
            player.connect((address, port))
            player.sendall(opening + b"hello")
            player.shutdown(socket.SHUT_WR)
            answer = b""
            while part := player.recv(1000):
                answer += part
            return answer
        except ConnectionResetError:
            return b"a reset"


@case("field: a service that shows nobody ignores what is claimed")
def claims_ignored(lab):
    peers.TCPBackend(lab, BACKEND4, 8080, peers.echo)
    peers.UDPEcho(lab, BACKEND4, 9000)
    services = [
        Service("web", "tcp", place(BACKEND4, 8080), "0.0.0.0:8080"),
        Service("echo", "udp", place(BACKEND4, 9000), "0.0.0.0:9000"),
    ]
    server, _ = restoring(lab, services, PUBLIC)
    # From the client's own machine, by loopback and by its own address, and from a private one.
    for where, address in (("client", "127.0.0.1"), ("client", EDGE4), ("player", EDGE4)):
        expect_equal(told(lab, where, address, 8080, b""), b"hello", f"TCP from {where} {address}")
        with lab.udp(where, "0.0.0.0") as player:
            peers.ask(player, b"hello", (address, 9000))
    expect(not server.find("open-refused"), "a claim was refused")


@case("field: proxies' own checks and local players are shown as the client", seconds=40)
def nobody_is_the_client(lab):
    peers.TCPBackend(lab, BACKEND4, 8080, peers.echo)
    datagrams = lab.udp("backend", BACKEND4, 9000)
    shown = 'origin = "proxy-v1"'
    services = [
        Service("plain", "tcp", place(BACKEND4, 8080), "0.0.0.0:8080", shown),
        Service("v1", "tcp", place(BACKEND4, 8080), "0.0.0.0:8081", shown,
                f'accept = "proxy-v1"\n{TRUST}'),
        Service("v2", "tcp", place(BACKEND4, 8080), "0.0.0.0:8082", shown,
                f'accept = "proxy-v2"\n{TRUST}'),
        Service("echo", "udp", place(BACKEND4, 9000), "0.0.0.0:9000", 'origin = "spp"'),
        Service("behind", "udp", place(BACKEND4, 9000), "0.0.0.0:9001", 'origin = "spp"',
                f'accept = "proxy-v2"\n{TRUST}'),
    ]  # fmt: skip
    server, _ = restoring(lab, services, PUBLIC)
    line = b"PROXY TCP4 127.0.0.1 127.0.0.1 5555 8080\r\n"
    trials = (
        ("client", "127.0.0.1", 8080, b""), ("client", EDGE4, 8080, b""),
        ("client", CLIENT4, 8080, b""), ("player", EDGE4, 8081, b"PROXY UNKNOWN\r\n"),
        ("player", EDGE4, 8082, LOCAL_V2), ("client", "127.0.0.1", 8081, line),
    )  # fmt: skip
    for where, address, port, opening in trials:
        words = told(lab, where, address, port, opening).split(b"\r\n")[0].decode().split()
        what = f"what the backend was told of {where} {address}:{port}: {words}"
        expect(words[:4] == ["PROXY", "TCP4", CLIENT4, BACKEND4] and len(words) == 6, what)
        expect(words[4] != "5555" and words[5] == "8080", what)
    mapped = bytes(10) + b"\xff\xff" + socket.inet_aton(CLIENT4)
    for where, to, data in (
        ("client", ("127.0.0.1", 9000), b"ping"), ("player", (EDGE4, 9001), LOCAL_V2 + b"ping"),
    ):  # fmt: skip
        with lab.udp(where, "0.0.0.0") as player:
            player.sendto(data, to)
            datagram, _ = datagrams.recvfrom(2000)
        expect_equal(datagram[2:18], mapped, f"the address shown over UDP for {where}")
        expect_equal(datagram[38:], b"ping", "the datagram")
    # Whoever comes from elsewhere needs a grant as before, and is told which.
    expect_equal(told(lab, "player", EDGE4, 8080, b""), b"a reset", "an ungranted player")
    event = server.wait("open-refused", 3)
    expect_equal(event["cause"], "private address, not in origins of edge", "the cause")
    expect_equal(event["cure"], 'to allow: add "10.0.0.0/8" to origins of edge', "the cure")


@case("field: a transparent backend sees a local player as the client")
def local_transparent(lab):
    lab.ip("backend", "route", "add", "10.80.1.0/24", "via", "10.80.2.1")
    try:
        backend = peers.TCPBackend(lab, BACKEND4, 8080, peers.echo)
        echo = peers.UDPEcho(lab, BACKEND4, 9000)
        transparent = 'origin = "transparent"'
        services = [
            Service("web", "tcp", place(BACKEND4, 8080), "0.0.0.0:8080", transparent),
            Service("echo", "udp", place(BACKEND4, 9000), "0.0.0.0:9000", transparent),
        ]
        with quick_proof(lab):
            restoring(lab, services, PUBLIC)
            expect_equal(told(lab, "client", "127.0.0.1", 8080, b""), b"hello", "the echo")
            with lab.udp("client", "127.0.0.1") as player:
                peers.ask(player, b"hello", ("127.0.0.1", 9000))
        expect_equal(backend.peers[-1][0], CLIENT4, "the address that TCP showed")
        expect_equal({s[0] for s in echo.sources}, {CLIENT4}, "the address that UDP showed")
    finally:
        lab.ip("backend", "route", "del", "10.80.1.0/24")


@case("field: a player whose port is taken on the server's machine is served, and counted")
def taken_port(lab):
    granted = 'services = ["*"]\norigins = ["10.80.0.0/24"]\n'
    echo = peers.UDPEcho(lab, BACKEND4, 9000)
    backend = peers.TCPBackend(lab, BACKEND4, 8080, peers.echo)
    transparent = 'origin = "transparent"'
    services = [
        Service("echo", "udp", place(BACKEND4, 9000), place(EDGE4, 9000), transparent),
        Service("web", "tcp", place(BACKEND4, 8080), place(EDGE4, 8080), transparent),
    ]
    taken = [lab.udp("server", "0.0.0.0", port) for port in (5060, 5061)]
    listener = lab.open_socket("server", socket.AF_INET, socket.SOCK_STREAM)
    listener.bind(("0.0.0.0", 5060))
    listener.listen()
    with quick_proof(lab):
        server, _ = restoring(lab, services, granted)
        for port in (5060, 5061, 5062):
            with lab.udp("player", PLAYER4, port) as player:
                peers.ask(player, b"hello", (EDGE4, 9000))
        with lab.open_socket("player", socket.AF_INET, socket.SOCK_STREAM) as player:
            player.bind((PLAYER4, 5060))
            player.settimeout(5)
            player.connect((EDGE4, 8080))
            player.sendall(b"hello")
            expect_equal(player.recv(5), b"hello", "the echo over TCP")
    for socket_ in [*taken, listener]:
        socket_.close()
    expect_equal({s[0] for s in echo.sources} | {backend.peers[-1][0]}, {PLAYER4}, "the address")
    ports = {s[1] for s in echo.sources}
    expect(5062 in ports and not ports & {5060, 5061}, f"the ports that UDP showed: {ports}")
    expect(backend.peers[-1][1] != 5060, "the port that TCP showed")
    page = metrics(lab.control["server"])
    name = "fairlead_source_ports_changed_total"
    expect_equal(page[name + '{service="echo"}'], 2, "players with another port over UDP")
    expect_equal(page[name + '{service="web"}'], 1, "players with another port over TCP")
    said = [e["service"] for e in server.events if e.get("event") == "source-port-changed"]
    expect_equal(sorted(said), ["echo", "web"], "what the log told")


@case("field: transparent without origins is warned of before and at the start")
def warned(lab):
    services = [
        Service("web", "tcp", place(BACKEND4, 8080), place(EDGE4, 8080), 'origin = "transparent"')
    ]
    config = lab.write("bare.toml", lab.server_text(services, 'routes = "print"\n'))
    command = [f"{lab.binaries}/fairlead-server", "--config", config, "--check"]
    result = subprocess.run(command, capture_output=True, text=True)
    expect_equal((result.returncode, result.stdout), (0, "ok\n"), "the check")
    for word in ('"web"', '"edge"', "origins"):
        expect(word in result.stderr, f"what --check said: {result.stderr!r}")
    command = [f"{lab.binaries}/fairlead", "doctor", "--server", config]
    result = subprocess.run(command, capture_output=True, text=True)
    expect("origins = [" in result.stdout, f"what doctor said: {result.stdout!r}")
    server = lab.start("fairlead-server", "server", config, "server")
    event = server.wait("configuration-warning", 5)
    expect("origins" in event["cause"], f"what the start said: {event}")
    # With a grant for one of those who may use it, nothing is missing.
    granted = 'services = ["web"]\norigins = ["0.0.0.0/0"]\n'
    config = lab.write("granted.toml", lab.server_text(services, peer=granted))
    command = [f"{lab.binaries}/fairlead-server", "--config", config, "--check"]
    result = subprocess.run(command, capture_output=True, text=True)
    expect_equal((result.returncode, result.stderr), (0, ""), "a file that misses nothing")
