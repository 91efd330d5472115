"""Reports from the field: names that lead to several places, elsewhere, or nowhere."""

import contextlib
import json
import signal
import time

import peers
from draining import order
from lab import BACKEND4, BACKEND6, EDGE4, EDGE6, PLAYER4, PLAYER6, Service, place, until
from name_server import NameServer, addresses
from origin import RIGHTS, restoring
from programs import fetch
from verdicts import Failed, case, expect, expect_equal

NAME = "game.lab.test"
OTHER4 = "10.80.2.3"
# Nobody has these: the first is silent, on a link that is there.
SILENT4, SILENT6 = "10.80.2.99", "fd80:2::99"


def named(protocol: str, host: str = NAME, lines: str = "") -> Service:
    return Service(protocol, protocol, f"{host}:8080", place("0.0.0.0", 8080), lines)


def hello(lab, seconds: float = 5, address: str = EDGE4) -> float:
    """How long a new connection takes to be answered."""
    started = time.monotonic()
    with lab.connect(address, 8080, seconds) as player:
        player.sendall(b"hello")
        expect_equal(peers.read_exactly(player, 5), b"hello", "the echo")
    return time.monotonic() - started


def is_served(lab) -> bool:
    try:
        return hello(lab, 1) < 1
    except (OSError, Failed):
        return False


@contextlib.contextmanager
def elsewhere(lab, address: str, where: str = "backend", device: str = "to-server"):
    """A second address of the backends' machine."""
    lab.ip(where, "addr", "add", f"{address}/24", "dev", device)
    try:
        yield
    finally:
        lab.ip(where, "addr", "del", f"{address}/24", "dev", device)


def quietly(program, seconds: float) -> float:
    """Voluntary context switches a second."""
    before, started = program.context_switches(), time.monotonic()
    time.sleep(seconds)
    return (program.context_switches() - before) / (time.monotonic() - started)


@case("names: of a backend's addresses the next is tried beside a silent or refusing one", 60)
def every_address(lab):
    peers.TCPBackend(lab, BACKEND4, 8080, peers.echo)
    with NameServer(lab, "server") as names, elsewhere(lab, OTHER4):
        names.say(*addresses(NAME, SILENT6, SILENT4, OTHER4, BACKEND4))
        server, _ = lab.tunnel([named("tcp")])
        server.wait("resolved", 5)
        took = hello(lab)
        expect(took < 0.9, f"with two silent addresses and one that refuses it took {took:.2f} s")
        took = hello(lab)
        expect(took < 0.2, f"the second time it took {took:.2f} s")
        # The name alone may stand for all of them in what is told.
        peers_down = [e for e in server.events if e.get("event") == "backend-refused"]
        expect(not peers_down, f"refused though one address answers: {peers_down}")


@case("names: localhost is also 127.0.0.1 where the hosts file begins with ::1", 30)
def localhost(lab):
    peers.TCPBackend(lab, "127.0.0.1", 8080, peers.echo, where="server")
    peers.UDPEcho(lab, "127.0.0.1", 8080, where="server")
    with NameServer(lab, "server", "::1 localhost\n127.0.0.1 localhost\n"):
        lab.tunnel([named("tcp", "localhost"), named("udp", "localhost")])
        until(3, "an answer", lambda: is_served(lab))
        expect(hello(lab) < 0.2, "an address that refuses costs nothing")
        with lab.udp("player", PLAYER4) as player:
            peers.ask(player, b"hello", (EDGE4, 8080), wait=0.3)


@case("names: when all addresses fail, the log says which and why", 30)
def told(lab):
    with NameServer(lab, "server") as names:
        names.say(*addresses(NAME, BACKEND4, BACKEND6))
        server, _ = lab.tunnel([named("tcp")])
        server.wait("resolved", 5)
        with contextlib.suppress(OSError, Failed):
            hello(lab)
        cause = server.wait("backend-refused", 2)["cause"]
        for address in (place(BACKEND4, 8080), place(BACKEND6, 8080)):
            expect(address in cause, f"{address} is not named: {cause}")


