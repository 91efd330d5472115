"""What is on the wire: nothing that reaches a player tells where the server or a backend is."""

import signal
import socket
import struct
import subprocess
import threading
import time

import peers
from lab import BACKEND4, BACKEND6, CLIENT4, CLIENT6, EDGE4, EDGE6, PLAYER4, PLAYER6
from lab import SERVER4, SERVER6, Lab, Service, place
from origin import RIGHTS
from swarm import Swarm, players
from verdicts import Failed, case, expect, expect_equal

DEAD4, DEAD6 = "10.80.2.99", "fd80:2::99"
# Every address behind the tunnel, the server's towards its backends included.
HIDDEN = (SERVER4, SERVER6, BACKEND4, BACKEND6, DEAD4, DEAD6, "10.80.2.1", "fd80:2::1")
_OUTGOING = 4
TCP, UDP, ICMP, ICMP6 = 6, 17, 1, 58
RESET = 4


class Packet:
    """An IP packet as it was seen, with what its headers say."""

    def __init__(self, frame: bytes):
        self.content = frame[14:]
        self.at = time.monotonic()
        version = self.content[0] >> 4 if self.content else 0
        self.family = {4: socket.AF_INET, 6: socket.AF_INET6}.get(version)
        if self.family == socket.AF_INET:
            self.protocol, start, size = self.content[9], 12, 4
            self.body = self.content[(self.content[0] & 15) * 4 :]
        elif self.family == socket.AF_INET6:
            self.protocol, start, size = self.content[6], 8, 16
            self.body = self.content[40:]
        else:
            return
        addresses = self.content[start : start + 2 * size]
        self.source = socket.inet_ntop(self.family, addresses[:size])
        self.target = socket.inet_ntop(self.family, addresses[size:])

    @property
    def is_discovery(self) -> bool:
        """Of neighbours, by the link itself."""
        return self.protocol in (0, ICMP6) and (self.source == "::" or self.source[:5] == "fe80:")

    @property
    def is_reset(self) -> bool:
        return self.protocol == TCP and bool(self.body[13] & RESET)

    def __repr__(self):
        return f"{self.source} > {self.target} protocol {self.protocol}: {self.content[:96].hex()}"


class Capture:
    """Everything that arrives at, or leaves by, one interface."""

    def __init__(self, lab: Lab, name: str, interface: str, outgoing: bool):
        with lab.inside(name):
            kind = socket.htons(3)  # ETH_P_ALL
            self.socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, kind)
        self.socket.setsockopt(socket.SOL_SOCKET, 33, 64 << 20)  # SO_RCVBUFFORCE
        self.socket.bind((interface, 0))
        self.socket.settimeout(0.1)
        self.outgoing = outgoing
        self.packets: list[Packet] = []
        self.frames: list[bytes] = []
        self._ends = False
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self):
        while True:
            try:
                frame, where = self.socket.recvfrom(1 << 17)
            except TimeoutError:
                if self._ends:
                    return
                continue
            if (where[2] == _OUTGOING) != self.outgoing:
                continue
            self.frames.append(frame)
            packet = Packet(frame)
            if packet.family:
                self.packets.append(packet)

    def stop(self) -> list[Packet]:
        self._ends = True
        self._thread.join(5)
        # Packets seen and dropped by the socket: PACKET_STATISTICS. A hole proves nothing.
        raw = self.socket.getsockopt(263, 6, 8)
        expect_equal(struct.unpack("II", raw)[1], 0, "packets the capture missed")
        return self.packets


def patterns() -> dict[bytes, str]:
    """How a hidden address can be written, in bytes and in words."""
    found = {}
    for address in HIDDEN:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        packed = socket.inet_pton(family, address)
        found[packed] = address
        found[address.encode()] = address
        found[address.upper().encode()] = address
        if family == socket.AF_INET:
            # As an IPv4-mapped address in words; in bytes it holds the four already.
            found[packed[::-1]] = address + ", bytes reversed"
            found[packed.hex().encode()] = address
        else:
            groups = packed.hex(":", 2).encode()
            found[groups] = address
            found[groups.upper()] = address
    return found


