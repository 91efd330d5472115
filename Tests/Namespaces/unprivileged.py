"""A server with few rights, and the control thread's manners."""

import contextlib
import os
import signal
import subprocess
import time

import peers
from lab import BACKEND4, BACKEND6, EDGE4, EDGE6, PLAYER4, PLAYER6, Lab, Service, place, until
from origin import RIGHTS
from programs import Program, fetch, metrics
from verdicts import case, expect, expect_equal

NOBODY = 65534
RAW = ("+net_raw",)


def transparent(edge: str, backend: str, protocol: str, name: str) -> Service:
    port = 8080 if protocol == "tcp" else 9000
    lines = 'origin = "transparent"'
    return Service(name, protocol, place(backend, port), place(edge, port), lines)


ALL = [
    transparent(EDGE4, BACKEND4, "tcp", "web"), transparent(EDGE6, BACKEND6, "tcp", "web6"),
    transparent(EDGE4, BACKEND4, "udp", "echo"), transparent(EDGE6, BACKEND6, "udp", "echo6"),
]  # fmt: skip


def start_as_nobody(lab: Lab, services: list[Service], top: str, *rights: str) -> Program:
    """A server that is no root, with these ambient capabilities alone."""
    config = lab.write("server.toml", lab.server_text(services, top, RIGHTS))
    os.chown(f"{lab.folder}/server.key", NOBODY, NOBODY)
    # The scratch folder is root's alone.
    for folder in (lab.folder, os.path.dirname(lab.folder)):
        os.chmod(folder, 0o777)
    held = ",".join(rights)
    drop = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]
    drop += [f"--inh-caps={held}", f"--ambient-caps={held}"] if held else ["--inh-caps=-all"]
    arguments = [
        "ip", "netns", "exec", f"{lab.prefix}-server", *drop, f"{lab.binaries}/fairlead-server",
        "--config", config, "--log-format", "json", "--log-level", "debug",
    ]  # fmt: skip
    program = Program(arguments, "server", lab.folder)
    lab.programs.append(program)
    return program


def routes(lab: Lab, *words: str) -> str:
    run = subprocess.run(
        ["ip", "netns", "exec", f"{lab.prefix}-server", f"{lab.binaries}/fairlead", "routes",
         *words],
        capture_output=True, text=True, cwd=lab.folder,
    )  # fmt: skip
    expect_equal(run.returncode, 0, f"routes {words}: {run.stdout}{run.stderr}")
    return run.stdout


def play(lab: Lab, backends: dict):
    for edge, own, name in ((EDGE4, PLAYER4, "4"), (EDGE6, PLAYER6, "6")):
        with lab.connect(edge, 8080) as player:
            player.sendall(b"hello")
            expect_equal(player.recv(5), b"hello", "the echo")
            expect_equal(backends["tcp" + name].peers[-1][:2], player.getsockname()[:2], "TCP")
        with lab.udp("player", own) as player:
            peers.ask(player, b"hello", (edge, 9000))
            seen = {s[:2] for s in backends["udp" + name].sources}
            expect((own, player.getsockname()[1]) in seen, f"what the UDP backend saw: {seen}")


def start_backends(lab: Lab) -> dict:
    return {
        "tcp4": peers.TCPBackend(lab, BACKEND4, 8080, peers.echo),
        "tcp6": peers.TCPBackend(lab, BACKEND6, 8080, peers.echo),
        "udp4": peers.UDPEcho(lab, BACKEND4, 9000),
        "udp6": peers.UDPEcho(lab, BACKEND6, 9000),
    }


@contextlib.contextmanager
def quick_proof(lab: Lab):
    """The backend's way back leads to the server's test addresses too: no probe has to wait."""
    lab.ip("backend", "route", "add", "192.0.2.1", "via", "10.80.2.1")
    lab.ip("backend", "-6", "route", "add", "2001:db8::1", "via", "fd80:2::1")
    try:
        yield
    finally:
        lab.ip("backend", "route", "del", "192.0.2.1")
        lab.ip("backend", "-6", "route", "del", "2001:db8::1")


def end_to_end(lab: Lab, top: str):
    backends = start_backends(lab)
    server = start_as_nobody(lab, ALL, top, *RAW)
    server.wait("ready", 5)
    status = open(f"/proc/{server.pid}/status").read()
    expect(f"Uid:\t{NOBODY}" in status, "the server is root")
    expect("CapEff:\t0000000000002000" in status, "the server has more than CAP_NET_RAW")
    client = lab.start_client(ALL)
    client.wait("session-up", 5)
    play(lab, backends)
    # Killed and started again: nothing has to be installed anew.
    server.close()
    server = start_as_nobody(lab, ALL, top, *RAW)
    server.wait("ready", 5)
    with lab.udp("player", PLAYER4) as player:
        peers.ask(player, b"notices the restart", (EDGE4, 9000))
    play(lab, backends)
    expect_equal(server.stop(), 0, "the exit code")


@case("unprivileged: nobody with CAP_NET_RAW serves over routes installed before", seconds=60)
def nobody(lab):
    lab.write("server.toml", lab.server_text(ALL, peer=RIGHTS))
    try:
        expect("added" in routes(lab, "install", "--server", "server.toml"), "install")
        again = routes(lab, "install", "--server", "server.toml")
        expect_equal(again.strip(), "added 0, removed 0", "installing again")
        # routes = "auto" finds that it may not, and that it need not.
        with quick_proof(lab):
            end_to_end(lab, "")
        fewer = ALL[:1]
        lab.write("server.toml", lab.server_text(fewer, peer=RIGHTS))
        fewer_rules = routes(lab, "install", "--server", "server.toml")
        expect("added 0, removed" in fewer_rules and "removed 0" not in fewer_rules, fewer_rules)
    finally:
        routes(lab, "remove", "--installed")
    expect_equal(routes(lab, "remove", "--installed").strip(), "nothing to remove", "the rest")


