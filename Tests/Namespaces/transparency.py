"""The way back from backends: proven before anybody is served, and gone when the server is."""

import subprocess

import peers
from lab import BACKEND4, EDGE4, PLAYER4, Lab, Service, place, until
from origin import RIGHTS, restoring
from programs import fetch, metrics
from verdicts import case, expect, expect_equal


# The protocol number of the server's rules.
MARK = "proto 70"


def service(name: str = "web", protocol: str = "tcp", port: int = 8080, more: str = "") -> Service:
    lines = f'origin = "transparent"\n{more}'
    return Service(name, protocol, place(BACKEND4, port), place(EDGE4, port), lines)


def routing(lab: Lab) -> str:
    """Every rule of the server's machine, of both families."""
    return "".join(
        subprocess.run(
            ["ip", "-n", f"{lab.prefix}-server", family, "rule", "show"],
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for family in ("-4", "-6")
    )


@case("transparent: rules come with the server and go with it")
def rules_go(lab):
    peers.TCPBackend(lab, BACKEND4, 8080, peers.echo)
    server = lab.start_server([service()], peer=RIGHTS)
    expect(MARK in routing(lab), "the server installed no rule")
    expect_equal(server.stop(), 0, "the exit code")
    # Those that a killed server left behind are gone as well.
    expect(MARK not in routing(lab), f"rules after the end: {routing(lab)}")


@case("transparent: without a way back nobody is served, and it is noticed when there is one")
def fails_closed(lab):
    backend = peers.TCPBackend(lab, BACKEND4, 8080, peers.echo)
    lab.ip("backend", "route", "del", "10.80.0.0/24", "via", "10.80.2.1")
    try:
        text = lab.server_text([service()], peer=RIGHTS)
        server = lab.start("fairlead-server", "server", lab.write("server.toml", text), "server")
        refused = server.wait("return-path", 5, result="refused")
        expect("cure" in refused, "no cure is named")
        client = lab.start_client([service()])
        client.wait("session-up", 5)
        status, body = fetch("/ready", lab.control["server"])
        expect_equal(status, 503, "/ready without a way back")
        expect("no way back" in body, f"/ready does not say why: {body}")
        with lab.connect(EDGE4, 8080, seconds=3) as player:
            try:
                player.sendall(b"hello")
                got = player.recv(5)
            except ConnectionResetError:
                got = b"a reset"
        expect_equal(got, b"a reset", "what the player got")
        expect(not server.find("ready"), "the server says that it is ready")
    finally:
        lab.ip("backend", "route", "add", "10.80.0.0/24", "via", "10.80.2.1")
    server.wait("ready", 15)
    expect_equal(fetch("/ready", lab.control["server"])[0], 200, "/ready with a way back")
    with lab.connect(EDGE4, 8080) as player:
        player.sendall(b"hello")
        expect_equal(player.recv(5), b"hello", "the echo")
        expect_equal(backend.peers[-1], player.getsockname(), "what the backend saw")


@case("transparent: the player's address with a port of the server's choice")
def any_port(lab):
    backend = peers.TCPBackend(lab, BACKEND4, 8080, peers.echo)
    echo = peers.UDPEcho(lab, BACKEND4, 9000)
    more = 'source_port = "any"'
    restoring(lab, [service(more=more), service("echo", "udp", 9000, more)])
    with lab.connect(EDGE4, 8080) as player:
        player.sendall(b"hello")
        expect_equal(player.recv(5), b"hello", "the echo")
    expect_equal(backend.peers[-1][0], PLAYER4, "the address the backend saw")
    with lab.udp("player", PLAYER4) as player:
        peers.ask(player, b"hello", (EDGE4, 9000))
    expect_equal({s[0] for s in echo.sources}, {PLAYER4}, "the address the backend saw by UDP")


@case("transparent: a flow survives its backend's restart, and two players stay apart")
def restart(lab):
    first = peers.UDPEcho(lab, BACKEND4, 9000)
    restoring(lab, [service("echo", "udp", 9000)])
    with lab.udp("player", PLAYER4) as one, lab.udp("player", PLAYER4) as two:
        peers.ask(one, b"one", (EDGE4, 9000))
        peers.ask(two, b"two", (EDGE4, 9000))
        first.stop()
        for _ in range(3):
            one.sendto(b"lost", (EDGE4, 9000))
        second = peers.UDPEcho(lab, BACKEND4, 9000)
        peers.ask(one, b"again", (EDGE4, 9000))
        peers.ask(two, b"again", (EDGE4, 9000))
        owns = {one.getsockname(), two.getsockname()}
    expect_equal(set(second.sources), owns, "what the backend saw")


@case("backends: the one that refuses is down, the other serves, and both are told")
def refused(lab):
    peers.TCPBackend(lab, BACKEND4, 8080, peers.echo)
    echo = Service(
        "web",
        "tcp",
        place(BACKEND4, 8080) + '", "' + place(BACKEND4, 8081),
        place(EDGE4, 8080),
        'health = { type = "tcp", interval = "200ms", timeout = "200ms", rise = 1, fall = 2 }',
    )
    server, _ = lab.tunnel([echo])
    server.wait("backend-down", 3, backend=place(BACKEND4, 8081))

    def up(port: int):
        label = f'service="web",backend="{place(BACKEND4, port)}"'
        return metrics(lab.control["server"])[f"fairlead_backend_up{{{label}}}"]

    # The worker counts a refusal at once, the page hears of it by mail.
    until(2, "fairlead_backend_up", lambda: (up(8080), up(8081)) == (1, 0))
    for _ in range(4):
        with lab.connect(EDGE4, 8080) as player:
            player.sendall(b"hello")
            expect_equal(player.recv(5), b"hello", "the echo")
    peers.TCPBackend(lab, BACKEND4, 8081, peers.echo)
    server.wait("backend-up", 3, backend=place(BACKEND4, 8081))
    until(2, "fairlead_backend_up", lambda: up(8081) == 1)