def expect_hidden(capture: Capture):
    wanted = patterns()
    for frame in capture.frames:
        # Behind the link's own addresses, which are its ends' and drawn by the kernel.
        for pattern, address in wanted.items():
            if pattern in frame[14:]:
                raise Failed(f"a player was sent {address}: {Packet(frame)}")
    edges = {EDGE4, EDGE6}
    for packet in capture.packets:
        if packet.is_discovery:
            continue
        expect(packet.source in edges, f"a packet from elsewhere: {packet}")


def both(name: str, protocol: str, backends, port: int, lines: str, forward: str = ""):
    """The same service for players of either family."""
    return [
        Service(name + end, protocol, place(backend, port), place(edge, port), lines, forward)
        for end, backend, edge in (("4", backends[0], EDGE4), ("6", backends[1], EDGE6))
    ]


ALIVE, DEAD = (BACKEND4, BACKEND6), (DEAD4, DEAD6)
TRANSPARENT = 'origin = "transparent"'


def services() -> tuple[list[Service], list[Service]]:
    """Those of the server, and those that only the client knows."""
    known = (
        both("web", "tcp", ALIVE, 8080, TRANSPARENT)
        + both("game", "udp", ALIVE, 9000, TRANSPARENT, 'idle_timeout = "1s"')
        + both("named", "udp", ALIVE, 9001, 'origin = "proxy-v2"')
        + both("marked", "udp", ALIVE, 9002, 'origin = "spp"')
        + both("refused", "tcp", ALIVE, 8081, "")
        + both("closed", "udp", ALIVE, 9003, "")
        + both("dead", "tcp", DEAD, 8082, "")
        + both("silent", "udp", DEAD, 9004, "")
    )
    unknown = both("nowhere", "tcp", ALIVE, 8083, "") + both("gone", "udp", ALIVE, 9005, "")
    return known, unknown


def speak(lab: Lab, edge: str, port: int, sizes=(64,)):
    """Datagrams to which no answer is expected."""
    with lab.udp("player", PLAYER6 if ":" in edge else PLAYER4) as player:
        for size in sizes:
            player.sendto(bytes(size), (edge, port))
        player.settimeout(0.03)
        try:
            player.recv(100)
        except (TimeoutError, ConnectionRefusedError):
            pass


def expect_turned_away(lab: Lab, edge: str, port: int):
    try:
        with lab.connect(edge, port, seconds=8) as player:
            player.sendall(b"hello")
            expect_equal(player.recv(1), b"a reset", f"what the player got at port {port}")
    except ConnectionResetError:
        pass


def good_times(lab: Lab, edge: str, own: str):
    """What works: a transfer, datagrams of all sizes, and origins in headers."""
    with lab.connect(edge, 8080) as player:
        count, _ = peers.exchange(player, bytes(500_000))
        expect_equal(count, 500_000, "bytes of the echo")
    with lab.udp("player", own) as player:
        for size in (0, 100, 1472, 9_000, 65_000):
            peers.ask(player, bytes(size), (edge, 9000), tries=3)
        for port in (9001, 9002):
            player.sendto(b"hello", (edge, port))
            expect(b"hello" in player.recv(2_000), f"no echo at port {port}")


def bad_times(lab: Lab, edge: str):
    """Backends that refuse or are not there, services nobody knows, ports nobody listens at."""
    for port in (8081, 8083):
        expect_turned_away(lab, edge, port)
    for port in (9003, 9004, 9005, 9999):
        speak(lab, edge, port, (0, 64, 9_000))
    speak(lab, edge, 9999)  # The edge itself says that nobody listens.


