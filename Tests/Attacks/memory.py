"""Memory that a peer makes the server hold."""

import itertools
import os

import backends
import frames
from beside import ATTACKER, BACKEND4, VICTIM, Service, attack
from frames import (
    FLOW_KIND, STREAM_KIND, datagram, fragment, frame, opening, repair, reset, stream, window,
)  # fmt: skip
from verdicts import expect, expect_equal

PIT = Service("pit", "tcp", f"{BACKEND4}:8090", "0.0.0.0:8090")
TAP = Service("tap", "tcp", f"{BACKEND4}:8091", "0.0.0.0:8091")
VOID = Service("void", "tcp", f"{BACKEND4}:8092", "0.0.0.0:8092")
TALE = Service("tale", "udp", f"{BACKEND4}:9090", "0.0.0.0:9090")
LATE = 60_000


def far_ahead(conversation: int, numbers) -> list[bytes]:
    return [stream(conversation, number, number + 1, b"x") for number in numbers]


def attack_with_far_segments(field, streams: int):
    """One byte each, as far ahead as the rules allow, so that all between them are missing."""
    field.serve(8090, backends.deaf)
    peer = field.peer(acknowledges=False).connect()
    parts = []
    for number in range(1, streams + 1):
        parts.append(opening(STREAM_KIND, number, "pit"))
        parts += far_ahead(number, (32_766, 16_000, 8_000, 4_000))
    peer.send_all(parts, rate=2500)
    for number in range(1, 20):
        peer.send_all(far_ahead(number, range(32_765, 31_000, -10)), rate=2500)
    peer.pump(0.2)
    expect(peer.bodies(frames.ACK), "nothing was acknowledged: the attack did not arrive")
    expect_equal(field.sessions()[0]["streams"], streams, "streams of the attacker")


@attack("segments far ahead on 1,000 streams", services=[PIT])
def far(field):
    attack_with_far_segments(field, 1000)
    # What found no memory is not acknowledged.
    field.expect_drops("session-memory", 100)


@attack("segments far ahead, with the default session_buffer", services=[PIT], buffer=64)
def far_default(field):
    attack_with_far_segments(field, 2000)


def fill_everything(peer):
    """Decoders, incomplete datagrams, downloads that nobody acknowledges."""
    opens = [opening(FLOW_KIND, flow, "tale") for flow in range(1, 41)]
    symbol = os.urandom(1100)
    for flow, head in enumerate(opens, 1):
        peer.send(head, datagram(flow, 0, b"x"))
        for turn in range(1, 40):
            peer.send(repair(flow, 200 * turn, 128, turn, symbol))
        peer.pump(0)
    for start in range(1, 101):
        flow = start % 40 + 1
        peer.send(fragment(flow, 5000 + start, 0, 64, 0, 65_500, bytes(1100)))
    for conversation in range(1, 101):
        peer.send(opening(STREAM_KIND, conversation, "tap"), stream(conversation, 0, 0, b"go"),
                  window(conversation, 1 << 62))  # fmt: skip
    for _ in range(40):
        # Something is acknowledged now and then, so that the server goes on sending.
        peer.send(frame(frames.PING))
        peer.pump(0.01)
        newest = peer.came.all[0][1]
        peer.send(frames.ack([(newest, newest)]))


def attack_with_everything(field):
    field.serve(8091, backends.endless)
    field.echo(9090)
    peers = [field.peer(acknowledges=False).connect() for _ in range(4)]
    for peer in peers:
        fill_everything(peer)
    expect_equal(len(field.sessions()), 4, "sessions of the attacker")
    field.expect_drops("reassembly-full", 100)


@attack("decoders, fragments and downloads in four sessions", services=[TAP, TALE])
def everything(field):
    attack_with_everything(field)


@attack("decoders and more, with the default session_buffer", services=[TAP, TALE],
        buffer=64)  # fmt: skip
def everything_default(field):
    attack_with_everything(field)


@attack("1,000 streams to a backend that never connects", services=[VOID])
def never_connects(field):
    wall = backends.NeverConnects(field.lab, BACKEND4, 8092)
    field.sockets += [wall.listener, *wall.fillers]
    peer = field.peer().connect()

    def parts():
        for number in range(1, 1001):
            yield opening(STREAM_KIND, number, "void")
            for segment in range(14):
                yield stream(number, segment, 1100 * segment, bytes(1100))

    peer.send_all(parts(), rate=8000)
    peer.pump(0.2)
    found = field.sessions()[0]["streams"]
    expect(found > 500, f"only {found} streams wait for the backend")
    field.expect_drops("session-memory", 1000)


@attack("datagrams that are kept and never acknowledged", services=[TALE])
def retention(field):
    echo = field.echo(9090)
    peer = field.peer(acknowledges=False).connect()
    heads = [opening(FLOW_KIND, flow, "tale", delivery=1, age=LATE) for flow in range(1, 65)]
    message = bytes(1000)
    for number, flow in itertools.islice(itertools.product(range(250), range(1, 65)), 16_000):
        peer.send(heads[flow - 1], datagram(flow, number, message))
        if number % 8 == 0 and flow % 8 == 0:
            peer.pump(0)
    peer.pump(0.2)
    expect(echo.count > 4000, f"the backend echoed only {echo.count} datagrams")
    expect_equal(len(field.sessions()), 1, "sessions of the attacker")


@attack("OPEN and RESET from alternating addresses pile up nowhere", services=[PIT])
def opened_and_reset(field):
    field.serve(8090, backends.deaf)
    peer = field.peer(acknowledges=False).connect()
    before = field.server.resident_bytes()
    numbers = iter(range(1, 200_000))
    for turn in range(1200):
        batch = list(itertools.islice(numbers, 24))
        parts = [opening(STREAM_KIND, number, "pit") + reset(STREAM_KIND, number)
                 for number in batch]  # fmt: skip
        peer.send(*parts, address=(ATTACKER, VICTIM)[turn % 2])
        if turn % 16 == 0:
            peer.pump(0.004)
    peer.pump(0.2)
    grown = field.server.resident_bytes() - before
    expect(grown < 8 << 20, f"{grown >> 10} KiB more after 28,800 streams")
    expect_equal(field.sessions()[0]["streams"], 0, "streams of the attacker")
