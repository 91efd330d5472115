"""Single backends are taken out of service and back by command."""

import subprocess
import urllib.parse

import peers
from lab import BACKEND4, EDGE4, Lab, Service, place, until
from programs import UnixHTTPConnection, fetch, metrics
from verdicts import case, expect, expect_equal

ONE, TWO = place(BACKEND4, 8081), place(BACKEND4, 8082)


def web(more: str = "") -> Service:
    return Service("web", "tcp", f'{ONE}", "{TWO}', place(EDGE4, 8080), more)


def order(lab: Lab, *words: str, end: str = "server") -> tuple[int, str]:
    run = subprocess.run(
        [f"{lab.binaries}/fairlead", *words, "--control", lab.control[end]],
        capture_output=True, text=True,
    )  # fmt: skip
    return run.returncode, run.stdout + run.stderr


def post(lab: Lab, target: str, method: str = "POST") -> int:
    connection = UnixHTTPConnection(lab.control["server"])
    connection.request(method, target)
    status = connection.getresponse().status
    connection.close()
    return status


def named(lab: Lab, port: int, name: bytes):
    """A backend that says its name once it is asked."""

    def handle(connection):
        while connection.recv(100):
            connection.sendall(name)

    return peers.TCPBackend(lab, BACKEND4, port, handle)


def said(player) -> bytes:
    player.sendall(b"who")
    return player.recv(10)


def drained(lab: Lab, backend: str) -> float:
    label = f'service="web",backend="{backend}"'
    return metrics(lab.control["server"])[f"fairlead_backend_draining{{{label}}}"]


@case("drain: new players go elsewhere, old ones stay, and a reload changes nothing", seconds=40)
def drain(lab):
    named(lab, 8081, b"one")
    named(lab, 8082, b"two")
    server, _ = lab.tunnel([web()], "workers = 2")
    first, second = lab.connect(EDGE4, 8080), lab.connect(EDGE4, 8080)
    kept = first if said(first) == b"one" else second
    expect_equal({said(first), said(second)}, {b"one", b"two"}, "who serves the first two")
    code, text = order(lab, "drain", "web", ONE)
    expect_equal(code, 0, f"drain: {text}")
    server.wait("backend-drain", 1, backend=ONE, draining="true")
    expect_equal((drained(lab, ONE), drained(lab, TWO)), (1, 0), "fairlead_backend_draining")
    expect('"draining":true' in fetch("/status", lab.control["server"])[1], "/status")
    expect("draining" in order(lab, "status")[1], "`fairlead status` does not show it")
    expect_equal(said(kept), b"one", "a stream of the drained backend")
    for _ in range(4):
        with lab.connect(EDGE4, 8080) as player:
            expect_equal(said(player), b"two", "who serves a new player")
    # It lasts over a reload, even of a service that has changed (whose streams end), while the
    # backend is there.
    for text in (lab.server_text([web()]), lab.server_text([web('balance = "source-hash"')])):
        lab.write("server.toml", text)
        count = len(server.events)
        server.process.send_signal(1)
        server.wait("reload", 5, since=count)
        expect_equal(drained(lab, ONE), 1, "drained after a reload")
        for _ in range(4):
            with lab.connect(EDGE4, 8080) as player:
                expect_equal(said(player), b"two", "who serves after a reload")
    expect_equal(order(lab, "drain", "web", TWO)[0], 0, "draining the last")
    try:
        with lab.connect(EDGE4, 8080) as player:
            answer = said(player)
    except ConnectionResetError:
        answer = b""
    expect_equal(answer, b"", "what a player gets where all drain")
    expect("drain" in server.wait("backend-refused", 2)["cause"], "the cause is not told")
    for backend in (ONE, TWO):
        expect_equal(order(lab, "undrain", "web", backend)[0], 0, "undrain")
    expect_equal((drained(lab, ONE), drained(lab, TWO)), (0, 0), "drained after undrain")


@case("drain: a backend that the configuration no longer has is forgotten")
def forgotten(lab):
    named(lab, 8081, b"one")
    named(lab, 8082, b"two")
    server, _ = lab.tunnel([web()])
    expect_equal(order(lab, "drain", "web", ONE)[0], 0, "drain")
    without = Service("web", "tcp", TWO, place(EDGE4, 8080))
    for service in (without, web()):
        lab.write("server.toml", lab.server_text([service]))
        count = len(server.events)
        server.process.send_signal(1)
        server.wait("reload", 5, since=count)
    expect_equal(drained(lab, ONE), 0, "drained after it was gone")


@case("drain: UDP flows stay where they are, new ones go elsewhere")
def drain_flows(lab):
    one, two = peers.UDPEcho(lab, BACKEND4, 9001), peers.UDPEcho(lab, BACKEND4, 9002)
    places = f'{place(BACKEND4, 9001)}", "{place(BACKEND4, 9002)}'
    lab.tunnel([Service("echo", "udp", places, place(EDGE4, 9000))])
    with lab.udp("player", "10.80.0.2") as old:
        peers.ask(old, b"hello", (EDGE4, 9000))
        mine, other = (one, two) if one.count else (two, one)
        port = 9001 if mine is one else 9002
        expect_equal(order(lab, "drain", "echo", place(BACKEND4, port))[0], 0, "drain")
        for _ in range(3):
            with lab.udp("player", "10.80.0.2") as new:
                peers.ask(new, b"hello", (EDGE4, 9000))
        peers.ask(old, b"again", (EDGE4, 9000))
    expect_equal(len(mine.sources), 1, "players of the drained backend")
    expect(mine.count >= 2, "the old flow went elsewhere")
    expect_equal(len(other.sources), 3, "players of the other backend")


@case("drain: what makes no sense is refused, and only the control socket takes orders")
def refused(lab):
    named(lab, 8081, b"one")
    lab.tunnel([web()], 'admin = "127.0.0.1:9460"')
    code, text = order(lab, "drain", "wbe", ONE)
    expect(code == 1 and "web" in text, f"an unknown service: {code} {text}")
    code, text = order(lab, "drain", "web", place(BACKEND4, 1))
    expect(code == 1 and ONE in text, f"an unknown backend: {code} {text}")
    code, text = order(lab, "drain", "web", ONE, end="client")
    expect(code == 1 and "no backends" in text, f"a client: {code} {text}")
    query = urllib.parse.urlencode({"service": "web", "backend": ONE})
    expect_equal(post(lab, f"/drain?{query}", "GET"), 405, "GET")
    for bad in ("", "?", "?service=web", f"?{query}&x=1", f"?{query}&service=web", "?%zz=1",
                "?service=%ff&backend=%"):  # fmt: skip
        expect_equal(post(lab, f"/drain{bad}"), 400, f"the query {bad}")
    ask = ["ip", "netns", "exec", f"{lab.prefix}-server", "curl", "-s", "-o", "/dev/null", "-w",
           "%{http_code}", "-X", "POST", f"http://127.0.0.1:9460/drain?{query}"]  # fmt: skip
    run = subprocess.run(ask, capture_output=True, text=True)
    expect_equal(run.stdout, "404", "the same over HTTP")
    expect_equal(drained(lab, ONE), 0, "drained by what was refused")
    until(1, "status", lambda: fetch("/live", lab.control["server"])[0] == 200)
