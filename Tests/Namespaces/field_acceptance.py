"""Reports from the field: TCP listeners that follow the service behind them."""

import re
import signal
import socket
import time

import peers
from lab import BACKEND4, BACKEND6, EDGE4, EDGE6, Service, place, until
from streams import WEB, expect_reset
from verdicts import Failed, case, expect, expect_equal


def connects(lab, address: str = EDGE4, port: int = 8080) -> bool:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with lab.open_socket("player", family, socket.SOCK_STREAM) as player:
        player.settimeout(1)
        return player.connect_ex((address, port)) == 0


def answers(lab, address: str = EDGE4, port: int = 8080) -> bool:
    try:
        with lab.connect(address, port, seconds=1) as player:
            player.sendall(b"hello")
            return peers.read_exactly(player, 5) == b"hello"
    except (OSError, Failed):
        return False


class Echo:
    """A backend that can be stopped and started, as a program."""

    def __init__(self, lab, address: str = BACKEND4, port: int = 8080):
        self.start = lambda: peers.TCPBackend(lab, address, port, peers.echo)
        self.backend = self.start()

    def stop(self):
        self.backend.listener.shutdown(socket.SHUT_RDWR)
        self.backend.listener.close()

    def again(self):
        self.backend = self.start()


def kill(server):
    server.process.kill()
    server.process.wait(5)


@case("field: no backend is up: connections are refused; one is: they are taken", 40)
def no_backend(lab):
    web, other = Echo(lab), Echo(lab, port=8081)
    services = [WEB, Service("other", "tcp", place(BACKEND4, 8081), "0.0.0.0:8081")]
    for lines in ("", 'health = { type = "tcp", interval = "200ms", fall = 2 }'):
        pair = [services[0]._replace(service_lines=lines), services[1]]
        server, client = lab.tunnel(pair)
        expect(answers(lab) and answers(lab, port=8081), "both services answer")
        web.stop()
        if not lines:
            # Nobody asks this backend: the first who is refused finds out.
            expect(not answers(lab), "a backend that is not there answers")
        until(2, "a refused connection", lambda: not connects(lab))
        closed = client.wait("listener-closed", 1)
        expect_equal((closed["service"], closed["cause"]), ("web", "no-backend"), "the event")
        server.wait("backend-down", 1, service="web")
        expect(answers(lab, port=8081), "the other service answers")
        web.again()
        until(3, "an answer", lambda: answers(lab))
        client.wait("listener-opened", 1, service="web")
        server.wait("backend-up", 1, service="web")
        client.stop()
        server.stop()


@case("field: a client that comes later hears that there is no backend", 30)
def late_client(lab):
    echo = Echo(lab)
    echo.stop()
    server = lab.start_server([WEB])
    client = lab.start_client([WEB])
    client.wait("session-up", 5)
    expect(not answers(lab), "an answer without a backend")
    client.wait("listener-closed", 1)
    client.stop()
    client = lab.start_client([WEB])
    client.wait("listener-closed", 3, cause="no-backend")
    expect(not connects(lab), "a connection without a backend")
    echo.again()
    until(3, "an answer", lambda: answers(lab))
    server.wait("backend-up", 1)


@case("field: doubt closes the listener, and trust opens it", 40)
def doubt(lab):
    Echo(lab)
    server = lab.start_server([WEB])
    client = lab.start_client([WEB])
    client.wait("session-up", 5)
    with lab.connect(EDGE4, 8080, seconds=20) as old:
        old.sendall(b"hello")
        peers.read_exactly(old, 5)
        server.process.send_signal(signal.SIGSTOP)
        stopped = time.monotonic()
        old.sendall(b"later")
        until(5, "a refused connection", lambda: not connects(lab))
        took = time.monotonic() - stopped
        expect(took < 4, f"refused after {took:.1f} s")
        expect_equal(client.wait("listener-closed", 1)["cause"], "session-in-doubt", "the cause")
        time.sleep(3)
        expect(not connects(lab), "a connection in doubt")
        server.process.send_signal(signal.SIGCONT)
        # Whoever was connected loses nothing.
        expect_equal(peers.read_exactly(old, 5), b"later", "a connection from before")
    until(3, "an answer", lambda: answers(lab))


