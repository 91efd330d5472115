"""An end of the protocol in the hands of an attacker: it sends what it is told to send."""

import os
import selectors
import socket
import struct
import time

import frames
from protocol import (
    COOKIE, DATA, RESP, ClientHello, Initiation, Invalid, KeyPair, PublicKeys, ServerHello,
    TransportKeys,
)  # fmt: skip
from verdicts import Failed, expect_equal

PACKET = 1200 - 28


class Ranges:
    """Numbers that came, as ranges from the newest to the oldest."""

    def __init__(self):
        self.all: list[tuple[int, int]] = []

    def add(self, number: int):
        for place, (low, high) in enumerate(self.all):
            if low <= number <= high:
                return
            if number == high + 1:
                self.all[place] = (low, number)
                if place and self.all[place - 1][0] == number + 1:
                    self.all[place - 1 : place + 1] = [(low, self.all[place - 1][1])]
                return
            if number == low - 1:
                self.all[place] = (number, high)
                if place + 1 < len(self.all) and self.all[place + 1][1] == number - 1:
                    self.all[place : place + 2] = [(self.all[place + 1][0], high)]
                return
            if number > high:
                self.all.insert(place, (number, number))
                return
        self.all.append((number, number))


class Peer:
    """A client of the server at `server`, with an authorised key and manners of its own.

    `acknowledges` says whether it tells what came; all that comes is kept in `frames` with the
    address that it came to, and counted in `bytes_at`.
    """

    def __init__(self, lab, key: KeyPair, server_public: bytes, server: tuple[str, int],
                 address: str, acknowledges: bool = True):  # fmt: skip
        self.lab, self.key, self.masks = lab, key, PublicKeys(server_public)
        self.answers = PublicKeys(key.public)
        self.server, self.acknowledges = server, acknowledges
        self.sockets: dict[str, socket.socket] = {}
        self.chooser = selectors.DefaultSelector()
        self.home = address
        self.instance = int.from_bytes(os.urandom(8), "little")
        self.keys: dict[int, TransportKeys] = {}
        self.sealing: TransportKeys | None = None
        self.server_index, self.next_number = 0, 0
        self.cookie: bytes | None = None
        self.came = Ranges()
        self.news = 0
        self.frames: list[tuple[int, bytes, str]] = []
        self.bytes_at: dict[str, int] = {}
        self.bytes_from: dict[str, int] = {}

    def socket_at(self, address: str) -> socket.socket:
        """`address` may say a port: "10.0.0.1 4000"."""
        if address not in self.sockets:
            host, _, port = address.partition(" ")
            made = self.lab.udp("client", host, int(port or 0))
            made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
            made.setblocking(False)
            self.sockets[address] = made
            self.chooser.register(made, selectors.EVENT_READ, address)
        return self.sockets[address]

    def send_raw(self, packet: bytes, address: str = ""):
        address = address or self.home
        self.bytes_from[address] = self.bytes_from.get(address, 0) + len(packet)
        try:
            self.socket_at(address).sendto(packet, self.server)
        except BlockingIOError:
            time.sleep(0.001)

    # Handshakes.

    def initiation(self, *, clock: int | None = None, continuing: bool = False, **hello):
        index = int.from_bytes(os.urandom(4), "little") or 1
        if clock is None:
            clock = time.time_ns() // 1_000_000
        said = ClientHello(clock, self.instance, **hello)
        route = self.server_index if continuing else 0
        return Initiation(self.key, self.masks, index, said, route)

    def try_handshake(self, initiation: Initiation, seconds: float = 1.5, confirm: bool = True):
        """The server's hello, or `None`; a COOKIE is answered at once."""
        self.send_raw(initiation.packet(self.cookie))
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            for packet, _ in self._packets(left):
                kind = packet[11]
                if kind == COOKIE:
                    self.cookie = initiation.read_cookie(packet)
                    self.send_raw(initiation.packet(self.cookie))
                elif kind == RESP and packet[:4] == struct.pack("<I", initiation.index):
                    return self._complete(initiation, packet, confirm)
        return None

    def _complete(self, initiation: Initiation, packet: bytes, confirm: bool) -> ServerHello:
        hello, keys = initiation.read_response(packet)
        if hello.status == 0:
            self.sealing = TransportKeys(self.masks, hello.cipher, keys, initiator=True)
            self.keys[initiation.index] = self.sealing
            self.server_index = hello.index
            if confirm:
                self.send(frames.frame(frames.PING))
        return hello

    def connect(self, **hello) -> "Peer":
        answer = None
        for _ in range(3):
            answer = answer or self.try_handshake(self.initiation(**hello))
        if answer is None:
            raise Failed("the server does not answer a handshake made from PROTOCOL.md")
        expect_equal(answer.status, 0, "status of the RESP")
        return self

    # Packets.

    def send(self, *parts: bytes, address: str = "", number: int | None = None):
        """One packet of these frames."""
        if number is None:
            number, self.next_number = self.next_number, self.next_number + 1
        self.send_raw(self.sealing.seal(self.server_index, number, b"".join(parts)), address)

    def send_all(self, parts, address: str = "", before: bytes = b"", rate: float = 0):
        """As many frames a packet as fit, each packet with `before` in it; `rate` packets a second.

        What the server sends meanwhile is taken.
        """
        room, batch, size = PACKET - len(before), [], 0
        began, count = time.monotonic(), 0
        for part in parts:
            if size + len(part) > room and batch:
                self.send(before, *batch, address=address)
                batch, size, count = [], 0, count + 1
                late = began + count / rate - time.monotonic() if rate else 0
                if count % 16 == 0 or late > 0:
                    self.pump(max(0, late))
            batch.append(part)
            size += len(part)
        if batch:
            self.send(before, *batch, address=address)

    def _packets(self, seconds: float):
        """What has come at any of the sockets, with unmasked headers; waits for the first."""
        ready = {key.data for key, _ in self.chooser.select(max(0, seconds))}
        for address in ready:
            receiver = self.sockets[address]
            while True:
                try:
                    packet = receiver.recv(65_536)
                except (BlockingIOError, ConnectionRefusedError):
                    break
                self.bytes_at[address] = self.bytes_at.get(address, 0) + len(packet)
                if len(packet) >= 28:
                    yield self._unmasked(packet), address

    def _unmasked(self, packet: bytes) -> bytes:
        return self.masks.mask_header(packet)

    def pump(self, seconds: float = 0, until=None) -> list[tuple[int, bytes, str]]:
        """Takes packets for so long, or until `until` likes a frame; returns the new frames."""
        first = len(self.frames)
        deadline = time.monotonic() + seconds
        while True:
            start = len(self.frames)
            for packet, address in self._packets(deadline - time.monotonic()):
                self._take(packet, address)
            if self.acknowledges and self.news:
                self.acknowledge()
            if until and any(until(kind, body) for kind, body, _ in self.frames[start:]):
                break
            if time.monotonic() >= deadline:
                break
        return self.frames[first:]

    def _take(self, packet: bytes, address: str):
        keys = self.keys.get(struct.unpack_from("<I", packet)[0])
        if packet[11] != DATA or not keys:
            return
        try:
            number, plain = keys.open(packet)
        except Invalid:
            return
        self.came.add(number)
        found = frames.split(plain)
        self.news += any(kind not in frames.QUIET for kind, _ in found)
        self.frames += [(kind, body, address) for kind, body in found]

    def acknowledge(self, address: str = ""):
        self.news = 0
        self.send(frames.ack(self.came.all[:32]), address=address)

    # What came.

    def bodies(self, kind: int, address: str | None = None) -> list[bytes]:
        return [body for found, body, where in self.frames
                if found == kind and address in (None, where)]  # fmt: skip

    def resets(self) -> dict[tuple[int, int], int]:
        """The reason of each RESET by kind and id."""
        found = [struct.unpack_from("<BIB", body) for body in self.bodies(frames.RESET)]
        return {(kind, number): reason for kind, number, reason in found}

    def ended(self) -> int | None:
        """The reason of a CLOSE_SESSION."""
        bodies = self.bodies(frames.CLOSE_SESSION)
        return (bodies[0] or b"\x0d")[0] if bodies else None

    def close(self):
        self.chooser.close()
        for one in self.sockets.values():
            one.close()
