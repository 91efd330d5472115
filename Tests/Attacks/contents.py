"""Bytes that were never written, bombs, and names that steer terminals."""

import os
import unicodedata

import backends
import frames
from beside import BACKEND4, Service, attack
from frames import (
    COMPRESSED, COMPRESSION, FLOW_KIND, STREAM_KIND, block, datagram, deflate, fragment, opening,
    stream,
)  # fmt: skip
from verdicts import expect, expect_equal

TALE = Service("tale", "udp", f"{BACKEND4}:9090", "0.0.0.0:9090")
NEVER = 'compression = "never"'
STRICT = Service("strict", "tcp", f"{BACKEND4}:8090", "0.0.0.0:8090", NEVER)
STRICT_UDP = Service("strict-udp", "udp", f"{BACKEND4}:9091", "0.0.0.0:9091", NEVER)
LOOSE = Service("loose", "tcp", f"{BACKEND4}:8091", "0.0.0.0:8091")


def whole_in_fragments(number: int, data: bytes, size: int = 1000) -> list[bytes]:
    places = range(0, len(data), size)
    return [
        fragment(1, number, index, len(places), at, len(data), data[at : at + size])
        for index, at in enumerate(places)
    ]


def crooked(number: int) -> list[list[bytes]]:
    """Datagrams that leave bytes of their place unwritten, each in its own way."""
    part, total = bytes(1000), 30_000
    return [
        [fragment(1, number, index, 30, 0, total, part) for index in range(30)],
        [fragment(1, number + 1, index, 30, 1000 * (index | 1), total, part)
         for index in range(30)],
        [fragment(1, number + 2, index, 3, 1000 * index, total, part) for index in range(3)],
        [fragment(1, number + 3, 0, 2, 0, total, part),
         fragment(1, number + 3, 1, 2, total - 1000, total, part)],
        [fragment(1, number + 4, 0, 2, 0, 2000, part), fragment(1, number + 4, 0, 2, 0, 2000, part),
         fragment(1, number + 4, 2, 2, 1000, 2000, part)],
        [fragment(1, number + 5, 0, 2, 0, 2000, part),
         fragment(1, number + 5, 1, 2, 900, 2000, part + bytes(100))],
    ]  # fmt: skip


@attack("fragments that overlap and leave gaps deliver nothing", services=[TALE])
def gaps(field):
    backend = field.echo(9090)
    peer = field.peer().connect()
    open_flow = opening(FLOW_KIND, 1, "tale")
    for number in range(0, 600, 6):
        for parts in crooked(number):
            peer.send_all(parts, before=open_flow)
        peer.pump(0.005)
    peer.pump(0.3)
    echoed = peer.bodies(frames.DATAGRAM) + peer.bodies(frames.FRAGMENT)
    expect_equal((backend.count, len(echoed)), (0, 0), "datagrams at the backend, echoed")
    field.expect_drops("malformed", 500)
    # The same peer's fragments are good when they are whole: it was no closed door.
    data = os.urandom(5000)
    peer.send_all(whole_in_fragments(1000, data), before=open_flow)
    peer.pump(0.3)
    expect_equal(backend.count, 1, "whole datagrams at the backend")


@attack("compression = never: bombs unfold to nothing", services=[STRICT, STRICT_UDP])
def forbidden(field):
    reader = backends.Counting()
    field.serve(8090, reader)
    echo = field.echo(9091)
    peer = field.peer().connect()
    bomb = block(1, deflate(bytes(60_000), end=False))
    pill = b"\1" + deflate(bytes(60_000), end=True)
    for number in range(1, 201):
        head = opening(STREAM_KIND, number, "strict", flags=COMPRESSED)
        peer.send(head, stream(number, 0, 0, bomb))
        head = opening(FLOW_KIND, number, "strict-udp", flags=COMPRESSED)
        peer.send(head, datagram(number, 0, pill))
        peer.pump(0.002)
    peer.pump(0.3)
    expect_equal((reader.bytes, echo.count), (0, 0), "inflated bytes and datagrams")
    field.expect_drops("compression-forbidden", 400)
    reasons = [reason for (kind, _), reason in peer.resets().items() if kind == STREAM_KIND]
    expect_equal(reasons, [COMPRESSION] * 200, "RESETs of the streams")


@attack("compression: bombs unfold to their allowance and no further", services=[LOOSE, TALE])
def bombs(field):
    reader = backends.Counting()
    field.serve(8091, reader)
    echo = field.echo(9090)
    peer = field.peer().connect()
    bomb = block(1, deflate(bytes(4 << 20), end=False))
    sent = 0
    for number in range(1, 41):
        head = opening(STREAM_KIND, number, "loose", flags=COMPRESSED)
        pieces = [bomb[at : at + 1000] for at in range(0, len(bomb), 1000)]
        for index, piece in enumerate(pieces):
            peer.send(head, stream(number, index, 1000 * index, piece))
        sent += len(bomb)
        peer.pump(0.01)
    pill = b"\1" + deflate(bytes(65_000), end=True)
    for number in range(200):
        head = opening(FLOW_KIND, 1, "tale", flags=COMPRESSED)
        peer.send(head, datagram(1, number, pill))
    peer.pump(0.5)
    allowed = 40 * 65_536 + 32 * sent
    expect(reader.bytes <= allowed, f"{reader.bytes} bytes came out, allowed {allowed}")
    expect(reader.bytes > 0, "nothing was inflated at all")
    most = 2 + 200 * len(pill) * 32 // 65_000
    expect(1 <= echo.count <= most, f"{echo.count} datagrams came out, allowed 1 to {most}")
    field.expect_drops("inflation-budget", 40 + 100)


@attack("names in OPEN do not steer a terminal")
def names(field):
    peer = field.peer().connect()
    bad = ["\u009b31mred", "\u0085next", "\u202eevil", "\u2028line", "a\x1b[2Jb", "a\nb"]
    for number in range(1, 601):
        name = bad[number % len(bad)]
        peer.send(opening(STREAM_KIND, number, name), stream(number, 0, 0, b"x"))
        if number % 50 == 0:
            peer.pump(0.01)
    for number, name in enumerate([b"\xff\xfe\x9b", "ünknown\u00a0".encode(), b"a\"b\\c"]):
        peer.send(opening(STREAM_KIND, 700 + number, name))
    peer.pump(0.5)
    field.expect_drops("malformed", 600)
    expect(field.server.find("open-refused") is not None, "no open-refused in the log")
    log = "".join(field.server.lines)
    steering = {sign for sign in log if unicodedata.category(sign) in ("Cc", "Cf", "Zl", "Zp")}
    expect_equal(steering, set(), "characters in the log that steer a terminal")