@case("names: a backend that moves is served again 2 s after the first refusal", 60)
def moves(lab):
    first = peers.TCPBackend(lab, BACKEND4, 8080, peers.echo)
    echo = peers.UDPEcho(lab, BACKEND4, 8080)
    with NameServer(lab, "server") as names, elsewhere(lab, OTHER4):
        names.say(*addresses(NAME, BACKEND4), ttl=3600)
        server, _ = lab.tunnel([named("tcp"), named("udp")])
        server.wait("resolved", 5)
        hello(lab)
        with lab.udp("player", PLAYER4) as player:
            peers.ask(player, b"before", (EDGE4, 8080))
            first.listener.shutdown(2)
            first.listener.close()
            echo.stop()
            peers.TCPBackend(lab, OTHER4, 8080, peers.echo)
            peers.UDPEcho(lab, OTHER4, 8080)
            names.say(*addresses(NAME, OTHER4), ttl=3600)
            started = time.monotonic()
            until(2, "the moved TCP backend", lambda: is_served(lab))
            # The flow there is follows: the player's port is the same.
            peers.ask(player, b"after", (EDGE4, 8080), tries=10, wait=0.2)
            took = time.monotonic() - started
            expect(took < 2.5, f"both were served after {took:.1f} s")


@case("names: a flow whose backend has gone without a word follows its name", 60)
def vanishes(lab):
    with NameServer(lab, "server") as names:
        with elsewhere(lab, OTHER4):
            echo = peers.UDPEcho(lab, OTHER4, 8080)
            names.say(*addresses(NAME, OTHER4), ttl=3600)
            server, _ = lab.tunnel([named("udp")])
            server.wait("resolved", 5)
            player = lab.udp("player", PLAYER4)
            peers.ask(player, b"before", (EDGE4, 8080))
            # As a machine that is switched off: its link is there, it is not.
            names.say(*addresses(NAME, BACKEND4), ttl=3600)
            lab.ip("backend", "addr", "add", "10.80.2.98/32", "dev", "lo")
        echo.stop()
        peers.UDPEcho(lab, BACKEND4, 8080)
        started = time.monotonic()
        try:
            with player:
                peers.ask(player, b"after", (EDGE4, 8080), tries=60, wait=0.1)
            took = time.monotonic() - started
            expect(took < 4, f"served after {took:.1f} s of datagrams")
        finally:
            lab.ip("backend", "addr", "del", "10.80.2.98/32", "dev", "lo")


@case("names: a transparent backend of both families is shown players of both", 60)
def transparent(lab):
    four = peers.TCPBackend(lab, BACKEND4, 8080, peers.echo)
    six = peers.TCPBackend(lab, BACKEND6, 8080, peers.echo)
    service = Service("web", "tcp", f"{NAME}:8080", "[::]:8080", 'origin = "transparent"')
    with NameServer(lab, "server") as names:
        names.say(*addresses(NAME, BACKEND4, BACKEND6))
        server, _ = restoring(lab, [service], RIGHTS)
        until(5, "both ways back", lambda: len(
            [e for e in server.events if e.get("event") == "return-path"]) >= 2)  # fmt: skip
        hello(lab)
        hello(lab, address=EDGE6)
    expect_equal([peer[0] for peer in four.peers if peer[0] == PLAYER4], [PLAYER4], "IPv4 players")
    expect_equal([peer[0] for peer in six.peers if peer[0] == PLAYER6], [PLAYER6], "IPv6 players")


@case("names: without a name server the last answer stays, nothing spins, SIGTERM works", 60)
def server_gone(lab):
    peers.TCPBackend(lab, BACKEND4, 8080, peers.echo)
    with NameServer(lab, "server") as names:
        names.say(*addresses(NAME, BACKEND4), ttl=0)
        server, client = lab.tunnel([named("tcp")])
        until(5, "an answer", lambda: is_served(lab))
        switches = quietly(server, 6)
        expect(switches <= 2, f"{switches:.1f} context switches a second with a TTL of 0")
        names.write("resolv.conf", f"nameserver {SILENT4}\n")
        names.stop()
        server.wait("resolve-failed", 25)
        expect(hello(lab) < 0.2, "the last answer is in use")
        switches = quietly(server, 6)
        expect(switches <= 2, f"{switches:.1f} context switches a second without a name server")
        started = time.monotonic()
        expect_equal(server.stop(), 0, "the exit code")
        expect(time.monotonic() - started < 2, "the end took more than 2 s")


