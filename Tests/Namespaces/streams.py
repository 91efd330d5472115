"""TCP through the tunnel: every byte, both ways, ends and resets as they were meant."""

import os
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import peers
from lab import BACKEND4, BACKEND6, CLIENT4, EDGE4, EDGE6, SERVER4, SERVER6, Service, place, until
from programs import metrics
from relay import Relay, Weather
from verdicts import case, expect, expect_equal

WEB = Service("web", "tcp", f"{BACKEND4}:8080", "0.0.0.0:8080")
MEGABYTE = 1_000_000


def expect_reset(connection: socket.socket, seconds: float, who: str):
    connection.settimeout(seconds)
    start = time.monotonic()
    try:
        got = connection.recv(1)
    except ConnectionResetError:
        return time.monotonic() - start
    except TimeoutError:
        expect(False, f"{who} got no reset within {seconds:g} s")
    expect(False, f"{who} got {'an end' if not got else 'data'} instead of a reset")


@case("50 MB through one stream both ways at once", 40)
def both_ways(lab):
    up, down = peers.payload(1, 50 * MEGABYTE), peers.payload(2, 50 * MEGABYTE)
    backend = peers.TCPBackend(lab, BACKEND4, 8080, lambda c: peers.exchange(c, down))
    lab.tunnel([WEB])
    with lab.connect(EDGE4, 8080, seconds=30) as player:
        received = peers.exchange(player, up)
    expect_equal(received, (len(down), peers.digest(down)), "what the player got")
    until(2, "the backend's end", lambda: backend.results)
    expect_equal(backend.results[0], (len(up), peers.digest(up)), "what the backend got")


@case("50 parallel streams")
def parallel(lab):
    peers.TCPBackend(lab, BACKEND4, 8080, peers.echo)
    lab.tunnel([WEB])
    barrier = threading.Barrier(50)

    def talk(number: int) -> bool:
        data = peers.payload(number, 300_000)
        with lab.connect(EDGE4, 8080) as player:
            barrier.wait(10)
            return peers.exchange(player, data) == (len(data), peers.digest(data))

    with ThreadPoolExecutor(50) as pool:
        good = list(pool.map(talk, range(50)))
    expect_equal(good.count(False), 0, "streams with wrong bytes")


@case("IPv4 and IPv6: tunnel, listener and backend in all combinations", 30)
def families(lab):
    services = []
    for index, (edge, backend) in enumerate(
        [(e, b) for e in (EDGE4, EDGE6) for b in (BACKEND4, BACKEND6)]
    ):
        port = 7000 + index
        peers.TCPBackend(lab, backend, port, peers.echo)
        peers.UDPEcho(lab, backend, port)
        for protocol in ("tcp", "udp"):
            services.append(
                Service(f"{protocol}{index}", protocol, place(backend, port), place(edge, port))
            )
    lab.start_server(services)
    data = peers.payload(3, 100_000)
    for server in (SERVER4, SERVER6):
        client = lab.start_client(services, f'server = "{place(server, 4600)}"\n')
        client.wait("session-up", 5)
        for service in services:
            where = f"{service.protocol} from {service.listen} over {server} to {service.backend}"
            edge = EDGE6 if service.listen.startswith("[") else EDGE4
            port = int(service.listen.rpartition(":")[2])
            if service.protocol == "tcp":
                with lab.connect(edge, port) as player:
                    expect_equal(peers.exchange(player, data)[1], peers.digest(data), where)
            else:
                with lab.udp("player", "::" if ":" in edge else "0.0.0.0") as player:
                    peers.ask(player, data[:1000], (edge, port))
        expect_equal(client.stop(), 0, "the client's exit code")


@case("half-close: a request, its end, then 1 MB of reply")
def half_close(lab):
    reply = peers.payload(4, MEGABYTE)

    def serve(connection):
        request = peers.drain(connection)
        time.sleep(0.3)
        connection.sendall(reply)
        return request

    backend = peers.TCPBackend(lab, BACKEND4, 8080, serve)
    lab.tunnel([WEB])
    with lab.connect(EDGE4, 8080) as player:
        player.sendall(b"GET")
        player.shutdown(socket.SHUT_WR)
        received = peers.drain(player)
    expect_equal(received, (len(reply), peers.digest(reply)), "the reply")
    expect_equal(backend.results[0], (3, peers.digest(b"GET")), "the request")