def serve(lab: Lab) -> list:
    """Backends of both families; those of headers send back what they got, as it came."""
    served = []
    for address in ALIVE:
        served.append(peers.TCPBackend(lab, address, 8080, peers.echo))
        for port in (9000, 9001, 9002):
            served.append(peers.UDPEcho(lab, address, port))
    return served


def late_answers(lab: Lab):
    """Backends that speak to players whose flow is over, and to some that never were."""
    families = ((BACKEND4, PLAYER4, EDGE4), (BACKEND6, PLAYER6, EDGE6))
    players = [lab.udp("player", own) for _, own, _ in families]
    for player, (_, _, edge) in zip(players, families):
        peers.ask(player, b"hello", (edge, 9000))
    time.sleep(1.5)
    for player, (backend, own, _) in zip(players, families):
        with lab.udp("backend", backend) as stranger:
            for target in (player.getsockname()[1], 33_333):
                stranger.sendto(b"too late", (own, target))
        player.settimeout(0.2)
        try:
            expect_equal(player.recv(100), b"nothing", "what reached the player")
        except TimeoutError:
            pass
        player.close()


@case("capture: a player's link tells neither the server's nor a backend's address", 60)
def players_link(lab):
    serve(lab)
    known, unknown = services()
    server = lab.start_server(known, peer=RIGHTS)
    client = lab.start_client(known + unknown, 'connect_timeout = "1s"\n')
    client.wait("session-up", 5)
    capture = Capture(lab, "player", "to-client", outgoing=False)
    edges = (EDGE4, EDGE6)
    dead = [threading.Thread(target=expect_turned_away, args=[lab, e, 8082]) for e in edges]
    for thread in dead:
        thread.start()
    for edge, own in ((EDGE4, PLAYER4), (EDGE6, PLAYER6)):
        good_times(lab, edge, own)
        bad_times(lab, edge)
    late_answers(lab)
    # The server dies with connections open and comes back.
    open_now = [lab.connect(edge, 8080) for edge in (EDGE4, EDGE6)]
    for player in open_now:
        player.sendall(b"hello")
        expect_equal(peers.read_exactly(player, 5), b"hello", "the echo")
    server.stop(signal.SIGKILL)
    since = len(client.events)
    for edge in (EDGE4, EDGE6):
        speak(lab, edge, 9000)
        open_now.append(lab.connect(edge, 8080))
    server = lab.start_server(known, peer=RIGHTS)
    client.wait("session-up", 20, since=since)
    for edge, own in ((EDGE4, PLAYER4), (EDGE6, PLAYER6)):
        good_times(lab, edge, own)
    for thread in dead:
        thread.join(10)
    client.stop()
    for edge in (EDGE4, EDGE6):
        speak(lab, edge, 9000)
    packets = capture.stop()
    expect_hidden(capture)
    for family in (socket.AF_INET, socket.AF_INET6):
        seen = [p for p in packets if p.family == family]
        icmp = ICMP if family == socket.AF_INET else ICMP6
        counts = [sum(p.protocol == kind for p in seen) for kind in (TCP, UDP, icmp)]
        expect(min(counts) > 0, f"the capture saw too little: {counts}")
        expect(any(p.is_reset for p in seen), "no reset was captured")


def set_forwarding(lab: Lab, is_on: bool):
    """Whether the server's machine forwards, as the gateway of its backends does."""
    value = int(is_on)
    paths = ("ipv4/ip_forward", "ipv6/conf/all/forwarding")
    shell = "; ".join(f"echo {value} >/proc/sys/net/{path}" for path in paths)
    subprocess.run(["ip", "netns", "exec", f"{lab.prefix}-server", "sh", "-c", shell], check=True)
    verb = "replace" if is_on else "del"
    for network, gateway in (("10.80.0.0/24", CLIENT4), ("fd80::/64", "fd80:1::1")):
        lab.ip("server", "route", verb, network, "via", gateway)


def leaked(packets: list[Packet]) -> list[Packet]:
    """What left the server for somebody else than the client."""
    inside = (CLIENT4, CLIENT6)
    return [p for p in packets if not p.is_discovery and p.target not in inside]


