#!/usr/bin/env python3
"""Transparent sockets and their return path, in namespaces; as root.

    Tests/Namespaces/origin_routes.py [--bin FOLDER] [PATTERN…]

Drives `testkit return-path-peer`, and prints a line per test and a sum, as run.sh does.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile

from origin_lab import Namespaces, OriginLab, place
from verdicts import Skipped, case, expect, expect_equal, run_all

PLAYER4, PLAYER6 = "198.51.100.7", "2001:db8:5::7"
# name, where the backend runs, what it binds, what is dialled
PLACES = [
    ("loopback", "server", "127.0.0.1", "127.0.0.1"),
    ("loopback", "server", "::1", "::1"),
    ("own-address", "server", "10.77.0.2", "10.77.0.2"),
    ("own-address", "server", "fd77::2", "fd77::2"),
    ("any-by-loopback", "server", "0.0.0.0", "127.0.0.1"),
    ("any-by-loopback", "server", "::", "::1"),
    ("any-by-own-address", "server", "0.0.0.0", "10.77.0.2"),
    ("any-by-own-address", "server", "::", "fd77::2"),
    ("other-machine", "backend", "10.78.0.2", "10.78.0.2"),
    ("other-machine", "backend", "fd78::2", "fd78::2"),
    ("other-machine-any", "backend", "0.0.0.0", "10.78.0.2"),
    ("other-machine-any", "backend", "::", "fd78::2"),
]


def player_for(address: str) -> str:
    return PLAYER6 if ":" in address else PLAYER4


def converse(lab: OriginLab, peer, protocol: str, dialled: str, port: int, source: int = 40000):
    verb = "stream" if protocol == "tcp" else "flow"
    player = place(player_for(dialled), source)
    answer = peer.ask(f"{verb} {player} {place(dialled, port)} keep 1")
    expect_equal(answer, [f"reply {player}"], f"{protocol} to {place(dialled, port)}")


def register(name: str, where: str, bind: str, dialled: str, protocol: str):
    version = 6 if ":" in bind else 4

    @case(f"origin-{protocol}{version}-{name}", 15)
    def backend_sees_the_player(lab):
        backend = lab.echo(where, protocol, bind, 5000)
        leaks = lab.leaks()
        peer = lab.peer()
        peer.expect_ready(f"{protocol}/{place(dialled, 5000)}")
        converse(lab, peer, protocol, dialled, 5000)
        expect_equal(backend.seen, [(player_for(dialled), 40000)], "what the backend saw")
        # A backend that goes down must not tell the player so by itself.
        backend.close()
        verb = "stream" if protocol == "tcp" else "flow"
        down = peer.ask(f"{verb} {place(player_for(dialled), 41000)} {place(dialled, 5000)} keep 1")
        expect("reply" not in down[0], f"a closed backend answers: {down}")
        expect_equal(leaks.found(), [], "packets on the outer wire")


for _place in PLACES:
    for _protocol in ("tcp", "udp"):
        register(*_place, _protocol)


@case("origin-refused-backend-is-heard")
def refused_backend_is_heard(lab):
    """Port unreachable and RST come back to the spoofed socket."""
    peer = lab.peer()
    dialled = ["127.0.0.1", "::1", "10.77.0.2", "fd77::2"]
    for protocol in ("tcp", "udp"):
        for address in dialled:
            peer.expect_ready(f"{protocol}/{place(address, 5999)}")
            verb = "stream" if protocol == "tcp" else "flow"
            player = place(player_for(address), 42000)
            answer = peer.ask(f"{verb} {player} {place(address, 5999)} keep 1")
            expect("refused" in answer[0], f"{protocol} {address}: {answer}")


@case("origin-direct-clients-of-a-loopback-dialled-stream-stay")
def direct_clients_stay(lab):
    import socket

    lab.echo("server", "tcp", "0.0.0.0", 5000)
    peer = lab.peer()
    peer.expect_ready("tcp/127.0.0.1:5000")
    with lab.spaces.inside("world"):
        client = socket.create_connection(("10.77.0.2", 5000), timeout=3)
    client.send(b"x")
    expect(client.recv(100).startswith(b"10.77.0.1:"), "a direct client is not served")


@case("origin-backend-keeps-its-internet")
def backend_keeps_internet(lab):
    import socket

    lab.spaces.sysctl("server", "net.ipv4.ip_forward", "1")
    try:
        lab.echo("backend", "udp", "10.78.0.2", 5000)
        lab.echo("world", "udp", "10.77.0.1", 7000)
        lab.spaces.ip("world", "route", "add", "10.78.0.0/24", "via", "10.77.0.2")
        peer = lab.peer()
        peer.expect_ready("udp/10.78.0.2:5000")
        with lab.spaces.inside("backend"):
            client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        client.settimeout(3)
        client.sendto(b"x", ("10.77.0.1", 7000))
        expect(client.recv(100).startswith(b"10.78.0.2:"), "the backend has lost the world")
    finally:
        lab.spaces.sysctl("server", "net.ipv4.ip_forward", "0")
        lab.spaces.ip("world", "route", "del", "10.78.0.0/24")


@case("origin-kill-then-restart-reclaims")
def kill_then_restart(lab):
    lab.echo("server", "udp", "0.0.0.0", 5000)
    first = lab.peer()
    first.expect_ready("udp/127.0.0.1:5000", "tcp/[::1]:5001")
    expect(lab.spaces.state() != lab.before, "nothing was installed")
    first.kill()
    expect(lab.spaces.state() != lab.before, "a kill leaves things behind, or this tests nothing")
    second = lab.peer()
    second.expect_ready("udp/127.0.0.1:5000")
    converse(lab, second, "udp", "127.0.0.1", 5000)


@case("origin-instances-live-side-by-side")
def instances_side_by_side(lab):
    lab.echo("server", "udp", "0.0.0.0", 5000)
    lab.echo("server", "udp", "0.0.0.0", 5001)
    first, second = lab.peer(), lab.peer()
    first.expect_ready("udp/127.0.0.1:5000")
    second.expect_ready("udp/127.0.0.1:5000", "udp/10.77.0.2:5001")
    converse(lab, first, "udp", "127.0.0.1", 5000, 40001)
    first.close()
    converse(lab, second, "udp", "127.0.0.1", 5000, 40002)
    converse(lab, second, "udp", "10.77.0.2", 5001, 40003)
    # A second one of ours ends without a trace of the first.
    second.kill()
    third = lab.peer()
    third.expect_ready("udp/127.0.0.1:5000")


@case("origin-a-new-set-of-backends-replaces-the-old")
def new_set_of_backends(lab):
    lab.echo("server", "udp", "0.0.0.0", 5000)
    lab.echo("backend", "udp", "0.0.0.0", 5000)
    peer = lab.peer()
    peer.expect_ready("udp/127.0.0.1:5000")
    peer.expect_ready("udp/10.78.0.2:5000")
    converse(lab, peer, "udp", "10.78.0.2", 5000)
    answer = peer.ask(f"flow {PLAYER4}:40000 127.0.0.1:5000 keep 1")
    expect("notReady" in answer[0], f"a backend that is gone is dialled: {answer}")
    peer.expect_ready("udp/[::1]:5000", "udp/127.0.0.1:5000")
    converse(lab, peer, "udp", "127.0.0.1", 5000, 40009)


@case("origin-flushed-rules-come-back")
def flushed_rules(lab):
    lab.echo("server", "udp", "0.0.0.0", 5000)
    peer = lab.peer()
    peer.expect_ready("udp/127.0.0.1:5000", "udp/[::1]:5000")
    expect_equal(peer.ask("check"), [], "news without a change")
    lab.spaces.ip("server", "rule", "flush", "protocol", "70")
    lab.spaces.ip("server", "-6", "route", "flush", "proto", "70", "table", "all")
    repaired = peer.ask("check")
    expect("repaired" in repaired[0], f"nothing was repaired: {repaired}")
    converse(lab, peer, "udp", "127.0.0.1", 5000)
    expect_equal(peer.ask("check"), [], "its own repair is no news")


@case("origin-a-rule-before-ours-is-found")
def shadowed_rule(lab):
    lab.echo("server", "udp", "0.0.0.0", 5000)
    peer = lab.peer()
    peer.expect_ready("udp/127.0.0.1:5000")
    lab.spaces.ip("server", "rule", "add", "pref", "5", "iif", "lo", "lookup", "main")
    try:
        news = peer.ask("check")
        expect(news and "rule 5 comes before ours" in news[0], f"not told: {news}")
        answer = peer.ask(f"flow {PLAYER4}:40000 127.0.0.1:5000 keep 1")
        expect("notReady" in answer[0], f"a leaking backend is dialled: {answer}")
    finally:
        lab.spaces.ip("server", "rule", "del", "pref", "5")
    news = peer.ask("retry")
    expect(news and news[0].startswith("ready"), f"not recovered: {news}")


@case("origin-a-backend-that-routes-elsewhere-is-refused")
def routes_elsewhere(lab):
    lab.echo("backend", "tcp", "0.0.0.0", 5000)
    lab.echo("backend", "udp", "0.0.0.0", 5001)
    lab.spaces.ip("backend", "route", "del", "default")
    peer = lab.peer()
    backends = ("tcp/10.78.0.2:5000", "udp/10.78.0.2:5001", "udp/10.78.0.2:5001?who")
    try:
        for backend in backends:
            verdict = peer.prepare(backend)
            expect(verdict[0].startswith("refused"), f"served all the same: {verdict}")
            expect("via 10.78.0.1" in verdict[0], f"no cure: {verdict}")
    finally:
        lab.spaces.ip("backend", "route", "add", "default", "via", "10.78.0.1")
    news = peer.ask("retry")
    expect(news and news[0].startswith("ready"), f"not recovered: {news}")


@case("origin-modes-print-and-off-change-nothing")
def print_and_off(lab):
    import shlex

    lab.echo("server", "udp", "0.0.0.0", 5000)
    for mode in ("off", "print"):
        peer = lab.peer()
        answer = peer.prepare("udp/127.0.0.1:5000", mode=mode)
        expect_equal(lab.spaces.state(), lab.before, f"{mode} changes")
        expect("refused" in answer[-1] and "missing" in answer[-1], f"{mode}: {answer}")
    commands = [line.partition('"')[2].rstrip('")') for line in answer if "event command" in line]
    expect(len(commands) == 3, f"commands: {commands}")
    try:
        for command in commands:
            lab.spaces.ip("server", *shlex.split(command)[1:])
        news = peer.ask("retry")
        expect(news and news[0].startswith("ready"), f"the commands do not suffice: {news}")
        converse(lab, peer, "udp", "127.0.0.1", 5000)
    finally:
        for command in commands:
            lab.spaces.ip("server", *shlex.split(command.replace(" add ", " del "))[1:])


@case("origin-missing-capabilities-are-named")
def missing_capabilities(lab):
    lab.echo("server", "tcp", "127.0.0.1", 5000)

    def refusal(*drop: str) -> str:
        names = ",".join(f"-{name}" for name in drop)
        peer = lab.peer("setpriv", f"--bounding-set={names}", f"--inh-caps={names}")
        verdict = peer.prepare("tcp/127.0.0.1:5000")[0]
        # The rules of one would serve the next.
        peer.close()
        return verdict

    expect("CAP_NET_RAW" in refusal("net_raw", "net_admin"), "CAP_NET_RAW is not named")
    only_admin = refusal("net_raw")
    expect(only_admin.startswith("ready"), f"CAP_NET_ADMIN alone suffices: {only_admin}")
    text = refusal("net_admin")
    expect("CAP_NET_ADMIN" in text and "CAP_NET_RAW" not in text, f"CAP_NET_ADMIN: {text}")
    peer = lab.peer("setpriv", "--bounding-set=-net_bind_service", "--inh-caps=-net_bind_service")
    peer.expect_ready("tcp/127.0.0.1:5000")
    low = f"{PLAYER4}:99 127.0.0.1:5000"
    expect("CAP_NET_BIND_SERVICE" in peer.ask(f"stream {low} keep 1")[0], "port 99 is kept")
    expect("reply" in peer.ask(f"stream {low} keep-or-any 1")[0], "port 99 has no substitute")


@case("origin-ports-and-duplicates")
def ports_and_duplicates(lab):
    lab.echo("server", "tcp", "127.0.0.1", 5000)
    lab.echo("server", "udp", "127.0.0.1", 5000)
    lab.echo("server", "udp", "127.0.0.1", 5001)
    peer = lab.peer()
    peer.expect_ready("tcp/127.0.0.1:5000", "udp/127.0.0.1:5000", "udp/127.0.0.1:5001")
    pair = f"{PLAYER4}:40000 127.0.0.1:5000"
    own = f"reply {PLAYER4}:40000"
    expect_equal(peer.ask(f"stream {pair} keep 1"), [own], "the first stream")
    expect("inUse" in peer.ask(f"stream {pair} keep 1")[0], "the same stream twice")
    other = peer.ask(f"stream {pair} keep-or-any 1")[0]
    expect(other.startswith(f"reply {PLAYER4}:") and other != own, f"keep-or-any: {other}")
    any_port = peer.ask(f"stream {pair} any 1")[0]
    expect(any_port.startswith(f"reply {PLAYER4}:") and any_port != own, f"any: {any_port}")
    expect_equal(peer.ask(f"flow {pair} keep 1"), [own], "the first flow")
    second = peer.ask(f"flow {PLAYER4}:40000 127.0.0.1:5001 keep 1")
    expect_equal(second, [own], "one player, two backends")
    expect("flowExists" in peer.ask(f"flow {pair} keep 2")[0], "another peer steals the flow")
    expect_equal(peer.ask(f"flow {pair} keep 1"), [own], "the same peer opens its flow anew")
    moved = peer.ask(f"flow {pair} keep-or-any 2")[0]
    expect(moved.startswith(f"reply {PLAYER4}:") and moved != own, f"keep-or-any: {moved}")
    for bad in ("127.0.0.1:9", "224.0.0.1:9", "198.51.100.7:0", f"[{PLAYER6}]:9"):
        answer = peer.ask(f"stream {bad} 127.0.0.1:5000 keep 1")
        expect(answer[0].startswith("error"), f"{bad} was taken: {answer}")


@case("origin-a-health-query-is-asked-both-ways")
def health_query(lab):
    lab.echo("backend", "udp", "0.0.0.0", 5001)
    lab.echo("server", "udp", "0.0.0.0", 5002)
    peer = lab.peer()
    peer.expect_ready("udp/10.78.0.2:5001?who", "udp/127.0.0.1:5002?who", "udp/10.77.0.2:5003?who")


@case("origin-reverse-path-filters-do-not-matter", 40)
def reverse_path_filters(lab):
    lab.echo("server", "udp", "0.0.0.0", 5000)
    lab.echo("backend", "tcp", "0.0.0.0", 5000)
    for value in ("1", "2", "0"):
        for key in ("all", "lo", "inside"):
            lab.spaces.sysctl("server", f"net.ipv4.conf.{key}.rp_filter", value)
        peer = lab.peer()
        peer.expect_ready("udp/127.0.0.1:5000", "tcp/10.78.0.2:5000")
        converse(lab, peer, "udp", "127.0.0.1", 5000)
        converse(lab, peer, "tcp", "10.78.0.2", 5000)
        peer.close()


@case("origin-a-backend-that-moves-to-another-interface-is-followed")
def moved_backend(lab):
    lab.echo("backend", "tcp", "0.0.0.0", 5000)
    peer = lab.peer()
    peer.expect_ready("tcp/10.78.0.2:5000")
    lab.spaces.ip("server", "route", "add", "10.78.0.2/32", "via", "10.77.0.1")
    try:
        news = peer.ask("check")
        expect("refused" in news[-1], f"still served: {news}")
    finally:
        lab.spaces.ip("server", "route", "del", "10.78.0.2/32")
    news = peer.ask("retry")
    expect("ready" in news[-1], f"not recovered: {news}")
    converse(lab, peer, "tcp", "10.78.0.2", 5000)


@case("origin-a-machine-that-is-down-is-told-from-one-that-routes-elsewhere")
def machine_is_down(lab):
    peer = lab.peer()
    for protocol in ("tcp", "udp"):
        verdict = peer.prepare(f"{protocol}/10.78.0.99:5000")[0]
        expect(verdict.startswith("refused") and "at all" in verdict, verdict)


@case("origin-the-leak-test-sees-leaks")
def leak_test_sees_leaks(lab):
    """Without rules the reply of a backend bound to every address leaves for the player."""
    import socket

    lab.echo("server", "udp", "0.0.0.0", 5000)
    leaks = lab.leaks()
    with lab.spaces.inside("server"):
        spoofed = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    spoofed.setsockopt(socket.SOL_IP, 19, 1)  # IP_TRANSPARENT
    spoofed.bind((PLAYER4, 40000))
    spoofed.sendto(b"who", ("127.0.0.1", 5000))
    found = leaks.found()
    expect(f"10.77.0.2 -> {PLAYER4}" in found[0] if found else False, f"leaks: {found}")


def server_file(lab, services: str, routes: str = "auto") -> str:
    folder = tempfile.mkdtemp(prefix="origin-", dir=lab.folder)
    program = os.path.join(os.path.dirname(lab.program), "fairlead")
    key = subprocess.run([program, "keygen", f"{folder}/key"], capture_output=True, text=True)
    path = f"{folder}/server.toml"
    with open(path, "w") as file:
        file.write(
            f'listen = "0.0.0.0:4600"\nprivate_key = "key"\nroutes = "{routes}"\n'
            f'[[peer]]\nname = "edge"\npublic_key = "{key.stdout.strip()}"\nservices = ["*"]\n'
            f'origins = ["0.0.0.0/0", "::/0"]\n{services}'
        )
    return path


def transparent(name: str, protocol: str, *backends: str) -> str:
    quoted = ", ".join(f'"{backend}"' for backend in backends)
    return (
        f'[[service]]\nname = "{name}"\nprotocol = "{protocol}"\nbackends = [{quoted}]\n'
        'origin = "transparent"\n'
    )


def fairlead(lab, *arguments: str, wrapper: tuple = ()) -> subprocess.CompletedProcess:
    program = os.path.join(os.path.dirname(lab.program), "fairlead")
    if not os.access(program, os.X_OK):
        raise Skipped("fairlead is not built")
    command = ["ip", "netns", "exec", f"{lab.spaces.prefix}-server", *wrapper, program, *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=15)


@case("origin-doctor-finds-what-is-wrong", 30)
def doctor_finds(lab):
    lab.echo("server", "tcp", "0.0.0.0", 5000)
    lab.echo("backend", "udp", "0.0.0.0", 5001)
    good = transparent("a", "tcp", "127.0.0.1:5000", "[::1]:5000")
    good += transparent("b", "udp", "10.78.0.2:5001", "[fd78::2]:5001")
    path = server_file(lab, good)
    run = fairlead(lab, "doctor", "--server", path, "--json")
    report = json.loads(run.stdout)
    expect(run.returncode == 0 and report["ok"], run.stdout + run.stderr)
    checks = [finding["check"] for finding in report["findings"]]
    expect("backend [fd78::2]:5001/udp" in checks, f"not probed: {checks}")
    expect_equal(lab.spaces.state(), lab.before, "the doctor leaves something behind")

    lab.spaces.ip("backend", "route", "del", "default")
    try:
        run = fairlead(lab, "doctor", "--server", path)
        expect_equal(run.returncode, 1, "exit code for a backend that routes elsewhere")
        expect("ip route replace default via 10.78.0.1" in run.stdout, run.stdout)
    finally:
        lab.spaces.ip("backend", "route", "add", "default", "via", "10.78.0.1")

    weak = ("setpriv", "--bounding-set=-net_raw,-net_admin", "--inh-caps=-net_raw,-net_admin")
    run = fairlead(lab, "doctor", "--server", path, wrapper=weak)
    expect_equal(run.returncode, 1, "exit code without capabilities")
    expect("CAP_NET_RAW" in run.stdout and "cure:" in run.stdout, run.stdout)
    admin = ("setpriv", "--bounding-set=-net_raw", "--inh-caps=-net_raw")
    run = fairlead(lab, "doctor", "--server", path, wrapper=admin)
    expect_equal(run.returncode, 0, f"exit code with CAP_NET_ADMIN alone: {run.stdout}")
    run = fairlead(lab, "doctor", "--server", path, "--read-only")
    expect(run.returncode == 1 and "is missing" in run.stdout, run.stdout)


@case("origin-routes-are-printed-and-removed")
def routes_printed_and_removed(lab):
    lab.echo("server", "udp", "0.0.0.0", 5000)
    path = server_file(lab, transparent("a", "udp", "127.0.0.1:5000", "[::1]:5000"), "off")
    run = fairlead(lab, "routes", "print", "--server", path)
    commands = [line.split() for line in run.stdout.splitlines()]
    expect_equal(len(commands), 6, "commands")
    for command in commands:
        lab.spaces.ip("server", *command[1:])
    try:
        run = fairlead(lab, "doctor", "--server", path)
        expect_equal(run.returncode, 0, f"the commands do not suffice: {run.stdout}")
    finally:
        for command in commands:
            lab.spaces.ip("server", *[word.replace("add", "del") for word in command[1:]])
    peer = lab.peer()
    peer.expect_ready("udp/127.0.0.1:5000")
    run = fairlead(lab, "routes", "remove")
    expect_equal(run.stdout.strip(), "nothing to remove", "while the process lives")
    converse(lab, peer, "udp", "127.0.0.1", 5000)
    peer.kill()
    run = fairlead(lab, "routes", "remove")
    expect_equal(run.stdout.strip(), "removed 3", "after a kill")


def main() -> int:
    root = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../..")
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bin", default=os.path.join(root, ".build/release"))
    parser.add_argument("patterns", nargs="*")
    options = parser.parse_args()
    program = os.path.abspath(os.path.join(options.bin, "testkit"))
    if os.geteuid() != 0 or not os.access(program, os.X_OK):
        print(f"skip everything: needs root and {program}")
        print("return-path: 0 passed, 0 failed, 1 skipped")
        return 0
    with Namespaces(f"fo{os.getpid()}") as spaces, tempfile.TemporaryDirectory() as folder:
        make_lab = lambda _: OriginLab(spaces, program, folder)  # noqa: E731
        return run_all(make_lab, options.patterns, "return-path")


if __name__ == "__main__":
    sys.exit(main())
