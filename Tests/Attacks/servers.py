"""A hostile server before the shipped client, and visitors of the admin address."""

import base64
import contextlib
import os
import socket
import struct
import time

import frames
from beside import ADMIN, ATTACKER, Service, attack
from frames import frame, fragment
from lab import EDGE4
from protocol import (
    CHACHA, DATA, INIT, Answer, Invalid, KeyPair, PublicKeys, ServerHello, TransportKeys,
)  # fmt: skip
from verdicts import expect

PORT = 4601


class Host:
    """The server's side of the protocol; it answers one client, with a hello of its choice."""

    def __init__(self, lab, largest: int, cipher: int = CHACHA):
        self.identity, self.largest, self.cipher = KeyPair(), largest, cipher
        self.masks = PublicKeys(self.identity.public)
        self.socket = lab.udp("client", ATTACKER, PORT)
        self.keys, self.client, self.client_index = None, None, 0
        self.index = int.from_bytes(os.urandom(4), "little") or 1
        self.number, self.handshakes, self.longest = 0, 0, 0
        self.frames: list[tuple[int, bytes]] = []

    def pump(self, seconds: float):
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            self.socket.settimeout(left)
            with contextlib.suppress(TimeoutError, Invalid):
                self._take(*self.socket.recvfrom(65_536))

    def _take(self, packet: bytes, source):
        packet = self.masks.mask_header(packet)
        if packet[11] == INIT:
            answer = Answer(self.identity, packet)
            hello = ServerHello(1, self.cipher, self.largest, 0, 0, 0, 0, self.index)
            response, keys = answer.respond(hello)
            self.keys = TransportKeys(self.masks, self.cipher, keys, initiator=False)
            self.client, self.client_index = source, answer.index
            self.handshakes += 1
            self.socket.sendto(response, source)
        elif packet[11] == DATA and self.keys:
            number, plain = self.keys.open(packet)
            self.longest = max(self.longest, len(packet))
            self.frames += frames.split(plain)
            self.send(frames.ack([(number, number)]))

    def send(self, *parts: bytes):
        packet = self.keys.seal(self.client_index, self.number, b"".join(parts))
        self.number += 1
        self.socket.sendto(packet, self.client)

    def count(self, kind: int) -> int:
        return sum(found == kind for found, _ in self.frames)


def start_victim(field, host: Host):
    lab = field.lab
    key = base64.b64encode(host.identity.public).decode()
    services = [Service("voice", "udp", "", "0.0.0.0:9191")]
    top = f'server = "{ATTACKER}:{PORT}"\nserver_public_key = "{key}"\ncontrol = "victim.sock"\n'
    return lab.start_client(services, top, name="victim")


@attack("a hostile server does not end its client")
def small_packets(field):
    for largest in (512, 64):
        host = Host(field.lab, largest)
        victim = start_victim(field, host)
        host.pump(0.3)
        expect(host.handshakes, "the client did not come")
        with field.lab.udp("player", "0.0.0.0") as player:
            for size in (0, 1, 400, 511, 512, 1200, 30_000, 65_507) * 4:
                player.sendto(os.urandom(size), (EDGE4, 9191))
                host.pump(0.02)
        host.pump(0.2)
        expect(host.count(frames.OPEN) and host.count(frames.DATAGRAM), "no datagram came")
        expect(host.count(frames.FRAGMENT), "no fragment came")
        expect(host.longest <= 512, f"a packet of {host.longest} bytes")
        _say_what_no_server_says(host)
        host.pump(0.2)
        expect(victim.process.poll() is None, f"the client ended: {victim.process.poll()}")
        victim.stop()
        host.socket.close()


def _say_what_no_server_says(host: Host):
    host.send(frames.opening(0, 9, "web"), frames.opening(1, 9, "voice"))
    for rate in (bytes(8), b"\1", b"\xff" * 8):
        host.send(frame(frames.RATE, rate))
    host.send(frame(frames.MAY_DEFLATE, struct.pack("<BI", 7, 1)))
    host.send(frame(frames.PQ_OFFER, bytes(302)))
    host.send(frames.ack([(1 << 40, 1 << 40)]), frame(frames.ACK, b"\xff" * 40))
    for index in range(60):
        host.send(fragment(1, 1, index % 60, 60, 0, 60_000, bytes(1000)))
    host.send(frames.window(1, (1 << 64) - 1), frames.close(1, 1 << 31))
    for number in range(50):
        host.send(frames.repair(1, 3 * number, 128, number, bytes(16)))


def visit(lab, text: bytes, seconds: float = 2) -> socket.socket:
    visitor = lab.open_socket("server", socket.AF_INET, socket.SOCK_STREAM)
    visitor.settimeout(seconds)
    host, port = ADMIN.split(":")
    visitor.connect((host, int(port)))
    visitor.sendall(text)
    return visitor


def status_line(visitor: socket.socket) -> str:
    with visitor:
        return visitor.recv(4096).split(b"\r\n")[0].decode()


@attack("admin: foreign names and slow requests")
def visitors(field):
    foreign = b"GET /status HTTP/1.1\r\nHost: evil.example\r\n\r\n"
    own = b"GET /status HTTP/1.1\r\nHost: 127.0.0.1:9460\r\n\r\n"
    expect(" 421 " in status_line(visit(field.lab, foreign)) + " ", "a foreign name is served")
    expect("200" in status_line(visit(field.lab, own)), "its own name is not served")
    slow = []
    for turn in range(60):
        slow.append(visit(field.lab, b"GET /metrics HTTP/1.1\r\nHost: 127"))
        if turn % 10 == 9:
            began = time.monotonic()
            expect("200" in status_line(visit(field.lab, own)), "no answer beside slow requests")
            took = time.monotonic() - began
            expect(took < 1, f"the page took {took:.1f} s beside slow requests")
    for one in slow:
        one.close()