@case("unprivileged: the same with the printed commands and routes = \"print\"", seconds=60)
def nobody_printed(lab):
    lab.write("server.toml", lab.server_text(ALL, 'routes = "print"', RIGHTS))
    script = routes(lab, "print", "--server", "server.toml")
    run = ["ip", "netns", "exec", f"{lab.prefix}-server", "sh", "-e"]
    done = subprocess.run(run, input=script, text=True, capture_output=True)
    expect_equal(done.returncode, 0, f"the printed commands: {done.stderr}")
    try:
        with quick_proof(lab):
            end_to_end(lab, 'routes = "print"')
    finally:
        routes(lab, "remove", "--installed")


@case("unprivileged: without CAP_NET_RAW it stays up, serves nobody, and says what to do")
def no_right(lab):
    start_backends(lab)
    server = start_as_nobody(lab, ALL[:1], "")
    told = server.wait("not-ready", 5)
    expect("CAP_NET_RAW" in told["cause"] and "AmbientCapabilities" in told["cause"], f"{told}")
    status, body = fetch("/ready", lab.control["server"])
    expect_equal(status, 503, "/ready")
    expect("CAP_NET_RAW" in body, f"/ready does not say why: {body}")
    expect(not server.find("ready"), "it says that it is ready")
    expect_equal(server.stop(), 0, "the exit code")
    # With the right, but neither the other one nor routes: another line.
    server = start_as_nobody(lab, ALL[:1], "", *RAW)
    told = server.wait("not-ready", 5)
    expect("routes install" in told["cause"], f"what to do: {told}")
    # Somebody installs them, and it is noticed.
    lab.write("server.toml", lab.server_text(ALL[:1], peer=RIGHTS))
    try:
        with quick_proof(lab):
            routes(lab, "install", "--server", "server.toml")
            server.wait("ready", 5)
        count = len(server.events)
    finally:
        routes(lab, "remove", "--installed")
    # And somebody removes them: nobody is served from then on.
    told = server.wait("return-path", 5, result="refused", since=count)
    expect("routes install" in told["cure"], f"what to do: {told}")
    expect_equal(fetch("/ready", lab.control["server"])[0], 503, "/ready without routes")


@case("a silent backend does not hold up the end of the server", seconds=40)
def prompt_end(lab):
    # Its machine takes packets and answers nothing, so every probe waits as long as it may.
    rule = ["ip", "netns", "exec", f"{lab.prefix}-backend", "nft"]
    table = "add table inet dead; add chain inet dead in { type filter hook input priority 0; }"
    subprocess.run([*rule, f"{table}; add rule inet dead in meta l4proto tcp drop"], check=True)
    try:
        config = lab.write("server.toml", lab.server_text(ALL[:1], peer=RIGHTS))
        for delay in (0.2, 0.8):
            server = lab.start("fairlead-server", "server", config, "server")
            time.sleep(delay)
            start = time.monotonic()
            expect_equal(server.stop(seconds=4), 0, "the exit code")
            took = time.monotonic() - start
            expect(took < 1, f"SIGTERM after {delay} s took {took:.2f} s")
        # A SIGHUP is not lost in the middle of a probe, and does not end it.
        server = lab.start("fairlead-server", "server", config, "server")
        time.sleep(0.3)
        server.process.send_signal(signal.SIGHUP)
        server.wait("not-ready", 3)
        server.wait("reload", 3)
        expect_equal(server.stop(seconds=4), 0, "the exit code")
    finally:
        subprocess.run([*rule, "delete table inet dead"], check=True)


@case("own addresses: one that the server gets while it runs is nobody's origin any more")
def own_addresses(lab):
    got: list[bytes] = []
    peers.TCPBackend(lab, BACKEND4, 8080, lambda c: got.append(c.recv(200)))
    lines = 'accept = "proxy-v1"\ntrusted = ["10.80.0.0/24"]'
    web = Service("web", "tcp", place(BACKEND4, 8080), place(EDGE4, 8080),
                  'origin = "proxy-v1"', lines)  # fmt: skip
    rights = 'services = ["*"]\norigins = ["0.0.0.0/0", "::/0"]\n'
    server = lab.start_server([web], peer=rights)
    lab.start_client([web]).wait("session-up", 5)

    def claim(address: str) -> bool:
        """Whether the backend is shown it."""
        family = "TCP6" if ":" in address else "TCP4"
        edge = EDGE6 if ":" in address else EDGE4
        count = len(got)
        with lab.connect(EDGE4, 8080, seconds=3) as proxy:
            proxy.sendall(f"PROXY {family} {address} {edge} 1000 80\r\nhello".encode())
            try:
                proxy.recv(1)
            except (ConnectionResetError, TimeoutError):
                return False
        until(1, "the backend's bytes", lambda: len(got) > count)
        return True

    for address, bits in (("203.0.113.77", 32), ("2001:db8:77::77", 128)):
        expect(claim(address), f"{address} is refused before it is the server's")
        lab.ip("server", "addr", "add", f"{address}/{bits}", "dev", "lo")
        try:
            until(2, f"{address} refused", lambda address=address: not claim(address))
        finally:
            lab.ip("server", "addr", "del", f"{address}/{bits}", "dev", "lo")
        until(2, f"{address} served again", lambda address=address: claim(address))
    refused = metrics(lab.control["server"])['fairlead_drops_total{reason="origin-forbidden"}']
    expect(refused >= 2, f"refusals counted: {refused}")
    before = server.context_switches()
    time.sleep(2)
    switches = server.context_switches() - before
    expect(switches <= 5, f"{switches} wake-ups in 2 s of nothing")
