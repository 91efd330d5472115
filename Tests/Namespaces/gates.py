"""What restoring origins may cost: memory, processor time and datagrams, counted under load.

Counts are gated exactly, costs with the slack that a busy machine needs; how long something took
by the clock is printed in a failure and never the failure.
"""

import os

from lab import Service, place
from programs import metrics
from swarm import Swarm, cpu_seconds, kernel_drops, own_bytes, players
from verdicts import case, expect, expect_equal

KIBIBYTE = 1024
# Players of these networks live in the client's namespace and the backend on the server's
# loopback, so that nothing but the tunnel itself is between them.
PLAYERS4, PLAYERS6 = "10.81.0.0/16", "fd81::/64"
RIGHTS = f'services = ["*"]\norigins = ["{PLAYERS4}", "{PLAYERS6}"]\n'


def settle(lab):
    for network in (PLAYERS4, PLAYERS6):
        lab.ip("client", "route", "replace", "local", network, "dev", "lo")


def game(lab, backend: str, edge: str, lines: str = ""):
    """A transparent UDP service and the two ends of its tunnel."""
    lines = f'origin = "transparent"\n{lines}'
    service = Service("game", "udp", place(backend, 9000), place(edge, 9000), lines)
    server = lab.start_server([service], peer=RIGHTS)
    client = lab.start_client([service])
    client.wait("session-up", 5)
    return server, client


def drops(lab) -> dict[str, float]:
    """What either end has thrown away so far, by end and reason."""
    return {
        f"{end} {name}": count
        for end in ("server", "client")
        for name, count in metrics(lab.control[end]).items()
        if name.startswith("fairlead_drops_total") and count
    }


def greet(swarm: Swarm, first: int, last: int, pid: int) -> float:
    """Processor seconds it costs a program that these players say one thing each."""
    before = cpu_seconds(pid)
    tally = swarm.ask("greet", first, last, 5)
    expect_equal(tally["received"], last - first, f"answers to the players' greetings, {tally}")
    return cpu_seconds(pid) - before


def play(lab, swarm: Swarm, programs, rate: int, seconds: float):
    """A round in which nothing is lost; three tries, because the machine may be a busy one."""
    told = ""
    for _ in range(3):
        dropped, full = drops(lab), sum(kernel_drops(p.pid) for p in programs)
        tally = swarm.ask("play", rate, seconds)
        expect_equal((tally["repeated"], tally["misled"]), (0, 0), "answers twice or astray")
        full = sum(kernel_drops(p.pid) for p in programs) - full
        if tally["received"] == tally["sent"] and drops(lab) == dropped and full == 0:
            return
        told += f"\n{tally}, dropped {drops(lab)}, {full} by full sockets"
    expect(False, f"datagrams are lost in each of three rounds:{told}")


@case("gate: 2,000 transparent players at 25,000 datagrams a second", 60)
def two_thousand_players(lab):
    count = 2_000
    settle(lab)
    backend = Swarm(lab, "server", "echo", "127.0.0.1:9000")
    server, client = game(lab, "127.0.0.1", "10.80.1.1")
    swarm = players(lab, "client", "10.80.1.1:9000", "10.81.0.1", count, ports=8)
    before = {program.name: own_bytes(program.pid) for program in (server, client)}
    batch = count // 4
    new = min(greet(swarm, n, n + batch, server.pid) for n in range(0, count, batch)) / batch
    for program in (server, client):
        grown = (own_bytes(program.pid) - before[program.name]) / count
        expect(grown <= 4 * KIBIBYTE, f"{program.name}: {grown:.0f} bytes a player, limit 4 KiB")
    known = min(greet(swarm, 0, count, server.pid) for _ in range(2)) / count
    cost = (new - known) * 1e6
    expect(cost <= 30, f"a flow costs the server {cost:.1f} µs to set up, limit 30 µs")
    play(lab, swarm, (server, client), 25_000, 3)
    seen = backend.ask()
    expect_equal((seen["players"], seen["strangers"]), (count, 0), "players and strangers")
    told = metrics(lab.control["server"])
    expect_equal(told['fairlead_flows{service="game"}'], count, "flows of the server")


@case("gate: 200 transparent players over IPv6")
def players_over_ipv6(lab):
    settle(lab)
    backend = Swarm(lab, "server", "echo", "[::1]:9000")
    server, client = game(lab, "::1", "fd80:1::1")
    swarm = players(lab, "client", "[fd80:1::1]:9000", "fd81::1", 200, ports=4)
    swarm.ask("greet", 0, 200, 5)
    play(lab, swarm, (server, client), 2_500, 1)
    seen = backend.ask()
    expect_equal((seen["players"], seen["strangers"]), (200, 0), "players and strangers")


@case("gate: one flow of 100 Mbit/s loses nothing", 30)
def one_fast_flow(lab):
    settle(lab)
    backend = Swarm(lab, "server", "echo", "127.0.0.1:9000")
    programs = game(lab, "127.0.0.1", "10.80.1.1")
    swarm = players(lab, "client", "10.80.1.1:9000", "10.81.0.1", 1, ports=1, size=1_200)
    swarm.ask("greet", 0, 1, 5)
    # More than this says something about the machine as well.
    rate = int(os.environ.get("FAIRLEAD_FLOW_MBIT", "100")) * 1_000_000
    play(lab, swarm, programs, rate // 8 // 1_200, 1)
    expect_equal(backend.ask()["strangers"], 0, "strangers")