@case("capture: a server that forwards lets neither fragments nor errors of a backend out", 40)
def forwarding_server(lab):
    set_forwarding(lab, True)
    try:
        backends = [peers.UDPEcho(lab, address, 9000) for address in ALIVE]
        game = both("game", "udp", ALIVE, 9000, TRANSPARENT)
        lab.start_server(game, peer=RIGHTS)
        client = lab.start_client(game)
        client.wait("session-up", 5)
        capture = Capture(lab, "server", "to-client", outgoing=True)
        for edge, own, backend in zip((EDGE4, EDGE6), (PLAYER4, PLAYER6), backends):
            with lab.udp("player", own) as player:
                for size in (1_500, 9_000, 60_000):
                    peers.ask(player, bytes(size), (edge, 9000), tries=3)
                backend.stop()
                for _ in range(3):
                    player.sendto(b"nobody there", (edge, 9000))
                    time.sleep(0.1)
        packets = capture.stop()
        expect(len(packets) > 50, "the capture saw too little")
        outside = leaked(packets)
        expect(not outside, f"{len(outside)} packets left the server, such as {outside[:1]}")
    finally:
        set_forwarding(lab, False)


@case("capture: while the way back is missing no reply of a backend leaves the server", 40)
def missing_way_back(lab):
    set_forwarding(lab, True)
    try:
        # One on the server itself, bound to every address, and one behind it.
        backends = [Swarm(lab, "server", "echo", "0.0.0.0:9000")]
        backends.append(Swarm(lab, "backend", "echo", f"{BACKEND4}:9001"))
        near = Service("near", "udp", "10.80.2.1:9000", place(EDGE4, 9000), TRANSPARENT)
        far = Service("far", "udp", place(BACKEND4, 9001), place(EDGE4, 9001), TRANSPARENT)
        capture = Capture(lab, "server", "to-client", outgoing=True)
        text = lab.server_text([near, far], 'routes = "off"\n', peer=RIGHTS)
        server = lab.start("fairlead-server", "server", lab.write("server.toml", text), "server")
        server.wait("return-path", 8, result="refused", backend=near.backend + "/udp")
        server.wait("return-path", 8, result="refused", backend=far.backend + "/udp")
        client = lab.start_client([near, far])
        client.wait("session-up", 5)
        for port in (9000, 9001):
            speak(lab, EDGE4, port)
        expect_equal([b.ask()["datagrams"] for b in backends], [0, 0], "datagrams of players")
        asked = leaked(capture.packets)
        since = len(client.events)
        server.stop()
        lab.start_server([near, far], peer=RIGHTS)
        client.wait("session-up", 20, since=since)
        swarms = [
            players(lab, "player", place(EDGE4, port), PLAYER4, 20, 20, 20_000 + 100 * (port % 10))
            for port in (9000, 9001)
        ]
        for swarm in swarms:
            expect_equal(swarm.ask("greet", 0, 20, 5)["received"], 20, "answers")
        expect(not asked, f"{len(asked)} packets left the server, such as {asked[:1]}")
        for swarm in swarms:
            swarm.tell("play", 1_000, 1)
        flushes = []
        for _ in range(3):
            time.sleep(0.25)
            command = ["ip", "-n", f"{lab.prefix}-server", "rule", "flush", "protocol", "70"]
            subprocess.run(command, check=True)
            flushes.append(time.monotonic())
        answered = [swarm.hear()["received"] for swarm in swarms]
        # Whoever removes the rules gives the machine back to its ordinary ways, until the server
        # hears of it.
        late = [p for p in leaked(capture.stop()) if min(abs(p.at - f) for f in flushes) > 0.1]
        expect(not late, f"{len(late)} packets left the server, such as {late[:1]}")
        expect(min(answered) > 900, f"answers, of 1,000: {answered}")
    finally:
        set_forwarding(lab, False)
