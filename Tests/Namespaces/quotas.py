"""What a peer may hold: refusals above its limits, rates, and keys whose time is over."""

import datetime
import signal
import time

import peers
from lab import BACKEND4, EDGE4, Service, until
from streams import WEB, expect_reset
from verdicts import case, expect, expect_equal

VOICE = Service("voice", "udp", f"{BACKEND4}:9000", "0.0.0.0:9000")
ALL = 'services = ["*"]\n'


def reload(lab, server, services, peer: str):
    """Changes the lines of the peer while the server runs."""
    count = len(server.events)
    lab.write("server.toml", lab.server_text(services, peer=peer))
    server.process.send_signal(signal.SIGHUP)
    server.wait("reload", 5, since=count)


@case("quotas: connections above max_streams are reset, limit in both logs, and places come back")
def streams(lab):
    peers.TCPBackend(lab, BACKEND4, 8080, peers.echo)
    server = lab.start_server([WEB], peer=ALL + "max_streams = 2\n")
    client = lab.start_client([WEB])
    client.wait("session-up", 3)

    def works(player) -> bool:
        player.sendall(b"hello")
        return peers.read_exactly(player, 5) == b"hello"

    with lab.connect(EDGE4, 8080) as first:
        with lab.connect(EDGE4, 8080) as second:
            expect(works(first) and works(second), "two connections work")
            with lab.connect(EDGE4, 8080) as third:
                expect_reset(third, 3, "the third connection")
            client.wait(None, 1, reason="limit")
            server.wait("open-refused", 1, reason="limit", peer="edge", service="web")
            expect(works(first) and works(second), "the two still work")
        time.sleep(0.5)
        with lab.connect(EDGE4, 8080) as next_one:
            expect(works(next_one), "a place came back")


@case("quotas: flows above max_flows get no answer, limit in both logs")
def flows(lab):
    peers.UDPEcho(lab, BACKEND4, 9000)
    server = lab.start_server([VOICE], peer=ALL + "max_flows = 2\n")
    client = lab.start_client([VOICE])
    client.wait("session-up", 3)
    players = [lab.udp("player", "0.0.0.0") for _ in range(3)]
    for player in players[:2]:
        expect_equal(peers.ask(player, b"hello", (EDGE4, 9000)), b"hello", "the echo")
    players[2].sendto(b"hello", (EDGE4, 9000))
    client.wait(None, 2, reason="limit")
    server.wait("open-refused", 1, reason="limit", peer="edge", service="voice")
    expect_equal(peers.ask(players[0], b"again", (EDGE4, 9000)), b"again", "the echo")
    for player in players:
        player.close()


@case("quotas: a session more than max_sessions is refused, limit in both logs", seconds=30)
def sessions(lab):
    server = lab.start_server([WEB], peer=ALL + "max_sessions = 1\n")
    first = lab.start_client([WEB])
    first.wait("session-up", 3)
    other = Service("web", "tcp", f"{BACKEND4}:8080", "0.0.0.0:8081")
    second = lab.start_client([other], 'control = "second.sock"\n', name="second")
    second.wait("connect-failed", 5, reason="limit")
    server.wait("handshake-refused", 1, reason="limit", peer="edge")
    expect(first.find("session-down") is None, "the first session is untouched")
    # Whoever was killed comes back at once, though its session is still on the server's books.
    second.stop()
    first.process.kill()
    first.wait_exit(3)
    time.sleep(0.5)  # as long as the units wait
    heir = lab.start_client([WEB], name="heir")
    heir.wait("session-up", 5)


@case("quotas: a disabled key ends its sessions, and is back within 10 s of its return", seconds=40)
def disabled(lab):
    peers.TCPBackend(lab, BACKEND4, 8080, peers.echo)
    server = lab.start_server([WEB], peer=ALL)
    client = lab.start_client([WEB])
    client.wait("session-up", 3)
    with lab.connect(EDGE4, 8080) as player:
        player.sendall(b"hello")
        peers.read_exactly(player, 5)
        reload(lab, server, [WEB], ALL + "enabled = false\n")
        expect_reset(player, 3, "a player of a disabled key")
    client.wait("session-down", 2, reason="key-expired")
    server.wait("session-down", 2, reason="key-expired")
    client.wait("connect-failed", 3, reason="key-expired")
    server.wait("handshake-refused", 1, reason="key-expired", peer="edge")
    count = len(client.events)
    reload(lab, server, [WEB], ALL + "enabled = true\n")
    client.wait("session-up", 10, since=count)


@case("quotas: a key expires at its moment", seconds=30)
def expiry(lab):
    moment = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=5)
    expires = moment.strftime("%Y-%m-%dT%H:%M:%SZ")
    server = lab.start_server([WEB], peer=ALL + f"expires = {expires}\n")
    client = lab.start_client([WEB])
    client.wait("session-up", 3)
    server.wait("session-down", 8, reason="key-expired")
    late = time.time() - moment.timestamp()
    expect(-1.5 < late < 3, f"the session ended {late:.1f} s after the moment")
    client.wait("connect-failed", 3, reason="key-expired")


@case("quotas: rate_up and rate_down shape what a peer sends and is sent", seconds=40)
def rates(lab):
    def serve(connection):
        """Takes four megabytes, then sends as many."""
        peers.read_exactly(connection, 4_000_000)
        connection.sendall(b"x" * 4_000_000)

    peers.TCPBackend(lab, BACKEND4, 8080, serve)
    lab.start_server([WEB], peer=ALL + 'rate_up = "16 mbps"\nrate_down = "16 mbps"\n')
    client = lab.start_client([WEB])
    client.wait("session-up", 3)
    with lab.connect(EDGE4, 8080, seconds=30) as player:
        began = time.monotonic()
        player.sendall(b"y" * 4_000_000)
        first = peers.read_exactly(player, 1)
        turned = time.monotonic()
        peers.read_exactly(player, 4_000_000 - len(first))
        ended = time.monotonic()
    # Two seconds each way at the rate; no upper bound, because a busy machine has none.
    expect(turned - began > 1.6, f"the upload took only {turned - began:.2f} s")
    expect(ended - turned > 1.6, f"the download took only {ended - turned:.2f} s")


@case("quotas: with two workers a peer's limits hold for the process", seconds=30)
def workers(lab):
    peers.TCPBackend(lab, BACKEND4, 8080, peers.echo)
    lab.start_server([WEB], top="workers = 2\n", peer=ALL + "max_streams = 3\n")
    clients = []
    for number in range(3):
        web = Service("web", "tcp", f"{BACKEND4}:8080", f"0.0.0.0:{8081 + number}")
        name = f"client{number}"
        clients.append(lab.start_client([web], f'control = "{name}.sock"\n', name=name))
        clients[-1].wait("session-up", 5)
    players = [lab.connect(EDGE4, 8081 + number % 3) for number in range(9)]

    def refused() -> int:
        return sum(
            1
            for client in clients
            for event in client.events
            if event.get("reason") == "limit"
        )

    until(5, "six of nine refused", lambda: refused() == 6)
    for player in players:
        player.close()
