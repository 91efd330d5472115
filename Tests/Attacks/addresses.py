"""Addresses that are somebody else's."""

import backends
import frames
from backends import read_proxy_v2
from beside import ATTACKER, BACKEND4, BYSTANDER, VICTIM, Service, attack
from frames import PATH, PROTOCOL_VIOLATION, STREAM_KIND, frame, opening, path, stream, window
from verdicts import expect, expect_equal

TAP = Service("tap", "tcp", f"{BACKEND4}:8090", "0.0.0.0:8090")
TOLD = Service("told", "tcp", f"{BACKEND4}:8091", "0.0.0.0:8091", 'origin = "proxy-v2"')
PING = frame(frames.PING)
ORIGIN_FORBIDDEN = 7


def start_download(field):
    """A session at home with a download that has got fast."""
    peer = field.peer().connect()
    peer.send(opening(STREAM_KIND, 1, "tap"), stream(1, 0, 0, b"go"), window(1, 1 << 40))
    peer.pump(0.4)
    expect(peer.bytes_at[peer.home] > 100_000, "the download does not begin")
    peer.acknowledges = False
    return peer


def tokens(peer, address: str) -> list[bytes]:
    return [body[2:10] for body in peer.bodies(PATH, address) if body[0] == 0]


def expect_factor(peer, address: str):
    came, went = peer.bytes_at.get(address, 0), peer.bytes_from[address]
    expect(came > 0, f"{address} was sent nothing at all: the attack did not arrive")
    expect(came <= 3 * went, f"{address} sent {went} bytes and was sent {came}")


@attack("a token of one address does not prove another", services=[TAP, TOLD])
def stolen_token(field):
    told = field.serve(8091, read_proxy_v2)
    field.serve(8090, backends.endless)
    peer = start_download(field)
    for turn in range(12):
        peer.send(PING, address=VICTIM)
        peer.pump(0.03)
        # What home was asked is said in the victim's name, and all packets are acknowledged.
        for token in tokens(peer, peer.home)[-3:]:
            peer.send(path(1, token), address=VICTIM)
        peer.acknowledge(address=VICTIM)
        peer.send(opening(STREAM_KIND, 10 + turn, "told"), stream(10 + turn, 0, 0, b"x"),
                  address=VICTIM)  # fmt: skip
        peer.pump(0.03)
    expect(tokens(peer, VICTIM), "the victim was asked nothing: the attack did not arrive")
    expect(tokens(peer, peer.home), "home was asked nothing")
    expect(not set(tokens(peer, VICTIM)) & set(tokens(peer, peer.home)), "one token for two")
    expect_factor(peer, VICTIM)
    moved = [event for event in field.server.events if event.get("event") == "peer-moved"]
    expect_equal(moved, [], "peer-moved in the log")
    expect(told.results, "the backend was told nobody")
    shown = {result and result[0][0] for result in told.results}
    expect_equal(shown, {ATTACKER}, "what the backend was told")
    # The owner of an address proves it with the token that came there.
    peer.send(PING, address=VICTIM)
    peer.pump(0.1)
    peer.send(path(1, tokens(peer, VICTIM)[-1]), address=VICTIM)
    field.server.wait("peer-moved", 2, peer="mallory0")


@attack("an unproven address gets three times what came from it", services=[TAP])  # fmt: skip
def amplification(field):
    field.serve(8090, backends.endless)
    peer = start_download(field)
    filler = frame(frames.MTU_PROBE, bytes(1100))
    addresses = [f"{BYSTANDER} {port}" for port in range(7001, 7009)]
    for turn in range(200):
        peer.send(PING, address=VICTIM)
        for address in (addresses[turn % 8], addresses[(turn + 1) % 8], peer.home):
            peer.send(filler, address=address)
        if turn % 4 == 0:
            peer.acknowledge(address=VICTIM)
        peer.pump(0.004)
    peer.pump(0.3)
    for address in (VICTIM, *addresses):
        expect_factor(peer, address)


@attack("optimistic acknowledgements end the session", services=[TAP])
def optimism(field):
    field.serve(8090, backends.endless)
    for _ in range(3):
        peer = start_download(field)
        first = top = peer.came.all[0][1]
        while peer.ended() is None and top < first + 20_000:
            top = max(top, peer.came.all[0][1])
            peer.send(frames.ack([(0, top)]))
            peer.pump(0.01)
        expect_equal(peer.ended(), PROTOCOL_VIOLATION, "reason of the CLOSE_SESSION")
        field.server.wait("session-down", 1, peer="mallory0", reason="protocol-violation")
        peer.close()
        field.peers.remove(peer)
        field.server.events.clear()


@attack("player and destination are claims that need a grant",
        services=[TOLD], peers=("", 'origins = ["203.0.113.0/24"]\n'))  # fmt: skip
def claims(field):
    told = field.serve(8091, read_proxy_v2)
    ssh, player, other = ("127.0.0.1", 22), ("203.0.113.7", 4001), ("203.0.113.9", 4433)
    itself = (BACKEND4, 8091)

    def ask(peer, number: int, **claimed):
        count = len(told.results)
        peer.send(opening(STREAM_KIND, number, "told", **claimed), stream(number, 0, 0, b"x"))
        peer.pump(0.15)
        return told.results[count] if len(told.results) > count else "nothing"

    without, granted = field.peer(0).connect(), field.peer(1, BYSTANDER).connect()
    for number, claimed in enumerate([{"destination": ssh}, {"origin": player},
                                      {"origin": player, "destination": ssh},
                                      {"destination": other}], 1):  # fmt: skip
        source, destination = ask(without, number, **claimed)
        expect_equal((source[0], destination), (ATTACKER, itself), f"told of {claimed}")
    answer = ask(granted, 1, origin=player, destination=ssh)
    expect_equal(answer, (player, itself), "a granted player with a false destination")
    answer = ask(granted, 2, origin=player, destination=other)
    expect_equal(answer, (player, other), "a granted player and destination")
    forbidden = [("198.51.100.1", 1), ("127.0.0.1", 1), ("10.80.1.2", 1), (BACKEND4, 8091)]
    for number, origin in enumerate(forbidden, 3):
        expect_equal(ask(granted, number, origin=origin), "nothing", f"told of {origin}")
        reason = granted.resets().get((STREAM_KIND, number))
        expect_equal(reason, ORIGIN_FORBIDDEN, f"the RESET for {origin}")
