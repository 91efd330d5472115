"""Several servers: who is used when one falls silent, and what is told meanwhile."""

import signal
import time

import peers
from datagrams import ECHO
from lab import BACKEND4, EDGE4, SERVER4, until
from programs import fetch
from streams import WEB
from verdicts import Failed, case, expect, expect_equal

BOTH = f'server = ["{SERVER4}:4600", "{SERVER4}:4700"]\n'


def two_servers(lab):
    peers.TCPBackend(lab, BACKEND4, 8080, peers.echo)
    peers.UDPEcho(lab, BACKEND4, 9000)
    first = lab.start_server([WEB, ECHO])
    text = lab.server_text([WEB, ECHO], f'listen = "{SERVER4}:4700"\n')
    text = text.replace("server.sock", "second.sock")
    second = lab.start("fairlead-server", "server", lab.write("second.toml", text), "second")
    second.wait("ready", 5)
    client = lab.start_client([WEB, ECHO], BOTH)
    client.wait("session-up", 5)
    return first, second, client


def answers(lab) -> bool:
    """Whether a new connection is answered within half a second."""
    try:
        with lab.connect(EDGE4, 8080, seconds=0.5) as player:
            player.sendall(b"hello")
            return peers.read_exactly(player, 5) == b"hello"
    except (OSError, Failed):
        return False


def readiness(lab) -> tuple[int, str]:
    status, text = fetch("/ready", lab.control["client"])
    return status, text.strip()


@case("two servers: when the first is stopped under load, new connections are answered in 4 s", 40)
def stopped(lab):
    first, _, client = two_servers(lab)
    expect(answers(lab), "the first server serves")
    with lab.udp("player", "0.0.0.0") as player:
        expect_equal(peers.ask(player, b"one", (EDGE4, 9000)), b"one", "the echo")
        # As a machine that hangs: no packet, no ICMP.
        first.process.send_signal(signal.SIGSTOP)
        died = time.monotonic()
        until(6, "a new connection is answered", lambda: answers(lab))
        took = time.monotonic() - died
        expect(took < 4, f"a new connection was answered after {took:.1f} s")
        client.wait("session-in-doubt", 1)
        client.wait("server-changed", 1, to=f"{SERVER4}:4700")
        expect_equal(readiness(lab)[0], 200, "readiness with the second server")
        expect_equal(peers.ask(player, b"two", (EDGE4, 9000)), b"two", "the echo")
    first.process.send_signal(signal.SIGCONT)


@case("one silent server: not ready, new connections wait, and all is well when it is back", 40)
def one_server(lab):
    peers.TCPBackend(lab, BACKEND4, 8080, peers.echo)
    patient = WEB._replace(forward_lines='accept_when = "always"')
    server = lab.start_server([patient])
    client = lab.start_client([patient])
    client.wait("session-up", 5)
    with lab.connect(EDGE4, 8080, seconds=20) as old:
        old.sendall(b"hello")
        peers.read_exactly(old, 5)
        server.process.send_signal(signal.SIGSTOP)
        old.sendall(b"later")
        client.wait("session-in-doubt", 5)
        expect_equal(readiness(lab), (503, "session-in-doubt"), "readiness")
        with lab.connect(EDGE4, 8080, seconds=20) as new:
            new.sendall(b"fresh")
            time.sleep(1)
            server.process.send_signal(signal.SIGCONT)
            expect_equal(peers.read_exactly(new, 5), b"fresh", "a connection that waited")
        expect_equal(peers.read_exactly(old, 5), b"later", "a connection from before")
    client.wait("session-recovered", 5)
    expect_equal(readiness(lab)[0], 200, "readiness")
    expect(client.find("session-down") is None, "the session was not cut")
