"""Addresses change, servers restart, nobody is there yet: what goes on and what ends."""

import os
import signal
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import peers
from datagrams import ECHO
from lab import BACKEND4, CLIENT4, EDGE4, until
from streams import MEGABYTE, WEB, expect_reset, relay_before_the_server
from relay import Weather
from verdicts import Failed, case, expect, expect_equal

TICK = 0.02


class Ticker:
    """A steady stream of numbered blocks; knows the longest silence at its reader."""

    block = 20_000

    def __init__(self, sender: socket.socket, reader: socket.socket):
        self.longest_gap = 0.0
        self.received = 0
        self.error: BaseException | None = None
        self.is_over = threading.Event()
        self._threads = [
            threading.Thread(target=self._send, args=[sender], daemon=True),
            threading.Thread(target=self._read, args=[reader], daemon=True),
        ]
        for thread in self._threads:
            thread.start()

    def _send(self, sender: socket.socket):
        try:
            number = 0
            while not self.is_over.is_set():
                sender.sendall(number.to_bytes(4, "big") * (self.block // 4))
                number += 1
                time.sleep(TICK)
            sender.shutdown(socket.SHUT_WR)
        except OSError as error:
            self.error = error

    def _read(self, reader: socket.socket):
        last = time.monotonic()
        try:
            while not self.is_over.is_set():
                block = peers.read_exactly(reader, self.block)
                if block != self.received.to_bytes(4, "big") * (self.block // 4):
                    raise Failed(f"block {self.received} is not what was sent")
                now = time.monotonic()
                self.longest_gap = max(self.longest_gap, now - last)
                last = now
                self.received += 1
        except (OSError, Failed) as error:
            if not self.is_over.is_set():
                self.error = error

    def finish(self, limit: float, what: str):
        self.is_over.set()
        expect(self.error is None, f"{what}: {self.error!r} after {self.received} blocks")
        expect(self.received > 20, f"{what}: only {self.received} blocks")
        expect(self.longest_gap <= limit, f"{what}: stalled for {self.longest_gap:.2f} s")


class Pair:
    """One download and one upload through the tunnel at once."""

    def __init__(self, lab):
        accepted: list = []
        gate = threading.Event()

        def serve(connection):
            connection.settimeout(15)
            accepted.append(connection)
            gate.wait(60)

        peers.TCPBackend(lab, BACKEND4, 8080, serve)
        self.lab, self.accepted = lab, accepted

    def connect(self) -> tuple[socket.socket, socket.socket]:
        count = len(self.accepted)
        player = self.lab.connect(EDGE4, 8080, seconds=15)
        until(3, "the backend's connection", lambda: len(self.accepted) > count)
        return player, self.accepted[count]

    def start(self):
        player, backend = self.connect()
        self.download = Ticker(backend, player)
        player, backend = self.connect()
        self.upload = Ticker(player, backend)
        time.sleep(0.6)

    def finish(self, limit: float):
        self.download.finish(limit, "the download")
        self.upload.finish(limit, "the upload")


@case("NAT rebinding: no stream is lost, none stalls for more than 1 s", 30)
def rebinding(lab):
    streams = Pair(lab)
    relay = relay_before_the_server(lab)
    server = lab.start_server([WEB])
    client = lab.start_client([WEB], f'server = "{CLIENT4}:4700"\n')
    client.wait("session-up", 5)
    streams.start()
    for _ in range(3):
        seen = len(server.events)
        relay.rebind()
        time.sleep(1.5)
        server.wait("peer-moved", 1, since=seen)
    streams.finish(1.0)


@case("NAT rebinding while the client only listens", 30)
def rebinding_of_a_listener(lab):
    streams = Pair(lab)
    relay = relay_before_the_server(lab)
    lab.start_server([WEB])
    client = lab.start_client([WEB], f'server = "{CLIENT4}:4700"\n')
    client.wait("session-up", 5)
    player, backend = streams.connect()
    ticker = Ticker(backend, player)
    time.sleep(0.5)
    for _ in range(2):
        relay.rebind()
        time.sleep(1.5)
    ticker.finish(1.0, "the download")


@case("the client's address changes: no stream is lost, none stalls for more than 1 s", 30)
def new_address(lab):
    streams = Pair(lab)
    server, _ = lab.tunnel([WEB])
    streams.start()
    try:
        lab.ip("client", "addr", "add", "10.80.1.77/24", "dev", "to-server")
        lab.ip("client", "addr", "del", f"{CLIENT4}/24", "dev", "to-server")
        time.sleep(2)
        server.wait("peer-moved", 1)
        streams.finish(1.0)
    finally:
        lab.ip("client", "addr", "replace", f"{CLIENT4}/24", "dev", "to-server")
        lab.ip("client", "addr", "del", "10.80.1.77/24", "dev", "to-server")


@case("an idle session survives a rebinding", 20)
def idle_rebinding(lab):
    peers.TCPBackend(lab, BACKEND4, 8080, peers.echo)
    relay = relay_before_the_server(lab)
    lab.start_server([WEB])
    client = lab.start_client([WEB], f'server = "{CLIENT4}:4700"\n')
    client.wait("session-up", 5)
    with lab.connect(EDGE4, 8080) as player:
        player.sendall(b"one")
        peers.read_exactly(player, 3)
        time.sleep(1)
        relay.rebind()
        start = time.monotonic()
        player.sendall(b"two")
        peers.read_exactly(player, 3)
        took = time.monotonic() - start
    expect(took <= 1, f"the next bytes took {took:.2f} s")


def restart(lab, how: int, pause: float = 0.3):
    """The old streams are reset, the UDP flow goes on, new streams are served."""
    peers.TCPBackend(lab, BACKEND4, 8080, peers.echo)
    peers.UDPEcho(lab, BACKEND4, 9000)
    server, client = lab.tunnel([WEB, ECHO])
    with lab.connect(EDGE4, 8080) as old, lab.udp("player", "0.0.0.0") as player:
        old.sendall(b"hello")
        peers.read_exactly(old, 5)
        peers.ask(player, b"before", (EDGE4, 9000))
        server.process.send_signal(how)
        server.wait_exit(3)
        seen = len(client.events)
        for _ in range(int(pause / 0.1)):
            # The player does not know and plays on.
            player.sendto(b"lost", (EDGE4, 9000))
            time.sleep(0.1)
        lab.start_server([WEB, ECHO])
        start = time.monotonic()
        # What a game does: send on, and see when answers come again.
        for number in range(60):
            try:
                peers.ask(player, b"after %d" % number, (EDGE4, 9000), tries=1, wait=0.1)
                break
            except TimeoutError:
                continue
        took = time.monotonic() - start
        expect(took <= 3, f"the UDP flow was back only after {took:.1f} s")
        client.wait("session-up", 3, since=0 if how == signal.SIGTERM else seen)
        expect_reset(old, 3, "the old stream")
        with lab.connect(EDGE4, 8080) as new:
            new.sendall(b"again")
            peers.read_exactly(new, 5)


@case("server restart: back within 3 s, the UDP flow goes on, old streams are reset")
def server_restart(lab):
    restart(lab, signal.SIGTERM)


@case("server crash: back within 3 s, the UDP flow goes on, old streams are reset")
def server_crash(lab):
    restart(lab, signal.SIGKILL)


@case("a server that was away for 8 s: back within 3 s", 25)
def long_outage(lab):
    restart(lab, signal.SIGKILL, pause=8)


# What the units of contrib/systemd ask for: `Restart=always` and `RestartSec=500ms`.
SUPERVISOR = """
trap 'kill "$child"; exit' TERM
while :; do "$@" & child=$!; wait "$child"; sleep 0.5; done
"""


class Supervised:
    """A server that is started again whenever it ends."""

    def __init__(self, lab, services: list):
        config = lab.write("server.toml", lab.server_text(services))
        before = ("sh", "-c", SUPERVISOR, "sh")
        self.loop = lab.start("fairlead-server", "server", config, "server", before=before)
        self.loop.wait("ready", 5)

    def child(self) -> int:
        with open(f"/proc/{self.loop.pid}/task/{self.loop.pid}/children") as children:
            for pid in children.read().split():
                with open(f"/proc/{pid}/comm") as name:
                    if name.read().startswith("fairlead"):
                        return int(pid)
        raise Failed("no server runs")

    def trap(self) -> float:
        """Ends the server as a trap does; returns how long it took until the next one is ready."""
        seen = len(self.loop.events)
        start = time.monotonic()
        os.kill(self.child(), signal.SIGILL)
        return self.loop.wait("ready", 5, since=seen)["at"] - start


class Gamer:
    """Sends a numbered datagram 50 times a second from one socket; knows the longest silence."""

    def __init__(self, lab):
        self.socket = lab.udp("player", "0.0.0.0", seconds=0.02)
        self.longest_gap, self.answers = 0.0, 0
        self.is_over = threading.Event()
        self.thread = threading.Thread(target=self._play, daemon=True)
        self.thread.start()

    def _play(self):
        last = time.monotonic()
        number = 0
        while not self.is_over.is_set():
            number += 1
            self.socket.sendto(b"%d" % number, (EDGE4, 9000))
            try:
                self.socket.recv(100)
            except TimeoutError:
                continue
            now = time.monotonic()
            self.longest_gap = max(self.longest_gap, now - last)
            last = now
            self.answers += 1
            time.sleep(TICK)

    def finish(self):
        self.is_over.set()
        self.thread.join(1)
        self.socket.close()


@case("a server that traps, three times: back within 3 s, UDP players go on", 40)
def trapped(lab):
    peers.TCPBackend(lab, BACKEND4, 8080, peers.echo)
    peers.UDPEcho(lab, BACKEND4, 9000)
    server = Supervised(lab, [WEB, ECHO])
    gamers: list[Gamer] = []
    try:
        client = lab.start_client([WEB, ECHO])
        client.wait("session-up", 5)
        gamers += [Gamer(lab) for _ in range(5)]
        until(3, "every player's answers", lambda: all(g.answers > 5 for g in gamers))
        for _ in range(3):
            with lab.connect(EDGE4, 8080) as old:
                old.sendall(b"hello")
                peers.read_exactly(old, 5)
                seen, start = len(client.events), time.monotonic()
                ready = server.trap()
                back = client.wait("session-up", 4, since=seen)["at"] - start
                print(f"    ready again after {ready:.2f} s, session after {back:.2f} s")
                expect(ready <= 1.5, f"the server was ready only after {ready:.2f} s")
                expect(back <= 3, f"the session was back only after {back:.2f} s")
                expect_reset(old, 3, "the old stream")
            with lab.connect(EDGE4, 8080) as new:
                new.sendall(b"again")
                peers.read_exactly(new, 5)
            counts = [gamer.answers for gamer in gamers]
            until(3, "every player's answers", lambda: all(
                gamer.answers > count + 5 for gamer, count in zip(gamers, counts)
            ))  # fmt: skip
        for gamer in gamers:
            gamer.finish()
            expect(gamer.longest_gap <= 3, f"a player waited {gamer.longest_gap:.2f} s")
        print(f"    the longest silence: {max(g.longest_gap for g in gamers):.2f} s")
        expect(client.process.poll() is None, "the client ended")
    finally:
        for gamer in gamers:
            gamer.finish()
        server.loop.stop()


@case("server crash while idle: the session is made again within 20 s", 30)
def idle_crash(lab):
    peers.TCPBackend(lab, BACKEND4, 8080, peers.echo)
    server, client = lab.tunnel([WEB])
    server.process.kill()
    server.wait_exit(3)
    seen = len(client.events)
    lab.start_server([WEB])
    client.wait("session-up", 20, since=seen)
    with lab.connect(EDGE4, 8080) as new:
        new.sendall(b"again")
        peers.read_exactly(new, 5)


@case("client restart: a new session at once, the old streams end at the backend", 20)
def client_restart(lab):
    backend = peers.TCPBackend(lab, BACKEND4, 8080, peers.echo)
    _, client = lab.tunnel([WEB])
    old = lab.connect(EDGE4, 8080)
    old.sendall(b"hello")
    peers.read_exactly(old, 5)
    client.process.kill()
    client.wait_exit(3)
    again = lab.start_client([WEB])
    again.wait("session-up", 3)
    with lab.connect(EDGE4, 8080) as new:
        new.sendall(b"again")
        peers.read_exactly(new, 5)
    until(8, "the end of the old stream", lambda: len(backend.errors + backend.results) >= 2)


@case("a connection made before the server exists is held, then served")
def held(lab):
    backend = peers.TCPBackend(lab, BACKEND4, 8080, peers.echo)
    lab.start_client([WEB])
    data = peers.payload(1, MEGABYTE)
    with lab.connect(EDGE4, 8080) as player:
        player.sendall(data[:1000])
        time.sleep(2)
        expect(not backend.peers, "the backend knows already")
        lab.start_server([WEB])
        start = time.monotonic()
        expect_equal(peers.read_exactly(player, 1000), data[:1000], "the echo")
        took = time.monotonic() - start
        expect(took <= 3, f"the answer took {took:.1f} s after the server was ready")
        expect_equal(peers.exchange(player, data)[1], peers.digest(data), "the rest")


@case("connect_timeout: a held connection is reset when nobody answers")
def connect_timeout(lab):
    lab.start_client([WEB], 'connect_timeout = "2s"\n')
    start = time.monotonic()
    with lab.connect(EDGE4, 8080) as player:
        player.sendall(b"hello")
        expect_reset(player, 4, "the player")
    took = time.monotonic() - start
    expect(1.5 <= took <= 3, f"the reset came after {took:.1f} s")


@case("a path that is cut for 0.8 s: the stream goes on afterwards", 30)
def cut(lab):
    streams = Pair(lab)
    relay = relay_before_the_server(lab)
    lab.start_server([WEB])
    client = lab.start_client([WEB], f'server = "{CLIENT4}:4700"\n')
    client.wait("session-up", 5)
    streams.start()
    relay.is_cut = True
    time.sleep(0.8)
    relay.is_cut = False
    time.sleep(2)
    streams.finish(2.0)


@case("loss, reordering, flips, cuts and rebindings at once: ten streams, every byte", 45)
def everything(lab):
    seed = int(os.environ.get("SEED", "1"))
    weather = Weather(loss=0.02, reorder=0.05, duplicate=0.02, flip=0.005, delay=0.004)
    downloads = [peers.payload(seed * 100 + n, 5_000_000 + n) for n in range(10)]

    def serve(connection):
        number = peers.read_exactly(connection, 1)[0]
        return number, peers.exchange(connection, downloads[number])

    backend = peers.TCPBackend(lab, BACKEND4, 8080, serve)
    relay = relay_before_the_server(lab, weather, seed=seed)
    lab.start_server([WEB])
    client = lab.start_client([WEB], f'server = "{CLIENT4}:4700"\n')
    client.wait("session-up", 5)
    over = threading.Event()

    def disturb():
        while not over.wait(0.3):
            relay.rebind()
            relay.is_cut = True
            over.wait(0.05)
            relay.is_cut = False

    def visit(number: int):
        up = peers.payload(seed * 100 + 50 + number, 2_000_000)
        with lab.connect(EDGE4, 8080, seconds=30) as player:
            player.sendall(bytes([number]))
            return peers.exchange(player, up), (number, (len(up), peers.digest(up)))

    threading.Thread(target=disturb, daemon=True).start()
    with ThreadPoolExecutor(10) as pool:
        results = list(pool.map(visit, range(10)))
    over.set()
    expect(relay.rebindings >= 2, f"only {relay.rebindings} rebindings")
    for number, (received, sent) in enumerate(results):
        wanted = (len(downloads[number]), peers.digest(downloads[number]))
        expect_equal(received, wanted, f"what player {number} got")
        until(3, f"upload {number}", lambda: sent in backend.results)