@case("half-close the other way: the backend ends first")
def half_close_of_the_backend(lab):
    upload = peers.payload(5, MEGABYTE)

    def serve(connection):
        connection.sendall(b"bye")
        connection.shutdown(socket.SHUT_WR)
        return peers.drain(connection)

    backend = peers.TCPBackend(lab, BACKEND4, 8080, serve)
    lab.tunnel([WEB])
    with lab.connect(EDGE4, 8080) as player:
        expect_equal(peers.drain(player)[0], 3, "bytes before the backend's end")
        player.sendall(upload)
        player.shutdown(socket.SHUT_WR)
        until(5, "the backend's end", lambda: backend.results)
    expect_equal(backend.results[0], (len(upload), peers.digest(upload)), "the upload")


@case("a player's reset reaches the backend as a reset")
def reset_of_the_player(lab):
    backend = peers.TCPBackend(lab, BACKEND4, 8080, peers.echo)
    lab.tunnel([WEB])
    player = lab.connect(EDGE4, 8080)
    player.sendall(b"hello")
    peers.read_exactly(player, 5)
    peers.reset(player)
    until(2, "an error at the backend", lambda: backend.errors or backend.results)
    expect(
        backend.errors and isinstance(backend.errors[0], ConnectionResetError),
        f"the backend saw {backend.errors or 'an orderly end'} instead of a reset",
    )


@case("a backend's reset reaches the player as a reset")
def reset_of_the_backend(lab):
    def serve(connection):
        peers.read_exactly(connection, 5)
        peers.reset(connection)

    peers.TCPBackend(lab, BACKEND4, 8080, serve)
    lab.tunnel([WEB])
    with lab.connect(EDGE4, 8080) as player:
        player.sendall(b"hello")
        expect_reset(player, 2, "the player")


@case("streams that ended are forgotten at both ends, whoever ended them")
def nothing_left(lab):
    def serve(connection):
        how = peers.read_exactly(connection, 1)
        if how == b"r":
            return peers.reset(connection)
        connection.sendall(how)
        return peers.drain(connection) if how == b"w" else None

    peers.TCPBackend(lab, BACKEND4, 8080, serve)
    pair = lab.tunnel([WEB])
    before = [len(os.listdir(f"/proc/{program.pid}/fd")) for program in pair]
    # Asked of the backend: end first, wait for the player's end, or reset.
    for how in (b"e", b"w", b"r"):
        player = lab.connect(EDGE4, 8080)
        player.sendall(how)
        if how == b"r":
            expect_reset(player, 2, "the player")
        else:
            peers.read_exactly(player, 1)
        if how == b"e":
            expect_equal(player.recv(1), b"", "the backend's end")
        player.close()
        for end, path in lab.control.items():
            until(
                3,
                f"no stream at the {end} after {how!r}",
                lambda: metrics(path)["fairlead_streams"] == 0,
            )
    player = lab.connect(EDGE4, 8080)
    player.sendall(b"w")
    peers.read_exactly(player, 1)
    peers.reset(player)
    for end, path in lab.control.items():
        until(
            3,
            f"no stream at the {end} after the player's reset",
            lambda: metrics(path)["fairlead_streams"] == 0,
        )
    time.sleep(0.2)
    after = [len(os.listdir(f"/proc/{program.pid}/fd")) for program in pair]
    expect_equal(after, before, "open files of server and client")


@case("a refused backend: a reset within 1 s, and both logs say why")
def refused_backend(lab):
    server, client = lab.tunnel([WEB])
    try:
        with lab.connect(EDGE4, 8080) as player:
            expect_reset(player, 1, "the player")
    except ConnectionResetError:
        pass  # It came before the player had looked at its connection.
    server.wait("backend-refused", 1)
    client.wait("stream-reset", 1, reason="backend-refused")


