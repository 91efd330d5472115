"""UDP through the tunnel: every size, every player apart."""

import threading
import time

import peers
from lab import BACKEND4, BACKEND6, CLIENT4, EDGE4, EDGE6, SERVER6, Service, place, until
from relay import Weather
from streams import relay_before_the_server
from verdicts import case, expect, expect_equal

ECHO = Service("echo", "udp", f"{BACKEND4}:9000", "0.0.0.0:9000")
SIZES = (0, 1, 1200, 1472, 1473, 9000, 60_000, 65_507)


@case("datagrams of 0 to 65507 bytes over IPv4")
def sizes(lab):
    peers.UDPEcho(lab, BACKEND4, 9000)
    lab.tunnel([ECHO])
    with lab.udp("player", "0.0.0.0") as player:
        for size in SIZES:
            peers.ask(player, peers.payload(size, size), (EDGE4, 9000), tries=3)


@case("datagrams of 0 to 65507 bytes over IPv6")
def sizes_over_ipv6(lab):
    service = Service("echo", "udp", place(BACKEND6, 9000), "[::]:9000")
    peers.UDPEcho(lab, BACKEND6, 9000)
    lab.start_server([service])
    client = lab.start_client([service], f'server = "{place(SERVER6, 4600)}"\n')
    client.wait("session-up", 5)
    with lab.udp("player", "::") as player:
        for size in SIZES:
            peers.ask(player, peers.payload(size, size), (EDGE6, 9000), tries=3)


@case("a datagram sent before the session is up is delivered")
def early_datagram(lab):
    peers.UDPEcho(lab, BACKEND4, 9000)
    lab.start_server([ECHO])
    lab.start_client([ECHO])
    with lab.udp("player", "0.0.0.0") as player:
        peers.ask(player, b"first", (EDGE4, 9000), tries=1, wait=2)


@case("100 players: each has its own flow and gets its own answers")
def many_flows(lab):
    backend = peers.UDPEcho(lab, BACKEND4, 9000)
    lab.tunnel([ECHO])
    players = [lab.udp("player", "0.0.0.0") for _ in range(100)]
    for index, player in enumerate(players):
        peers.ask(player, b"player %d" % index, (EDGE4, 9000))
    expect_equal(len(backend.sources), 100, "sources the backend saw")
    for player in players:
        player.setblocking(False)
        try:
            stray = player.recv(100)
            expect(False, f"a stray datagram: {stray!r}")
        except BlockingIOError:
            pass


@case("a flow ends after idle_timeout")
def idle_timeout(lab):
    service = ECHO._replace(forward_lines='idle_timeout = "1s"')
    backend = peers.UDPEcho(lab, BACKEND4, 9000)
    lab.tunnel([service])
    with lab.udp("player", "0.0.0.0") as player:
        peers.ask(player, b"one", (EDGE4, 9000))
        time.sleep(2.5)
        peers.ask(player, b"two", (EDGE4, 9000))
    expect_equal(len(backend.sources), 2, "sources the backend saw")


@case("a game's 60 messages a second over a path that loses 3 %")
def game_flow(lab):
    peers.UDPEcho(lab, BACKEND4, 9000)
    relay = relay_before_the_server(lab, Weather(delay=0.01))
    lab.start_server([ECHO])
    client = lab.start_client([ECHO], f'server = "{CLIENT4}:4700"\n')
    client.wait("session-up", 5)
    echoes: set = set()
    with lab.udp("player", "0.0.0.0", seconds=0.5) as player:

        def listen():
            try:
                while True:
                    data = player.recv(2000)
                    expect(data not in echoes, "an echo came twice")
                    echoes.add(data)
            except (TimeoutError, OSError):
                pass

        peers.ask(player, b"hello", (EDGE4, 9000))
        relay.weather = Weather(delay=0.01, loss=0.03)
        listener = threading.Thread(target=listen)
        listener.start()
        for number in range(240):
            player.sendto(b"%06d" % number + bytes(94), (EDGE4, 9000))
            time.sleep(1 / 60)
        listener.join(3)
    # Without redundancy 6 of 100 round trips fail; 12 leave room for bad luck.
    expect(len(echoes) >= 240 * 0.88, f"only {len(echoes)} of 240 came back")
    until(1, "lost packets", lambda: relay.counts["lost"] > 0)
