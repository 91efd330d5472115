"""Places and descriptors that one key takes from others."""

import time

import backends
from beside import ATTACKER, BACKEND4, BYSTANDER, Service, attack
from frames import FLOW_KIND, LIMIT, SERVICE_UNKNOWN, STREAM_KIND, datagram, opening, stream
from verdicts import expect, expect_equal

PIT = Service("pit", "tcp", f"{BACKEND4}:8090", "0.0.0.0:8090")
TALE = Service("tale", "udp", f"{BACKEND4}:9090", "0.0.0.0:9090")
FOREVER = (1 << 32) - 1


@attack("refused OPENs take no place from others")
def refused(field):
    peer = field.peer(acknowledges=False).connect()
    parts = (opening(STREAM_KIND, number, "nowhere") for number in range(1, 65_537))
    peer.send_all(parts, rate=1500)
    peer.pump(0.2)
    reasons = set(peer.resets().values())
    expect_equal(reasons, {SERVICE_UNKNOWN}, "reasons of the RESETs")
    expect(len(peer.resets()) >= 256, f"only {len(peer.resets())} OPENs were refused")
    expect_equal(field.sessions()[0]["streams"], 0, "streams of the attacker")


def open_all(peer, first: int, last: int):
    """Streams and flows that are served, and shall idle for 49 days."""
    parts = []
    for number in range(first, last):
        parts.append(opening(STREAM_KIND, number, "pit") + stream(number, 0, 0, b"x"))
        head = opening(FLOW_KIND, number, "tale", idle=FOREVER)
        parts.append(head + datagram(number, 0, b"x"))
    peer.send_all(parts, rate=600)


@attack("keys that open all they can leave room for others", services=[PIT, TALE],
        peers=("", ""), top="max_flows = 3000\n")  # fmt: skip
def greedy(field):
    field.serve(8090, backends.deaf)
    field.echo(9090)
    pair = [field.peer(0).connect(), field.peer(1, BYSTANDER).connect()]
    for first in range(1, 4501, 500):
        for peer in pair:
            open_all(peer, first, first + 500)
    for peer in pair:
        peer.pump(0.2)
    refusals = [reason for peer in pair for reason in peer.resets().values()]
    expect(refusals.count(LIMIT) > 300, f"only {refusals.count(LIMIT)} RESETs with limit")
    for number in range(2):
        found = field.sessions(number)[0]
        expect(500 < found["streams"] <= 4096, f"{found['streams']} streams of attacker {number}")


@attack("one key does not take all of 1,024 descriptors", services=[PIT, TALE],
        before=("prlimit", "--nofile=1024:1024"))  # fmt: skip
def descriptors(field):
    field.serve(8090, backends.deaf)
    field.echo(9090)
    peer = field.peer().connect()
    open_all(peer, 1, 1500)
    peer.pump(0.3)
    found = field.sessions()[0]
    held = found["streams"] + found["flows"]
    expect(400 < held < 1000, f"the attacker holds {held} places")
    refusals = list(peer.resets().values()).count(LIMIT)
    expect(refusals + field.drops("stream-evicted") + field.drops("flow-evicted") > 300,
           f"only {refusals} RESETs with limit")  # fmt: skip


@attack("a key that tries thirty sessions gets four")
def many_sessions(field):
    made, tried, began = [], 0, time.monotonic()
    while tried < 30 and time.monotonic() - began < 4:
        peer = field.peer(address=ATTACKER)
        tried += 1
        hello = peer.try_handshake(peer.initiation(), seconds=0.12)
        if hello and hello.status == 0:
            made.append(peer)
        for one in made:
            one.pump(0)
    for one in made:
        one.pump(0.02)
    found = len(field.sessions())
    expect(1 <= found <= 4, f"{found} sessions of one key")
    expect(tried > found + 5, f"only {tried} sessions were tried")
    alive = [one for one in made if one.ended() is None]
    expect(alive, "no session of the attacker is left: the attack did not arrive")
