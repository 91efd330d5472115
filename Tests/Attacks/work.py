"""Work that a peer makes the server do, and times it makes it believe in."""

import os
import time

import backends
import frames
from beside import BACKEND4, Later, Service, attack
from frames import FLOW_KIND, STREAM_KIND, datagram, frame, opening, repair, stream, window
from peer import PACKET
from verdicts import expect

TAP = Service("tap", "tcp", f"{BACKEND4}:8090", "0.0.0.0:8090")
TALE = Service("tale", "udp", f"{BACKEND4}:9090", "0.0.0.0:9090")
PACKETS = 8000


def time_of(field, packets) -> float:
    """The server's processor time for each packet, in seconds."""
    before, count = field.processor_time(), 0
    for peer, parts in packets:
        peer.send(*parts)
        count += 1
        if count % 32 == 0:
            peer.pump(0)
    peer.pump(0.1)
    return (field.processor_time() - before) / count


def repairs(peer, flows: int):
    """Forty equations of sixty unknown symbols, and then the same again and again."""
    symbol = os.urandom(16)
    for number in range(PACKETS):
        flow, turn = number % flows + 1, number // flows
        yield peer, [repair(flow, 200, 60, turn % 40, symbol)]


@attack("a REPAIR costs no more than a datagram", services=[TALE])
def elimination(field):
    field.echo(9090)
    peer = field.peer().connect()
    flows = 4
    for flow in range(1, flows + 1):
        peer.send(opening(FLOW_KIND, flow, "tale"), datagram(flow, 0, b"x"))
    plain = time_of(field, ((peer, [datagram(1, number, bytes(16))])
                            for number in range(1, PACKETS)))  # fmt: skip
    for flow in range(1, flows + 1):
        peer.send(repair(flow, 10, 2, 1, bytes(16)))
    dear = time_of(field, repairs(peer, flows))
    field.expect_drops("repair-budget", 100)
    print(f"     processor time of a packet: REPAIR {dear * 1e6:.0f} us, "
          f"DATAGRAM {plain * 1e6:.0f} us")  # fmt: skip
    # 286 times as much before; what a datagram costs includes the backend's socket.
    expect(dear < 3 * plain + 10e-6, f"{dear * 1e6:.0f} us a REPAIR, {plain * 1e6:.0f} a DATAGRAM")


@attack("acknowledgements in a chosen rhythm", services=[TAP], clock=True)
def rhythm(field):
    clock = Later(field)
    field.serve(8090, backends.endless)
    pair = [field.peer(acknowledges=False).connect() for _ in range(3)]
    for peer in pair:
        peer.send(opening(STREAM_KIND, 1, "tap"), stream(1, 0, 0, b"go"), window(1, 1 << 62))
    trips = [(0.001, 40), (0.0019, 2), (11, 1), (0.0011, 1), (11, 1), (0.0021, 3)]
    for _ in range(2):
        for pause, count in trips:
            for turn in range(count):
                if pause > 1:
                    clock.add(pause)
                    pause = 0
                _acknowledge_oddly(pair, pause, turn)
    clock.add(3)
    time.sleep(0.3)
    for peer in pair:
        expect(peer.bytes_at[peer.home] > 50_000, "the download does not go on")
    field.expect_drops("malformed", 50)


def _acknowledge_oddly(peers, pause: float, turn: int):
    """An honest range, a delay of ages, single packets from the middle, numbers that wrap."""
    for number, peer in enumerate(peers):
        peer.pump(pause)
        ranges = peer.came.all
        newest = ranges[0][1]
        delay = (0, 1 << 61, 100_000)[(turn + number) % 3]
        if number == 2:
            low, high = ranges[turn % len(ranges)]
            peer.send(frames.ack([(high, high)], delay))
        else:
            peer.send(frames.ack(ranges[:32], delay))
        peer.send(frame(frames.ACK, frames.ack_body([(newest, newest)], delay)[:-1] + b"\xff" * 8))
        peer.send(window(1, (1 << 64) - 1 - turn))



def dense(count: int):
    """Packets with as many refused OPENs, tiny datagrams and pointless RESETs as they hold."""
    numbers = iter(range(1, 1 << 20))
    for turn in range(count):
        room = PACKET
        parts = [opening(FLOW_KIND, 1, "tale")] if turn % 3 == 1 else []
        room -= sum(map(len, parts))
        while room > 0:
            if turn % 3 == 0:
                part = opening(STREAM_KIND, next(numbers), "no")
            elif turn % 3 == 1:
                part = datagram(1, next(numbers), b"")
            else:
                part = frames.reset(FLOW_KIND, 1 << 24)
            room -= len(part)
            parts.append(part)
        yield parts[:-1]


@attack("bursts of packets full of small frames hold nobody up", services=[TALE])
def full(field):
    echo = field.echo(9090)
    peer = field.peer(acknowledges=False).connect()
    packets = [
        peer.sealing.seal(peer.server_index, peer.next_number + number, b"".join(parts))
        for number, parts in enumerate(dense(1200))
    ]
    field.honest.phase("attack")
    for start in range(0, len(packets), 300):
        for packet in packets[start : start + 300]:
            peer.send_raw(packet)
        peer.pump(0.2)
    expect(len(peer.resets()) >= 200, f"only {len(peer.resets())} OPENs were refused")
    expect(echo.count > 1000, f"the backend got only {echo.count} datagrams")
