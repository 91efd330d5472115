"""What strangers and bad networks send: no answer, no crash, no wrong byte."""

import random
import select
import time

import peers
from lab import BACKEND4, CLIENT4, EDGE4, SERVER4, TUNNEL_PORT, until
from programs import metrics
from relay import Weather
from streams import MEGABYTE, WEB, relay_before_the_server
from verdicts import case, expect, expect_equal

SERVER = (SERVER4, TUNNEL_PORT)


def expect_silence(stranger, seconds: float, what: str):
    if select.select([stranger], [], [], seconds)[0]:
        packet = stranger.recv(65_536)
        expect(False, f"the server answers {what} with {len(packet)} bytes")


def variants(packet: bytes, dice: random.Random):
    """The packet cut short, drawn out, and with single bits turned over."""
    for length in {0, 1, 11, 12, 27, 28, len(packet) // 2, len(packet) - 1}:
        if length < len(packet):
            yield packet[:length]
    yield packet + bytes(1)
    yield packet + packet
    for _ in range(16):
        at = dice.randrange(len(packet) * 8)
        changed = bytearray(packet)
        changed[at // 8] ^= 1 << at % 8
        yield bytes(changed)


@case("random, truncated, flipped and replayed packets: silence, and all goes on", 30)
def strangers(lab):
    peers.TCPBackend(lab, BACKEND4, 8080, peers.echo)
    relay = relay_before_the_server(lab)
    relay.record_limit = 60
    server = lab.start_server([WEB])
    client = lab.start_client([WEB], f'server = "{CLIENT4}:4700"\n')
    client.wait("session-up", 5)
    data = peers.payload(1, 200_000)
    dice = random.Random(2)
    with lab.connect(EDGE4, 8080) as player, lab.udp("client", CLIENT4) as stranger:
        player.sendall(data)
        peers.read_exactly(player, len(data))
        recorded = list(relay.recorded)
        expect(len(recorded) > 20, f"only {len(recorded)} packets recorded")
        for number in range(3000):
            stranger.sendto(dice.randbytes(dice.randrange(1400)), SERVER)
            if number % 100 == 0:
                time.sleep(0.01)
        expect_silence(stranger, 0.3, "random bytes")
        for packet in recorded:
            for variant in variants(packet, dice):
                stranger.sendto(variant, SERVER)
            time.sleep(0.002)
        expect_silence(stranger, 0.3, "changed packets")
        # All but the handshake, which has a test of its own.
        for packet in recorded[1:]:
            stranger.sendto(packet, SERVER)
        expect_silence(stranger, 0.5, "replayed packets")
        player.sendall(data)
        expect_equal(peers.read_exactly(player, len(data)), data, "the echo afterwards")
    expect_equal(server.find("peer-moved"), None, "peer-moved in the log")
    drops = sum(n for key, n in metrics(lab.control["server"]).items() if "drops_total" in key)
    expect(drops > 3000, f"the server counts only {drops:g} drops")


@case("a copy of a handshake gets no answer once its session is confirmed")
def copied_handshake(lab):
    peers.TCPBackend(lab, BACKEND4, 8080, peers.echo)
    relay = relay_before_the_server(lab)
    relay.record_limit = 1
    lab.start_server([WEB])
    client = lab.start_client([WEB], f'server = "{CLIENT4}:4700"\n')
    client.wait("session-up", 5)
    with lab.connect(EDGE4, 8080) as player, lab.udp("client", CLIENT4) as stranger:
        player.sendall(b"hello")
        peers.read_exactly(player, 5)
        stranger.sendto(relay.recorded[0], SERVER)
        expect_silence(stranger, 0.5, "a copied handshake")


@case("no replayed handshake makes a session, not even after a server restart")
def replayed_handshake(lab):
    relay = relay_before_the_server(lab)
    relay.record_limit = 10
    server = lab.start_server([WEB])
    client = lab.start_client([WEB], f'server = "{CLIENT4}:4700"\n')
    client.wait("session-up", 5)
    time.sleep(0.2)
    client.stop()
    recorded = list(relay.recorded)
    ups = sum(event["event"] == "session-up" for event in server.events)
    with lab.udp("client", CLIENT4) as stranger:
        for packet in recorded:
            stranger.sendto(packet, SERVER)
        time.sleep(0.5)
    again = sum(event["event"] == "session-up" for event in server.events)
    expect_equal(again, ups, "sessions after a replay")
    server.stop()
    server = lab.start_server([WEB])
    with lab.udp("client", CLIENT4) as stranger:
        for packet in recorded:
            stranger.sendto(packet, SERVER)
        time.sleep(0.5)
    expect_equal(server.find("session-up"), None, "session-up after a replay to a new server")


@case("duplicated and bit-flipped packets on the path change no byte", 30)
def damaged_path(lab):
    peers.TCPBackend(lab, BACKEND4, 8080, peers.echo)
    relay = relay_before_the_server(lab, Weather(duplicate=0.3, flip=0.02, delay=0.002))
    lab.start_server([WEB])
    client = lab.start_client([WEB], f'server = "{CLIENT4}:4700"\n')
    client.wait("session-up", 5)
    data = peers.payload(3, 5 * MEGABYTE)
    with lab.connect(EDGE4, 8080, seconds=20) as player:
        expect_equal(peers.exchange(player, data), (len(data), peers.digest(data)), "the echo")
    expect(relay.counts["flipped"] > 20, f"the relay did not do its work: {relay.counts}")


@case("a flood of handshake-sized garbage does not stop a transfer", 30)
def flood(lab):
    data = peers.payload(4, 20 * MEGABYTE)
    peers.TCPBackend(lab, BACKEND4, 8080, lambda c: c.sendall(data))
    server, _ = lab.tunnel([WEB])
    dice = random.Random(5)
    garbage = [dice.randbytes(dice.randrange(100, 400)) for _ in range(500)]
    with lab.connect(EDGE4, 8080, seconds=15) as player, lab.udp("client", CLIENT4) as stranger:
        for _ in range(20):
            for packet in garbage:
                stranger.sendto(packet, SERVER)
        received = peers.drain(player)
        expect_equal(received, (len(data), peers.digest(data)), "the download")
        expect_silence(stranger, 0.2, "garbage")
    size = server.resident_bytes()
    expect(size < 120 << 20, f"the server holds {size >> 20} MiB")
    until(1, "the server lives", lambda: server.process.poll() is None)
