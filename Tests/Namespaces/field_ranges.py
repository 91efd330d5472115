"""Reports from the field: ranges of ports that lead to the same ports."""

import contextlib
import subprocess
import threading

import peers
from lab import BACKEND4, EDGE4, Service
from origin import RIGHTS, restoring
from verdicts import case, expect, expect_equal

FIRST, LAST = 20000, 20010
SECOND4 = "10.80.2.3"
RANGE = f"{FIRST}-{LAST}"


def udp_range(lab, address: str, ports=range(FIRST, LAST + 1)):
    """Each socket answers with where it is and who asked."""
    for port in ports:
        sock = lab.udp("backend", address, port, seconds=60)

        def serve(sock=sock, port=port):
            with contextlib.suppress(OSError):
                while True:
                    data, player = sock.recvfrom(2000)
                    who = f"{address}:{port} {player[0]}:{player[1]} {data.decode()}"
                    sock.sendto(who.encode(), player)

        threading.Thread(target=serve, daemon=True).start()


def tcp_range(lab, address: str):
    for port in range(FIRST, LAST + 1):
        def serve(connection, port=port):
            connection.recv(5)
            connection.sendall(f"{address}:{port}".encode())

        peers.TCPBackend(lab, address, port, serve)


def ask(lab, port: int, own: str = "0.0.0.0") -> list[str]:
    with lab.udp("player", own, seconds=1) as player:
        for _ in range(5):
            player.sendto(b"hello", (EDGE4, port))
            with contextlib.suppress(TimeoutError):
                return player.recv(100).decode().split()
    raise TimeoutError(f"no answer from port {port}")


def call(lab, port: int) -> str:
    with lab.connect(EDGE4, port) as player:
        player.sendall(b"hello")
        return player.recv(100).decode()


@contextlib.contextmanager
def second_backend(lab):
    lab.ip("backend", "addr", "add", f"{SECOND4}/24", "dev", "to-server")
    try:
        yield
    finally:
        lab.ip("backend", "addr", "del", f"{SECOND4}/24", "dev", "to-server")


@case("field: a range of ports leads to the same ports, and a player stays at one backend", 40)
def same_ports(lab):
    with second_backend(lab):
        for address in (BACKEND4, SECOND4):
            udp_range(lab, address)
            tcp_range(lab, address)
        both = f'{BACKEND4}:{RANGE}", "{SECOND4}:{RANGE}'
        services = [
            Service("voice", "udp", both, f"0.0.0.0:{RANGE}"),
            # Shifted: it is the place in the range that counts.
            Service("files", "tcp", both, "0.0.0.0:30000-30010", 'balance = "round-robin"'),
        ]
        lab.tunnel(services, client="workers = 2")
        for _ in range(2):
            answers = [ask(lab, port)[0] for port in range(FIRST, LAST + 1)]
            expect_equal(
                [int(answer.rpartition(":")[2]) for answer in answers],
                list(range(FIRST, LAST + 1)),
                "ports of UDP",
            )
            calls = [call(lab, 30000 + n) for n in range(LAST - FIRST + 1)]
            expect_equal(
                [int(answer.rpartition(":")[2]) for answer in calls],
                list(range(FIRST, LAST + 1)),
                "ports of TCP",
            )
            hosts = {answer.rpartition(":")[0] for answer in answers + calls}
            expect_equal(len(hosts), 1, f"backends of one player ({hosts})")


@case("field: a range of ports shows players to transparent backends", 40)
def transparent_range(lab):
    udp_range(lab, BACKEND4)
    service = Service(
        "voice", "udp", f"{BACKEND4}:{RANGE}", f"0.0.0.0:{RANGE}", 'origin = "transparent"'
    )
    restoring(lab, [service], RIGHTS)
    for port in (FIRST, FIRST + 5, LAST):
        where, who, _ = ask(lab, port, "10.80.0.2")
        expect_equal(where, f"{BACKEND4}:{port}", "the port")
        expect(who.startswith("10.80.0.2:"), f"the backend saw {who}")


@case("field: a closed port of a range costs the others nothing", 30)
def closed_port(lab):
    udp_range(lab, BACKEND4, range(FIRST, LAST))
    services = [Service("voice", "udp", f"{BACKEND4}:{RANGE}", f"0.0.0.0:{RANGE}")]
    lab.tunnel(services)
    with lab.udp("player", "0.0.0.0", seconds=0.1) as player:
        for _ in range(10):
            player.sendto(b"anybody?", (EDGE4, LAST))
            with contextlib.suppress(TimeoutError):
                player.recv(100)
    for port in (FIRST, LAST - 1):
        expect_equal(ask(lab, port)[0], f"{BACKEND4}:{port}", "the port")


@case("field: a range of another length is refused, and both ends say so", 30)
def another_length(lab):
    udp_range(lab, BACKEND4)
    tcp_range(lab, BACKEND4)
    services = [
        Service("voice", "udp", f"{BACKEND4}:{RANGE}", f"0.0.0.0:{FIRST}-{LAST - 1}"),
        Service("files", "tcp", f"{BACKEND4}:{RANGE}", f"0.0.0.0:{FIRST}"),
    ]
    server, client = lab.tunnel(services)
    with lab.udp("player", "0.0.0.0") as player:
        player.sendto(b"hello", (EDGE4, FIRST))
        client.wait("flow-closed", 3, reason="port-range")
    server.wait("backend-refused", 1, reason="port-range", service="voice")
    with lab.connect(EDGE4, FIRST) as player:
        with contextlib.suppress(ConnectionError):
            player.sendall(b"hello")
            expect_equal(player.recv(5), b"", "an answer")
    client.wait("stream-reset", 3, reason="port-range")
    check = subprocess.run(
        [f"{lab.binaries}/fairlead", "check", "server.toml", "client.toml"],
        cwd=lab.folder,
        capture_output=True,
        text=True,
    )
    expect(check.returncode != 0, "check finds nothing")
    output = check.stdout + check.stderr
    for count in (10, 1):
        expect(f"(ports: {count}), expected 11 ports" in output, f"check says: {output}")