@case("field: a server that is killed takes its connections along at once, and comes back", 40)
def killed(lab):
    Echo(lab)
    server = lab.start_server([WEB])
    client = lab.start_client([WEB])
    client.wait("session-up", 5)
    with lab.connect(EDGE4, 8080, seconds=20) as old:
        old.sendall(b"hello")
        peers.read_exactly(old, 5)
        kill(server)
        old.sendall(b"lost")
        took = expect_reset(old, 4, "a connection from before")
        expect(took < 3.5, f"reset after {took:.1f} s")
    until(1, "a refused connection", lambda: not connects(lab))
    client.wait("session-down", 1, reason="session-lost")
    time.sleep(4)
    lab.start_server([WEB])
    until(4, "an answer", lambda: answers(lab))


@case("field: the start and a server's clean restart hold connections for connect_timeout", 60)
def held(lab):
    Echo(lab)
    client = lab.start_client([WEB], 'connect_timeout = "3s"')
    with lab.connect(EDGE4, 8080) as early:
        early.sendall(b"hello")
        server = lab.start_server([WEB])
        expect_equal(peers.read_exactly(early, 5), b"hello", "who came before the server")
    server.stop()
    with lab.connect(EDGE4, 8080) as waiting:
        waiting.sendall(b"hello")
        server = lab.start_server([WEB])
        expect_equal(peers.read_exactly(waiting, 5), b"hello", "who came during the restart")
    server.stop()
    stopped = time.monotonic()
    expect(connects(lab), "refused at once after a goodbye")
    until(5, "a refused connection", lambda: not connects(lab))
    took = time.monotonic() - stopped
    expect(2.5 < took < 4, f"refused after {took:.1f} s")
    expect_equal(client.wait("listener-closed", 1)["cause"], "no-session", "the cause")
    # The same from the start.
    client.stop()
    lab.start_client([WEB], 'connect_timeout = "2s"', name="second")
    expect(connects(lab), "refused at the start")
    until(4, "a refused connection", lambda: not connects(lab))
    lab.start_server([WEB])
    until(4, "an answer", lambda: answers(lab))


@case("field: listeners close and open with several workers, IPv6, port 0 and by reload", 40)
def shapes(lab):
    Echo(lab)
    Echo(lab, BACKEND6)
    dual = Service("six", "tcp", place(BACKEND6, 8080), "[::]:8086")
    chosen = Service("web", "tcp", place(BACKEND4, 8080), "127.0.0.1:0")
    server = lab.start_server([WEB, dual])
    client = lab.start_client([WEB, dual, chosen], "workers = 3")
    client.wait("session-up", 5)
    ports = re.findall(r"127\.0\.0\.1:(\d+)", str(client.find("ready")["listen"]))
    expect_equal(len(ports), 1, "ports that the kernel chose")

    def own() -> bool:
        with lab.open_socket("client", socket.AF_INET, socket.SOCK_STREAM) as probe:
            return probe.connect_ex(("127.0.0.1", int(ports[0]))) == 0

    def tried(question, address: str, port: int) -> list[bool]:
        return [question(lab, address, port) for _ in range(6)]

    for _ in range(2):
        for address, port in ((EDGE4, 8080), (EDGE6, 8086), (EDGE4, 8086)):
            until(5, f"answers at {address}", lambda: all(tried(answers, address, port)))
        expect(own(), "the chosen port is open")
        kill(server)
        # Each worker has a session of its own, and notices by what it is asked for.
        for address, port in ((EDGE4, 8080), (EDGE6, 8086), (EDGE4, 8086)):
            until(20, f"refusal at {address}", lambda: not any(tried(connects, address, port)))
        until(5, "refusal at the chosen port", lambda: not own())
        server = lab.start_server([WEB, dual])
    until(5, "an answer", lambda: answers(lab))
    kill(server)
    until(20, "refusal", lambda: not connects(lab))
    always = WEB._replace(forward_lines='accept_when = "always"')
    lab.write("client.toml", lab.client_text([always, dual, chosen], "workers = 3"))
    client.process.send_signal(signal.SIGHUP)
    client.wait("reload", 3)
    expect(connects(lab), 'refused with accept_when = "always"')
    expect(not connects(lab, EDGE6, 8086), "the other forward's listener is open")
