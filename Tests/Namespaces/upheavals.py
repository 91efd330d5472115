"""Transparent players while things die and come back around them."""

import signal
import socket
import time

import peers
from gates import game, settle
from lab import BACKEND4, BACKEND6, EDGE4, EDGE6, PLAYER4, PLAYER6, Lab, Service, place, until
from origin import RIGHTS
from swarm import Swarm, players
from verdicts import case, expect, expect_equal

FAMILIES = ((PLAYER4, EDGE4, BACKEND4), (PLAYER6, EDGE6, BACKEND6))
ROUNDS = 2


def services(backends=(BACKEND4, BACKEND6)) -> list[Service]:
    made = []
    for end, edge, backend in zip("46", (EDGE4, EDGE6), backends):
        for name, protocol, port in (("web", "tcp", 8080), ("game", "udp", 9000)):
            lines = 'origin = "transparent"'
            made.append(
                Service(name + end, protocol, place(backend, port), place(edge, port), lines)
            )
    return made


def connect_from(lab: Lab, own: str, port: int, edge: str) -> socket.socket:
    """A player that insists on its port, as one behind some routers does."""
    family = socket.AF_INET6 if ":" in own else socket.AF_INET
    player = lab.open_socket("player", family, socket.SOCK_STREAM)
    player.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    # Its own end must not be what stands in the way.
    player.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    player.settimeout(10)
    player.bind((own, port))
    player.connect((edge, 8080))
    return player


def expect_echo(player: socket.socket, word: bytes):
    player.sendall(word)
    expect_equal(peers.read_exactly(player, len(word)), word, "the echo")


def stubborn_echo(connection: socket.socket):
    """Echoes, and after the player's end keeps the connection for a while."""
    peers.echo(connection)
    time.sleep(20)


@case("upheaval: a killed server's players come back from the same ports at once", 60)
def killed_server(lab):
    tcp = [peers.TCPBackend(lab, a, 8080, stubborn_echo) for _, _, a in FAMILIES]
    udp = [peers.UDPEcho(lab, a, 9000) for _, _, a in FAMILIES]
    server = lab.start_server(services(), peer=RIGHTS)
    client = lab.start_client(services())
    client.wait("session-up", 5)
    gamers = [lab.udp("player", own) for own, _, _ in FAMILIES]
    for turn in range(ROUNDS):
        for backend in tcp:
            backend.peers.clear()
        players = []
        for own, edge, _ in FAMILIES:
            players += [connect_from(lab, own, 30_000 + n, edge) for n in range(5)]
        for player in players:
            expect_echo(player, b"turn %d" % turn)
        for gamer, (_, edge, _) in zip(gamers, FAMILIES):
            peers.ask(gamer, b"turn %d" % turn, (edge, 9000))
        for backend, (own, _, _) in zip(tcp, FAMILIES):
            seen = {p[:2] for p in backend.peers if p[0] == own}
            expect_equal(seen, {(own, 30_000 + n) for n in range(5)}, "what the backend saw")
        since = len(client.events)
        server.stop(signal.SIGKILL)
        server = lab.start_server(services(), peer=RIGHTS)
        for player in players:
            player.close()
        client.wait("session-up", 20, since=since)
    for backend, gamer in zip(udp, gamers):
        expect_equal({s[:2] for s in backend.sources}, {gamer.getsockname()[:2]}, "UDP sources")


@case("upheaval: players change ports, backends restart, datagrams of 60 KB pass both ways", 40)
def changing_players(lab):
    loopback = [peers.UDPEcho(lab, a, 9000, where="server") for a in ("127.0.0.1", "::1")]
    own_backends = services(("127.0.0.1", "::1"))
    for address in ("127.0.0.1", "::1"):
        peers.TCPBackend(lab, address, 8080, peers.echo, where="server")
    lab.start_server(own_backends, peer=RIGHTS)
    client = lab.start_client(own_backends)
    client.wait("session-up", 5)
    for turn in range(2):
        for (own, edge, _), backend in zip(FAMILIES, loopback):
            ports = set()
            for _ in range(3):
                with lab.udp("player", own) as player:
                    ports.add(player.getsockname()[1])
                    for size in (0, 60_000, 65_507 if turn == 0 else 1):
                        peers.ask(player, peers.payload(size, size), (edge, 9000))
            seen = {s[1] for s in backend.sources if s[0] == own}
            expect_equal(seen, ports, "the ports the backend saw")
        with lab.connect(EDGE4, 8080) as player:
            data = peers.payload(turn, 2_000_000)
            expect_equal(peers.exchange(player, data)[1], peers.digest(data), "the echo")
        for backend in loopback:
            backend.stop()
        loopback = [peers.UDPEcho(lab, a, 9000, where="server") for a in ("127.0.0.1", "::1")]