@case("names: a name server that says absurd things", 60)
def absurd(lab):
    peers.TCPBackend(lab, BACKEND4, 8080, peers.echo)
    services = [
        named("tcp"),
        Service("loop", "tcp", "loop.lab.test:8080", place(EDGE4, 8081)),
        Service("many", "udp", "many.lab.test:8080", place(EDGE4, 8082)),
    ]
    many = [f"10.90.{i // 250}.{i % 250 + 1}" for i in range(1000)]
    with NameServer(lab, "server") as names:
        names.say(
            *addresses(NAME, BACKEND4),
            "cname=loop.lab.test,loop2.lab.test",
            *[f"host-record=many.lab.test,{address}" for address in many],
            ttl=0,
        )
        server, _ = lab.tunnel(services)
        until(5, "the honest name", lambda: is_served(lab))
        server.wait("resolve-failed", 20, name="loop.lab.test:8080")
        server.wait("resolved", 20, name="many.lab.test:8080")
        with lab.udp("player", PLAYER4) as player:
            player.sendto(b"x", (EDGE4, 8082))
        expect(is_served(lab), "the honest name is served all the same")
        resident = server.resident_bytes()
        time.sleep(5)
        grown = server.resident_bytes() - resident
        expect(grown < 8 << 20, f"the server has grown by {grown} bytes")
        times = [e for e in server.events if e.get("name") == "many.lab.test:8080"]
        expect_equal(len(times), 1, "answers that count as news")


def backends(lab) -> dict[str, dict]:
    """Of the first service, by the address that the status names."""
    status = json.loads(fetch("/status", lab.control["server"])[1])
    return {backend["address"]: backend for backend in status["services"][0]["backends"]}


class Named(peers.TCPBackend):
    """Says its name first, then echoes."""

    def __init__(self, lab, address: str, name: str, port: int = 8080):
        def serve(connection):
            connection.sendall(name.encode())
            return peers.echo(connection)

        super().__init__(lab, address, port, serve)


def who(lab) -> str:
    with lab.connect(EDGE4, 8080, 2) as player:
        return player.recv(10).decode()


def members(lab, count: int = 12) -> dict[str, int]:
    found: dict[str, int] = {}
    for _ in range(count):
        name = who(lab)
        found[name] = found.get(name, 0) + 1
    return found


@case("names: dns: makes every address a backend, and changes act within the TTL + 2 s", 90)
def every_address_a_backend(lab):
    third4 = "10.80.2.4"
    with contextlib.ExitStack() as stack:
        stack.enter_context(elsewhere(lab, OTHER4))
        stack.enter_context(elsewhere(lab, third4))
        names = stack.enter_context(NameServer(lab, "server"))
        for address, name in ((BACKEND4, "one"), (OTHER4, "two"), (third4, "three")):
            Named(lab, address, name)
        names.say(*addresses(NAME, BACKEND4, OTHER4), ttl=2)
        service = Service("tcp", "tcp", f"dns:{NAME}:8080", place("0.0.0.0", 8080))
        server, _ = lab.tunnel([service])
        server.wait("backends-changed", 5)
        expect_equal(members(lab), {"one": 6, "two": 6}, "who serves")
        expect_equal(
            sorted(backends(lab)), [place(BACKEND4, 8080), place(OTHER4, 8080)], "the status names"
        )
        first = lab.connect(EDGE4, 8080)
        second = lab.connect(EDGE4, 8080)
        kept = first if first.recv(10) == b"one" else second
        if kept is second:
            expect_equal(second.recv(10), b"one", "one of two")
        names.say(*addresses(NAME, OTHER4, third4), ttl=2)
        changed = time.monotonic()
        until(10, "a change", lambda: sorted(members(lab, 4)) == ["three", "two"])
        took = time.monotonic() - changed
        expect(took < 4, f"the change acted after {took:.1f} s")
        # Drained, not cut, and no longer named once the last player has left.
        kept.sendall(b"still")
        expect_equal(peers.read_exactly(kept, 5), b"still", "the old one's player")
        expect(backends(lab)[place(BACKEND4, 8080)].get("draining"), "the old one drains")
        kept.close()
        until(5, "only new ones", lambda: sorted(backends(lab)) == [
            place(OTHER4, 8080), place(third4, 8080)])  # fmt: skip
        # An operator may drain a member by its address.
        code, text = order(lab, "drain", "tcp", place(third4, 8080))
        expect_equal(code, 0, f"drain's exit code ({text})")
        expect_equal(members(lab, 4), {"two": 4}, "who serves while the third drains")
        # The name server is gone: those that were there last stay.
        names.stop()
        time.sleep(4)
        expect_equal(members(lab, 4), {"two": 4}, "who serves without a name server")


