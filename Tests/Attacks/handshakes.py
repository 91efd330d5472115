"""Handshakes that others recorded, and keys whose time is over."""

import random
import struct
import time

import frames
from beside import ATTACKER, BACKEND4, VICTIM, Later, Service, attack
from frames import FLOW_KIND, datagram, frame, opening
from peer import Peer
from protocol import COOKIE, RESP, Initiation
from verdicts import expect, expect_equal

TALE = Service("tale", "udp", f"{BACKEND4}:9090", "0.0.0.0:9090")


class Recordings:
    """Plays INITs of somebody else from its own address, and shows the cookie that it is asked."""

    def __init__(self, player: Peer, recorded: list[Initiation]):
        self.player, self.recorded = player, recorded
        self.answers = self.cookies = 0

    def play(self, number: int):
        recording = self.recorded[number]
        self.player.send_raw(recording.packet(self.player.cookie))
        for packet, _ in self.player._packets(0.02):
            self.answers += packet[11] == RESP
            if packet[11] == COOKIE and packet[:4] == struct.pack("<I", recording.index):
                self.cookies += 1
                self.player.cookie = recording.read_cookie(packet)
                self.player.send_raw(recording.packet(self.player.cookie))


@attack("recordings of a client's handshakes do not keep it out", peers=("", ""))
def recordings(field):
    victim = field.peer(1, VICTIM)
    now = time.time_ns() // 1_000_000
    recorded = [victim.initiation(clock=now - 60_000 + number) for number in range(60)]
    attacker = Recordings(field.peer(0, ATTACKER), recorded)
    made = 0
    for number in range(60):
        attacker.play(number)
        if number % 15 == 14:
            began = time.monotonic()
            hello = victim.try_handshake(victim.initiation(continuing=made > 0), seconds=1)
            expect(hello and hello.status == 0, f"handshake {made} of the victim is not answered")
            expect(time.monotonic() - began < 0.5, "the victim's handshake took half a second")
            made += 1
    victim.pump(0.2)
    expect(attacker.answers + attacker.cookies >= 10, "the recordings met silence only")
    expect_equal(len(field.sessions(1)), 1, "sessions of the victim")


@attack("a copy of a handshake is answered at the first address alone", peers=("", ""))
def copies(field):
    peer = field.peer(0, ATTACKER)
    # No more than the key has tokens: without one, nobody is answered at first.
    for _ in range(7):
        packet = peer.initiation().packet()
        peer.send_raw(packet, address=VICTIM)
        time.sleep(0.1)
        for _ in range(5):
            peer.send_raw(packet, address=ATTACKER)
        for answer, address in list(peer._packets(0.03)):
            if address == ATTACKER:
                expect(answer[11] != RESP, "the answer to another address came home")
            elif answer[11] == RESP:
                expect(len(answer) <= len(packet), "the RESP is longer than its INIT")
    came, went = peer.bytes_at.get(VICTIM, 0), peer.bytes_from[VICTIM]
    expect(0 < came <= went, f"the victim sent {went} bytes and was sent {came}")
    expect_equal(field.sessions(), [], "sessions of the attacker")


@attack("previous keys open nothing once they are 180 s old", services=[TALE], clock=True)
def old_keys(field):
    echo, clock, peer = field.echo(9090), Later(field), field.peer().connect()
    peer.send(opening(FLOW_KIND, 1, "tale"), datagram(1, 0, b"at first"))
    peer.pump(0.1)
    expect_equal(echo.count, 1, "datagrams at the backend")
    old, old_index = peer.sealing, peer.server_index

    def say_under_old_keys(number: int):
        parts = opening(FLOW_KIND, 1, "tale") + datagram(1, number, b"old")
        peer.send_raw(old.seal(old_index, peer.next_number, parts))
        peer.next_number += 1
        peer.pump(0.1)

    clock.pass_by(100)
    hello = peer.try_handshake(peer.initiation(continuing=True))
    expect(hello and hello.continues, "the session is not continued")
    peer.send(frame(frames.PING))
    peer.pump(0.1)
    say_under_old_keys(1)
    expect_equal(echo.count, 2, "datagrams while the previous keys are 100 s old")
    clock.pass_by(70)
    say_under_old_keys(2)
    expect_equal(echo.count, 3, "datagrams while the previous keys are 170 s old")
    clock.pass_by(12)
    say_under_old_keys(3)
    expect_equal(echo.count, 3, "datagrams when the previous keys are 182 s old")
    peer.send(datagram(1, 4, b"new"))
    peer.pump(0.1)
    expect_equal(echo.count, 4, "datagrams under the new keys")


@attack("frames of every kind with nonsense in them")
def nonsense(field):
    peer, dice = field.peer().connect(), random.Random(8)
    for turn in range(4000):
        sizes = [dice.choice((0, 1, 5, 9, 13, 40, 300)) for _ in range(3)]
        parts = [frame(dice.randrange(1, 32), dice.randbytes(size)) for size in sizes]
        # An ACK of what was never sent, or a CLOSE_SESSION, ends the session soon enough.
        parts = [part for part in parts if part[0] != frames.CLOSE_SESSION]
        peer.send(*parts, dice.randbytes(2))
        if turn % 32 == 0:
            peer.pump(0)
            if peer.ended() is not None:
                peer.close()
                field.peers.remove(peer)
                peer = field.peer().connect()
    peer.pump(0.2)
    field.expect_drops("malformed", 2000)
    field.expect_drops("protocol-violation", 100)
