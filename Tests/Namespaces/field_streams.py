"""Reports from the field: TCP connections whose bytes wait."""

import contextlib
import socket
import time

import peers
from lab import BACKEND4, CLIENT4, EDGE4, Service, place, until
from programs import metrics
from streams import relay_before_the_server
from verdicts import case, expect, expect_equal

STALLING = Service(
    "web", "tcp", place(BACKEND4, 8080), "0.0.0.0:8080", forward_lines='max_stall = "2s"'
)


def stalls(lab, end: str) -> float:
    return metrics(lab.control[end])['fairlead_drops_total{reason="stalled"}']


def milliseconds() -> int:
    return int(time.monotonic() * 1000)


class Register:
    """A backend that notes when each write came, and how late; every write is its own time."""

    def __init__(self, lab):
        self.lateness: list[int] = []
        peers.TCPBackend(lab, BACKEND4, 8080, self.serve)

    def serve(self, connection):
        connection.settimeout(60)
        while True:
            data = peers.read_exactly(connection, 8)
            self.lateness.append(milliseconds() - int.from_bytes(data, "big"))
            connection.sendall(data)


def write_until_it_fails(player: socket.socket, seconds: float) -> float:
    """Writes five times a second, as one who polls does; returns how long that went well."""
    start = time.monotonic()
    while time.monotonic() < start + seconds:
        try:
            player.sendall(milliseconds().to_bytes(8, "big"))
        except OSError:
            break
        time.sleep(0.2)
    return time.monotonic() - start


@case("field: what waits longer than max_stall is dropped at both ends, and both say so", 40)
def stalled_writes(lab):
    register = Register(lab)
    relay = relay_before_the_server(lab)
    server = lab.start_server([STALLING])
    client = lab.start_client([STALLING], f'server = "{CLIENT4}:4700"\n')
    client.wait("session-up", 5)
    with lab.connect(EDGE4, 8080) as player:
        write_until_it_fails(player, 1)
        arrived = len(register.lateness)
        expect(arrived >= 4, f"{arrived} writes before the outage")
        relay.is_cut = True
        took = write_until_it_fails(player, 6)
        expect(1.9 < took < 3, f"the writer had its error after {took:.1f} s")
    expect_equal(client.wait("stream-reset", 1)["reason"], "stalled", "the client's reason")
    time.sleep(2)
    relay.is_cut = False
    expect_equal(server.wait("stream-reset", 5)["reason"], "stalled", "the server's reason")

    def write_again() -> bool:
        with contextlib.suppress(OSError), lab.connect(EDGE4, 8080, seconds=1) as player:
            player.sendall(milliseconds().to_bytes(8, "big"))
            return len(peers.read_exactly(player, 8)) == 8
        return False

    until(5, "a write after the outage", write_again)
    late = [late for late in register.lateness if late > 2200]
    expect(not late, f"writes that came late, in ms: {late}")
    expect_equal((stalls(lab, "client"), stalls(lab, "server")), (1, 1), "stalls counted")


@case("field: an outage shorter than max_stall costs nothing", 30)
def short_outage(lab):
    register = Register(lab)
    relay = relay_before_the_server(lab)
    lab.start_server([STALLING])
    client = lab.start_client([STALLING], f'server = "{CLIENT4}:4700"\n')
    client.wait("session-up", 5)
    with lab.connect(EDGE4, 8080) as player:
        write_until_it_fails(player, 0.5)
        relay.is_cut = True
        took = write_until_it_fails(player, 1.2)
        relay.is_cut = False
        expect(took >= 1.2, f"the connection was cut after {took:.1f} s")
        time.sleep(1)
        write_until_it_fails(player, 0.5)
        count = len(register.lateness)
        expect(count >= 9, f"{count} writes arrived")
    expect_equal(client.find("stream-reset"), None, "a reset")


@case("field: max_stall counts at the ends too, where nobody reads, and for that stream alone", 30)
def stalled_reader(lab):
    def sit(connection):
        if connection.recv(1) == b"e":
            return peers.echo(connection)
        time.sleep(20)

    peers.TCPBackend(lab, BACKEND4, 8080, sit, receive_buffer=4096)
    server, client = lab.tunnel([STALLING], 'stream_buffer = "64 KiB"')
    with lab.connect(EDGE4, 8080) as other, lab.connect(EDGE4, 8080) as player:
        other.sendall(b"e")
        player.settimeout(0.5)
        start = time.monotonic()
        error = None
        while error is None and time.monotonic() < start + 12:
            try:
                player.send(bytes(65_536))
            except TimeoutError:
                pass
            except OSError as failure:
                error = failure
            other.sendall(b"x")
            expect_equal(peers.read_exactly(other, 1), b"x", "the other stream's echo")
        took = time.monotonic() - start
        expect(error is not None and took < 8, f"the writer: {error!r} after {took:.1f} s")
    expect_equal(client.wait("stream-reset", 2)["reason"], "stalled", "the client's reason")
    expect_equal(server.wait("stream-reset", 2)["reason"], "stalled", "the server's reason")