@case("names: srv: takes ports, weights and backups from the records", 90)
def records(lab):
    service = Service("tcp", "tcp", "srv:_game._tcp.lab.test", place("0.0.0.0", 8080))
    heavy, light, backup = (f"{name}.lab.test" for name in ("heavy", "light", "backup"))
    hosts = [
        f"host-record={heavy},{BACKEND4}",
        f"host-record={light},{BACKEND4}",
        f"host-record={backup},{BACKEND4}",
    ]
    with NameServer(lab, "server") as names:
        sockets = [
            Named(lab, BACKEND4, name, port)
            for name, port in (("heavy", 8081), ("light", 8082), ("backup", 8083))
        ]
        names.say(
            *hosts,
            f"srv-host=_game._tcp.lab.test,{heavy},8081,10,30",
            f"srv-host=_game._tcp.lab.test,{light},8082,10,10",
            f"srv-host=_game._tcp.lab.test,{backup},8083,20,10",
            ttl=2,
        )
        server, _ = lab.tunnel([service])
        server.wait("backends-changed", 5)
        found = members(lab, 40)
        expect_equal(sorted(found), ["heavy", "light"], "who serves")
        expect(26 <= found["heavy"] <= 34, f"a share of three quarters: {found}")
        names.say(
            *hosts,
            f"srv-host=_game._tcp.lab.test,{light},8082,10,10",
            f"srv-host=_game._tcp.lab.test,{backup},8083,20,10",
            ttl=2,
        )
        until(5, "one is gone", lambda: set(members(lab, 4)) == {"light"})
        sockets[1].listener.shutdown(2)
        sockets[1].listener.close()
        until(5, "the backup", lambda: who_or_nobody(lab) == "backup")


def who_or_nobody(lab) -> str:
    try:
        return who(lab)
    except (OSError, Failed):
        return ""


@case("names: UDP players of a dns: member that vanished and died find another", 60)
def dead_member(lab):
    echo = peers.UDPEcho(lab, BACKEND4, 8080)
    service = Service("udp", "udp", f"dns:{NAME}:8080", place("0.0.0.0", 8080))
    with NameServer(lab, "server") as names, elsewhere(lab, OTHER4):
        peers.UDPEcho(lab, OTHER4, 8080)
        names.say(*addresses(NAME, BACKEND4), ttl=3600)
        server, _ = lab.tunnel([service])
        server.wait("backends-changed", 5)
        with lab.udp("player", PLAYER4) as player:
            peers.ask(player, b"before", (EDGE4, 8080))
            echo.stop()
            names.say(*addresses(NAME, OTHER4), ttl=3600)
            started = time.monotonic()
            peers.ask(player, b"after", (EDGE4, 8080), tries=20, wait=0.2)
            took = time.monotonic() - started
            expect(took < 2.5, f"served after {took:.1f} s")


@case("names: a reload while a name is being looked up, and one that swaps its entries", 60)
def reloaded(lab):
    Named(lab, BACKEND4, "one")
    Named(lab, BACKEND4, "two", 8081)
    service = Service("tcp", "tcp", f"dns:{NAME}:8080", place("0.0.0.0", 8080))
    with NameServer(lab, "server") as names:
        names.say(*addresses(NAME, BACKEND4), ttl=1)
        names.write("resolv.conf", f"nameserver {SILENT4}\nnameserver 127.0.0.1\n")
        server, _ = lab.tunnel([service])
        text = lab.server_text([service._replace(backend=f"dns:{NAME}:8081")])
        for number in range(4):
            swapped = lab.server_text([service]) if number % 2 else text
            lab.write("server.toml", swapped)
            mark = len(server.events)
            server.process.send_signal(signal.SIGHUP)
            server.wait("reload", 5, mark)
            time.sleep(0.3)
        until(10, "the second list", lambda: who_or_nobody(lab) == "one")
        lab.write("server.toml", text)
        server.process.send_signal(signal.SIGHUP)
        until(10, "the first list", lambda: who_or_nobody(lab) == "two")
        expect_equal(list(backends(lab)), [place(BACKEND4, 8081)], "the status names")
