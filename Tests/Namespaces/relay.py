"""A UDP relay that stands between the two ends and does to packets what networks do.

Seeded, so that one seed makes the same decisions about the same sequence of packets.
"""

import contextlib
import heapq
import random
import select
import socket
import threading
import time
from dataclasses import dataclass

_IP_MTU_DISCOVER = 10
_DO_NOT_FRAGMENT = 2  # IP_PMTUDISC_DO
_SO_RCVBUFFORCE = 33


@dataclass
class Weather:
    """Per direction and packet."""

    loss: float = 0
    reorder: float = 0
    duplicate: float = 0
    flip: float = 0
    delay: float = 0
    # Larger UDP payloads vanish without a word.
    mtu: int = 65_536
    # How much later a reordered packet comes.
    late: float = 0.004


class Relay:
    """One client's packets on their way to `target` and back."""

    def __init__(self, make_socket, listen: tuple, target: tuple, weather=None, seed: int = 1):
        """`make_socket()` opens a UDP socket in the right namespace."""
        self.weather = weather or Weather()
        self.target = target
        self.make_socket = make_socket
        self.front = self._open(listen)
        self.back = self._open((listen[0], 0))
        self.address = self.front.getsockname()
        self.client: tuple | None = None
        self.random = random.Random(seed)
        self.counts = {"passed": 0, "lost": 0, "reordered": 0, "duplicated": 0, "flipped": 0}
        self.recorded: list[bytes] = []
        self.record_limit = 0
        self.is_cut = False
        self.rebindings = 0
        self._later: list = []
        self._order = 0
        self._is_closed = False
        self._wants_rebind = threading.Event()
        self._has_rebound = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def rebind(self):
        """From now on the far end sees another source port, as after a NAT forgot us."""
        self._has_rebound.clear()
        self._wants_rebind.set()
        if not self._has_rebound.wait(5):
            raise TimeoutError("the relay does not rebind")

    def close(self):
        self._is_closed = True
        self._thread.join(2)
        self.front.close()
        self.back.close()

    def _open(self, address: tuple) -> socket.socket:
        result = self.make_socket()
        with contextlib.suppress(OSError):
            result.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 << 20)
            result.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, 8 << 20)
        if result.family == socket.AF_INET:
            result.setsockopt(socket.IPPROTO_IP, _IP_MTU_DISCOVER, _DO_NOT_FRAGMENT)
        result.bind(address)
        result.setblocking(False)
        return result

    def _run(self):
        while not self._is_closed:
            if self._wants_rebind.is_set():
                old, self.back = self.back, self._open((self.address[0], 0))
                old.close()
                self.rebindings += 1
                self._wants_rebind.clear()
                self._has_rebound.set()
            readable = select.select([self.front, self.back], [], [], self._patience())[0]
            if self.front in readable:
                self._take(self.front, is_up=True)
            if self.back in readable:
                self._take(self.back, is_up=False)
            self._deliver_due()

    def _patience(self) -> float:
        if not self._later:
            return 0.05
        return min(0.05, max(0, self._later[0][0] - time.monotonic()))

    def _take(self, source: socket.socket, is_up: bool):
        for _ in range(64):
            try:
                packet, sender = source.recvfrom(65_536)
            except (BlockingIOError, ConnectionRefusedError):
                return
            if is_up:
                self.client = sender
                if len(self.recorded) < self.record_limit:
                    self.recorded.append(packet)
            self._decide(packet, is_up)

    def _decide(self, packet: bytes, is_up: bool):
        weather, dice = self.weather, self.random
        is_lost = self.is_cut or len(packet) > weather.mtu
        if is_lost or (weather.loss and dice.random() < weather.loss):
            self.counts["lost"] += 1
            return
        if weather.flip and dice.random() < weather.flip:
            self.counts["flipped"] += 1
            at = dice.randrange(len(packet) * 8)
            changed = bytearray(packet)
            changed[at // 8] ^= 1 << at % 8
            packet = bytes(changed)
        delay = weather.delay
        if weather.reorder and dice.random() < weather.reorder:
            self.counts["reordered"] += 1
            delay += weather.late
        if weather.duplicate and dice.random() < weather.duplicate:
            self.counts["duplicated"] += 1
            self._schedule(packet, is_up, delay + dice.random() * weather.late)
        self._schedule(packet, is_up, delay)

    def _schedule(self, packet: bytes, is_up: bool, delay: float):
        if delay <= 0:
            self._send(packet, is_up)
            return
        self._order += 1
        heapq.heappush(self._later, (time.monotonic() + delay, self._order, packet, is_up))

    def _deliver_due(self):
        now = time.monotonic()
        while self._later and self._later[0][0] <= now:
            _, _, packet, is_up = heapq.heappop(self._later)
            self._send(packet, is_up)

    def _send(self, packet: bytes, is_up: bool):
        try:
            if is_up:
                self.back.sendto(packet, self.target)
            elif self.client:
                self.front.sendto(packet, self.client)
            self.counts["passed"] += 1
        except OSError:
            # Too large for the path, or nobody there: the network says nothing either.
            self.counts["lost"] += 1
