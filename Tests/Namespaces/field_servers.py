"""Reports from the field: a tunnel's server that has several addresses, records, or moves."""

import contextlib
import signal
import time

import peers
from field_names import NAME, elsewhere, hello
from lab import BACKEND4, SERVER4, SERVER6, place, until
from name_server import NameServer, addresses
from streams import WEB
from verdicts import case, expect, expect_equal

NEXT4 = "10.80.1.3"
# Nobody has these.
SILENT4, SILENT6 = "10.80.1.99", "fd80:1::99"
NAMED = f'server = "{NAME}:4600"\n'
RECORDS = 'server = "srv:_fairlead._udp.lab.test"\n'


def start(lab, address: str, port: int = 4600, name: str = "server"):
    """A server with the same key as all others."""
    text = lab.server_text([WEB], f'listen = "{place(address, port)}"\n')
    text = text.replace("server.sock", f"{name}.sock")
    server = lab.start("fairlead-server", "server", lab.write(f"{name}.toml", text), name)
    server.wait("ready", 5)
    return server


def delay(client) -> float:
    """From the name's answer to the session."""
    return client.wait("session-up", 10)["at"] - client.wait("resolved", 10)["at"]


@case("names: dead addresses of a server cost 300 ms each, in whatever family", 60)
def dead_first(lab):
    peers.TCPBackend(lab, BACKEND4, 8080, peers.echo)
    server = lab.start_server([WEB])
    with NameServer(lab, "client") as names:
        for dead, alive in ((SILENT6, SERVER4), (SILENT4, SERVER6), (SILENT4, SERVER4)):
            names.say(*addresses(NAME, dead, alive))
            client = lab.start_client([WEB], NAMED)
            took = delay(client)
            expect(took < 0.4, f"{alive} beside {dead}: a session after {took * 1000:.0f} ms")
            expect(hello(lab) < 1, "a player is served")
            expect_equal(client.stop(), 0, "the client's exit code")
        names.say(*addresses(NAME, SERVER6))
        client = lab.start_client([WEB], NAMED)
        expect(delay(client) < 0.2, "IPv6 alone")
        client.stop()
        names.say(*addresses(NAME, SERVER4, SERVER6))
        client = lab.start_client([WEB], NAMED)
        client.wait("session-up", 5)
        time.sleep(1)
        ups = [e for e in server.events if e.get("event") == "session-up"]
        expect_equal(len(ups), 5, "sessions that the server had, one for each client")


@case("names: srv: servers by priority, and the next one when the first dies", 60)
def by_priority(lab):
    peers.TCPBackend(lab, BACKEND4, 8080, peers.echo)
    first, second = start(lab, SERVER4, 4700, "first"), start(lab, SERVER4, 4600, "second")
    with NameServer(lab, "client") as names:
        names.say(
            f"host-record=edge.lab.test,{SERVER4}",
            "srv-host=_fairlead._udp.lab.test,edge.lab.test,4600,20,10",
            "srv-host=_fairlead._udp.lab.test,edge.lab.test,4700,10,10",
        )
        client = lab.start_client([WEB], RECORDS)
        expect_equal(client.wait("session-up", 5)["address"], f"{SERVER4}:4700", "the server")
        hello(lab)
        died = time.monotonic()
        first.process.send_signal(signal.SIGKILL)
        with contextlib.suppress(OSError):
            hello(lab, 8)
        until(6, "the second server", lambda: client.find("server-changed"))
        took = time.monotonic() - died
        expect(took < 4.5, f"the next server was used after {took:.1f} s")
        expect(second.find("session-up"), "the second server's session")
        expect(hello(lab) < 1, "a player is served")


@case("names: a server that moves is found within seconds, whatever the TTL", 90)
def moves(lab):
    peers.TCPBackend(lab, BACKEND4, 8080, peers.echo)
    with NameServer(lab, "client") as names, elsewhere(lab, NEXT4, "server", "to-client"):
        first = start(lab, SERVER4)
        names.say(*addresses(NAME, SERVER4), ttl=3600)
        client = lab.start_client([WEB], NAMED)
        client.wait("session-up", 5)
        hello(lab)
        first.process.send_signal(signal.SIGKILL)
        start(lab, NEXT4, name="second")
        names.say(*addresses(NAME, NEXT4), ttl=3600)
        moved = time.monotonic()
        with contextlib.suppress(OSError):
            hello(lab, 10)
        client.wait("session-up", 8, address=f"{NEXT4}:4600")
        took = time.monotonic() - moved
        expect(took < 6, f"found after {took:.1f} s")
        hello(lab)


@case("names: a server whose address changes under its session keeps the streams", 90)
def renumbered(lab):
    peers.TCPBackend(lab, BACKEND4, 8080, peers.echo)
    with NameServer(lab, "client") as names, elsewhere(lab, NEXT4, "server", "to-client"):
        lab.start_server([WEB])
        names.say(*addresses(NAME, SERVER4), ttl=3600)
        client = lab.start_client([WEB], NAMED)
        client.wait("session-up", 5)
        with lab.connect("10.80.0.1", 8080, 20) as player:
            player.sendall(b"hello")
            peers.read_exactly(player, 5)
            names.say(*addresses(NAME, NEXT4), ttl=3600)
            lab.ip("server", "addr", "del", f"{SERVER4}/24", "dev", "to-client")
            try:
                started = time.monotonic()
                player.sendall(b"still")
                expect_equal(peers.read_exactly(player, 5), b"still", "the stream")
                took = time.monotonic() - started
                expect(took < 6, f"the stream went on after {took:.1f} s")
            finally:
                lab.ip("server", "addr", "add", f"{SERVER4}/24", "dev", "to-client")
        expect(not [e for e in client.events if e.get("event") == "session-down"], "cut")


@case("names: a client waits for a name server that comes late", 60)
def late_name_server(lab):
    peers.TCPBackend(lab, BACKEND4, 8080, peers.echo)
    lab.start_server([WEB])
    with NameServer(lab, "client") as names:
        client = lab.start_client([WEB], NAMED)
        client.wait("resolve-failed", 15)
        names.say(*addresses(NAME, SERVER4))
        client.wait("session-up", 8)
        hello(lab)
