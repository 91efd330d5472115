"""Thousands of TCP connections: idle ones, sudden ones, and ones that never say who they are."""

import resource
import selectors
import socket
import subprocess
import sys
import time

import peers
from gates import PLAYERS4, settle
from lab import BACKEND4, EDGE4, PLAYER4, Lab, Service, place, until
from origin import SIGNATURE
from programs import metrics
from swarm import Swarm, cpu_seconds, own_bytes, players
from verdicts import Skipped, case, expect, expect_equal

KIBIBYTE = 1024


def allow_descriptors(count: int):
    """Lets this process and those it starts have so many each."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    if hard < count:
        raise Skipped(f"{count} descriptors are more than this machine allows")
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def echo_process(lab: Lab) -> subprocess.Popen:
    """An echo for any number of connections, in a process of its own."""
    command = ["ip", "netns", "exec", f"{lab.prefix}-backend", sys.executable, "-B", __file__]
    process = subprocess.Popen([*command, BACKEND4, "8080"], stdout=subprocess.PIPE, text=True)
    expect_equal(process.stdout.readline(), "ready\n", "the backend's first words")
    return process


def serve_echo(address: str, port: int):
    listener = socket.create_server((address, port), backlog=4096)
    listener.setblocking(False)
    watcher = selectors.EpollSelector()
    watcher.register(listener, selectors.EVENT_READ)
    print("ready", flush=True)
    while True:
        for key, _ in watcher.select():
            if key.fileobj is listener:
                connection = listener.accept()[0]
                connection.setblocking(False)
                watcher.register(connection, selectors.EVENT_READ)
                continue
            try:
                data = key.fileobj.recv(4096)
                key.fileobj.send(data) if data else None
            except BlockingIOError:
                continue
            except OSError:
                data = b""
            if not data:
                watcher.unregister(key.fileobj)
                key.fileobj.close()


def connect_many(lab: Lab, port: int, count: int) -> list[socket.socket]:
    """Starts this many connections at once."""
    players = []
    with lab.inside("player"):
        for _ in range(count):
            player = socket.socket()
            player.setblocking(False)
            player.connect_ex((EDGE4, port))
            players.append(player)
    return players


def expect_echoes(players: list[socket.socket]):
    for player in players:
        player.settimeout(10)
        player.sendall(b"hello world")
    heard = sum(player.recv(100) == b"hello world" for player in players)
    expect_equal(heard, len(players), "echoes")


@case("crowd: 10,000 idle connections, and 2,000 that open at once", 60)
def idle_connections(lab):
    count, portion = 10_000, 2_000
    allow_descriptors(count + 1_000)
    echo_process(lab)
    web = Service("web", "tcp", place(BACKEND4, 8080), place(EDGE4, 8080))
    peer = f'services = ["*"]\nmax_streams = {count}\n'
    programs = (lab.start_server([web], peer=peer), lab.start_client([web]))
    programs[1].wait("session-up", 5)
    before = [own_bytes(program.pid) for program in programs]
    players: list[socket.socket] = []
    while len(players) < count:
        fresh = connect_many(lab, 8080, portion)
        expect_echoes(fresh)
        players += fresh
    for end in ("server", "client"):
        expect_equal(metrics(lab.control[end])["fairlead_streams"], count, f"{end}'s streams")
    for program, start in zip(programs, before):
        each = (own_bytes(program.pid) - start) / count
        expect(each <= 16 * KIBIBYTE, f"{program.name}: {each:.0f} bytes a connection")
    busy = sum(cpu_seconds(program.pid) for program in programs)
    time.sleep(0.5)
    busy = sum(cpu_seconds(program.pid) for program in programs) - busy
    expect(busy <= 0.05, f"10,000 idle connections cost {busy * 2:.2f} s of processor a second")
    for player in players:
        player.close()
    for end in ("server", "client"):
        until(10, "no stream", lambda: metrics(lab.control[end])["fairlead_streams"] == 0)


def round_trips(lab: Lab, count: int) -> float:
    """The median time of a new player behind the proxy, from its first byte to the answer's."""
    header = SIGNATURE + b"\x21\x11\0\x0c" + socket.inet_aton("10.80.0.99")
    header += socket.inet_aton(EDGE4) + b"\x30\x39\x1f\x90"
    times = []
    for _ in range(count):
        with lab.connect(EDGE4, 8080) as player:
            start = time.monotonic()
            player.sendall(header + b"hello")
            expect_equal(peers.read_exactly(player, 5), b"hello", "the echo")
            times.append(time.monotonic() - start)
    return sorted(times)[count // 2]


@case("crowd: a flood of UDP players takes neither the descriptors nor a place that is in use", 40)
def flood_of_players(lab):
    settle(lab)
    # Room for 333 flows beside everything else.
    limited = ["prlimit", "--nofile=700:700"]
    Swarm(lab, "server", "echo", "127.0.0.1:9000")
    peers.TCPBackend(lab, "127.0.0.1", 8080, peers.echo, where="server")
    lines = 'origin = "transparent"'
    both = [
        Service("game", "udp", "127.0.0.1:9000", "0.0.0.0:9000", lines),
        Service("web", "tcp", "127.0.0.1:8080", "0.0.0.0:8080", lines),
    ]
    rights = f'services = ["*"]\norigins = ["{PLAYERS4}", "10.80.0.0/24"]\n'
    config = lab.write("server.toml", lab.server_text(both, peer=rights))
    server = lab.start("fairlead-server", "server", config, "server", before=limited)
    server.wait("ready", 5)
    client = lab.start_client(both)
    client.wait("session-up", 5)
    flood = players(lab, "client", "10.80.1.1:9000", "10.81.0.1", 4_000, ports=4)
    with lab.udp("player", PLAYER4) as talker:
        peers.ask(talker, b"hello", (EDGE4, 9000))
        for portion in range(8):
            flood.tell("greet", portion * 500, portion * 500 + 500, 0.4)
            for _ in range(4):
                peers.ask(talker, b"still here", (EDGE4, 9000), tries=1)
                time.sleep(0.1)
            flood.hear()
            with lab.connect(EDGE4, 8080) as player:
                player.sendall(b"hello")
                expect_equal(peers.read_exactly(player, 5), b"hello", "the echo beside the flood")
        time.sleep(1.1)
        with lab.udp("player", PLAYER4) as late:
            peers.ask(late, b"a late one", (EDGE4, 9000))
        told = metrics(lab.control["server"])
    expect(told['fairlead_flows{service="game"}'] <= 400, "more flows than descriptors")
    evicted = told['fairlead_drops_total{reason="flow-evicted"}']
    expect(evicted > 300, f"only {evicted:.0f} silent players gave way")


def begin_headers(lab: Lab, count: int) -> list[socket.socket]:
    """Connections that begin a header and do not go on."""
    slow = connect_many(lab, 8080, count)
    for half in slow:
        half.settimeout(5)
        try:
            half.send(SIGNATURE[:9])
        except ConnectionError:
            pass  # Displaced by a later one before it could speak.
    return slow


@case("crowd: 10,000 connections with half a PROXY header hold nobody up", 60)
def half_headers(lab):
    count, portion = 10_000, 1_000
    allow_descriptors(count + 1_000)
    peers.TCPBackend(lab, BACKEND4, 8080, peers.echo)
    lines = 'accept = "proxy-v2"\ntrusted = ["10.80.0.0/24"]'
    web = Service("web", "tcp", place(BACKEND4, 8080), place(EDGE4, 8080), "", lines)
    _, client = lab.tunnel([web])
    quiet = round_trips(lab, 50)
    before, start = own_bytes(client.pid), time.monotonic()
    slow: list[socket.socket] = []
    while len(slow) < count:
        slow += begin_headers(lab, portion)
        # Those who say who they are get through while the crowd comes, and when it is there.
        round_trips(lab, 5)
    grown = own_bytes(client.pid) - before
    expect(grown <= 4 * KIBIBYTE * KIBIBYTE, f"{grown} bytes for them all, limit 4 MiB")
    crowded = round_trips(lab, 50)
    # Not a budget: somebody who waits for the crowd would wait for seconds.
    limit = quiet + 0.5
    expect(crowded <= limit, f"{crowded * 1e3:.1f} ms beside the crowd, {quiet * 1e3:.1f} without")

    def refused(reason: str) -> float:
        name = f'fairlead_drops_total{{reason="{reason}"}}'
        return metrics(lab.control["client"]).get(name, 0)

    until(8, "the end of the last", lambda: refused("header-crowded") + refused("header-timeout")
          == count)  # fmt: skip
    took = time.monotonic() - start
    expect(took >= 4.9, f"closed after {took:.1f} s")
    expect(refused("header-timeout") > 0, "nobody ran out of time")


if __name__ == "__main__":
    serve_echo(sys.argv[1], int(sys.argv[2]))