@case("four stalled readers do not hurt a fifth, and memory stays bounded", 30)
def stalled_readers(lab):
    fifth = peers.payload(6, 20 * MEGABYTE)
    endless = peers.payload(7, MEGABYTE)

    def serve(connection):
        if connection.recv(1) == b"5":
            connection.sendall(fifth)
            return
        while True:
            connection.sendall(endless)

    peers.TCPBackend(lab, BACKEND4, 8080, serve)
    pair = lab.tunnel([WEB])
    stalled = []
    for _ in range(4):
        player = lab.connect(EDGE4, 8080, receive_buffer=65_536)
        player.sendall(b"s")
        stalled.append(player)
    time.sleep(1.5)
    start = time.monotonic()
    with lab.connect(EDGE4, 8080) as player:
        player.sendall(b"5")
        player.shutdown(socket.SHUT_WR)
        received = peers.drain(player)
    took = time.monotonic() - start
    expect_equal(received, (len(fifth), peers.digest(fifth)), "what the fifth reader got")
    expect(took < 8, f"20 MB beside four stalled readers took {took:.1f} s")
    # 4 MiB a stream and direction on each side, the pools, and the program itself.
    for program in pair:
        size = program.resident_bytes()
        expect(size < 120 << 20, f"{program.name} holds {size >> 20} MiB")
    # Who reads on gets everything that waits.
    peers.read_exactly(stalled[0], 8 * MEGABYTE)


@case("a stalled backend does not hurt another stream")
def stalled_backend(lab):
    stall = threading.Event()

    def serve(connection):
        if connection.recv(1) == b"s":
            stall.wait(20)
            return None
        return peers.echo(connection)

    peers.TCPBackend(lab, BACKEND4, 8080, serve, receive_buffer=65_536)
    pair = lab.tunnel([WEB])
    stalled = [lab.connect(EDGE4, 8080, seconds=0.5) for _ in range(4)]
    for player in stalled:
        try:
            player.sendall(b"s" + bytes(40 * MEGABYTE))
            expect(False, "40 MB went into a tunnel whose backend reads nothing")
        except TimeoutError:
            pass
    data = peers.payload(8, 5 * MEGABYTE)
    with lab.connect(EDGE4, 8080) as player:
        player.sendall(b"e")
        expect_equal(peers.exchange(player, data)[1], peers.digest(data), "the other stream")
    for program in pair:
        size = program.resident_bytes()
        expect(size < 120 << 20, f"{program.name} holds {size >> 20} MiB")


@case("20 MB over a path that loses 3 %, reorders and duplicates", 40)
def lossy_path(lab):
    up, down = peers.payload(9, 4 * MEGABYTE), peers.payload(10, 20 * MEGABYTE)
    backend = peers.TCPBackend(lab, BACKEND4, 8080, lambda c: peers.exchange(c, down))
    weather = Weather(loss=0.03, reorder=0.02, duplicate=0.01, delay=0.005)
    relay = relay_before_the_server(lab, weather)
    lab.start_server([WEB])
    client = lab.start_client([WEB], f'server = "{CLIENT4}:4700"\n')
    client.wait("session-up", 5)
    with lab.connect(EDGE4, 8080, seconds=30) as player:
        received = peers.exchange(player, up)
    expect_equal(received, (len(down), peers.digest(down)), "what the player got")
    until(2, "the backend's end", lambda: backend.results)
    expect_equal(backend.results[0], (len(up), peers.digest(up)), "what the backend got")
    expect(relay.counts["lost"] > 100, f"the relay did not do its work: {relay.counts}")


def relay_before_the_server(lab, weather=None, seed=1, port=4700) -> Relay:
    """On the client's machine, so that the server sees the relay's address."""
    return Relay(
        lambda: lab.open_socket("client", socket.AF_INET, socket.SOCK_DGRAM),
        (CLIENT4, port),
        (SERVER4, 4600),
        weather,
        seed,
    )