@case("upheaval: two servers beside each other serve their own players", 40)
def two_servers(lab):
    tcp = peers.TCPBackend(lab, BACKEND4, 8080, peers.echo)
    udp = peers.UDPEcho(lab, BACKEND4, 9000)
    names = ("first", "second")
    ends = []
    for index, name in enumerate(names):
        top = f'listen = "0.0.0.0:{4700 + index}"\n'
        made = [
            Service(s.name, s.protocol, s.backend, place(EDGE4, port + index), s.service_lines)
            for s, port in zip(services()[:2], (8080, 9000))
        ]
        text = lab.server_text(made, top, RIGHTS).replace("server.sock", f"{name}.sock")
        config = lab.write(f"{name}-server.toml", text)
        server = lab.start("fairlead-server", "server", config, f"{name} server")
        server.wait("ready", 5)
        top = f'server = "10.80.1.2:{4700 + index}"\ncontrol = "{name}-client.sock"\n'
        client = lab.start_client(made, top, name=f"{name}-client")
        client.wait("session-up", 5)
        ends.append(server)
    with lab.udp("player", PLAYER4) as player:

        def expect_served(index: int):
            with lab.connect(EDGE4, 8080 + index) as stream:
                expect_echo(stream, b"hello")
                expect_equal(tcp.peers[-1], stream.getsockname(), "what the backend saw")
            with lab.udp("player", PLAYER4) as other:
                peers.ask(other, b"other", (EDGE4, 9000 + index))

        for index in (0, 1):
            expect_served(index)
        # One leaves, tidily or not; the other's rules stay.
        ends[0].stop()
        expect_served(1)
        config = f"{lab.folder}/first-server.toml"
        again = lab.start("fairlead-server", "server", config, "first server")
        again.wait("ready", 5)
        until(10, "the first server's players", lambda: _is_served(lab, player))
        ends[1].stop(signal.SIGKILL)
        expect_served(0)
    expect(PLAYER4 in {s[0] for s in udp.sources}, "the backend did not see the player")


def _is_served(lab: Lab, player: socket.socket) -> bool:
    try:
        return bool(peers.ask(player, b"again", (EDGE4, 9000), tries=1, wait=0.3))
    except TimeoutError:
        return False


@case("upheaval: 500 players go on through a killed server, each still its own", 40)
def swarm_through_restart(lab):
    settle(lab)
    backend = Swarm(lab, "server", "echo", "127.0.0.1:9000")
    server, client = game(lab, "127.0.0.1", "10.80.1.1")
    swarm = players(lab, "client", "10.80.1.1:9000", "10.81.0.1", 500, ports=2)
    expect_equal(swarm.ask("greet", 0, 500, 5)["received"], 500, "answers to greetings")
    since = len(client.events)
    swarm.tell("play", 5_000, 4)
    time.sleep(1)
    server.stop(signal.SIGKILL)
    config = f"{lab.folder}/server.toml"
    lab.start("fairlead-server", "server", config, "server").wait("ready", 5)
    client.wait("session-up", 5, since=since)
    tally = swarm.hear()
    expect_equal((tally["repeated"], tally["misled"]), (0, 0), "answers twice or astray")
    expect(tally["received"] > 5_000, f"hardly anything got through: {tally}")
    tally = swarm.ask("greet", 0, 500, 5)
    expect_equal(tally["received"], 500, "answers afterwards")
    seen = backend.ask()
    expect_equal((seen["players"], seen["strangers"]), (500, 0), "players and strangers")


@case("upheaval: what a killed end cuts off does not look complete", 40)
def killed_in_mid_stream(lab):
    upload = peers.TCPBackend(lab, BACKEND4, 8080, peers.drain)
    endless = bytes(1 << 20)

    def serve(connection: socket.socket):
        while True:
            connection.sendall(endless)

    download = peers.TCPBackend(lab, BACKEND4, 8081, serve)
    web = services()[0]
    other = {"backend": place(BACKEND4, 8081), "listen": place(EDGE4, 8081)}
    both = [web, web._replace(name="down", **other)]
    server = lab.start_server(both, peer=RIGHTS)
    client = lab.start_client(both)
    client.wait("session-up", 5)
    with lab.connect(EDGE4, 8080) as up, lab.connect(EDGE4, 8081) as down:
        up.sendall(b"the first half")
        peers.read_exactly(down, 1 << 20)
        server.stop(signal.SIGKILL)
        until(3, "the backend's end", lambda: upload.results or upload.errors)
        expect(not upload.results, "the backend believes the upload to be complete")
        client.stop(signal.SIGKILL)
        try:
            while down.recv(1 << 20):
                pass
            expect(False, "the player believes the download to be complete")
        except ConnectionResetError:
            pass
    expect(download.errors, "the other backend was not told")
