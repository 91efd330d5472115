"""What honest people do beside an attack, in processes of their own so that nothing slows them.

    honest.py backend ADDRESS TCP-PORT UDP-PORT   echoes
    honest.py player ADDRESS TCP-PORT UDP-PORT    asks for echoes; phases come by name on stdin,
                                                  the verdict on all of them leaves as JSON
"""

import json
import os
import selectors
import socket
import struct
import sys
import time

STREAMS, FLOWS = 3, 3
INTERVAL = 0.010
NEWCOMER_INTERVAL = 0.100
PATIENCE = 3.0
SIZE = 96


def backend(address: str, tcp: int, udp: int):
    chooser = selectors.DefaultSelector()
    listener = socket.create_server((address, tcp), backlog=1024)
    datagrams = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    datagrams.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 << 20)
    datagrams.bind((address, udp))
    chooser.register(listener, selectors.EVENT_READ)
    chooser.register(datagrams, selectors.EVENT_READ)
    print("ready", flush=True)
    while True:
        for key, _ in chooser.select():
            ready = key.fileobj
            if ready is listener:
                connection = listener.accept()[0]
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                chooser.register(connection, selectors.EVENT_READ)
            elif ready is datagrams:
                data, source = datagrams.recvfrom(65_536)
                datagrams.sendto(data, source)
            else:
                _echo(chooser, ready)


def _echo(chooser, connection: socket.socket):
    try:
        data = connection.recv(65_536)
        if data:
            connection.sendall(data)
            return
    except OSError:
        pass
    chooser.unregister(connection)
    connection.close()


def text(number: int) -> bytes:
    return struct.pack("<Q", number) * (SIZE // 8)


class Line:
    """A connection or a flow with numbered messages under way."""

    def __init__(self, endpoint: socket.socket, is_stream: bool, is_new: bool):
        self.endpoint, self.is_stream, self.is_new = endpoint, is_stream, is_new
        self.sent: dict[int, tuple[float, str]] = {}
        self.number, self.buffer = 0, b""
        self.began = time.monotonic()

    def say(self, phase: str):
        message = text(self.number)
        self.sent[self.number] = (time.monotonic(), phase)
        self.number += 1
        self.endpoint.send(message)

    def hear(self) -> list[tuple[float, str]]:
        """How long each message took that came back, and when it was sent."""
        data = self.endpoint.recv(65_536)
        if self.is_stream and not data:
            raise ConnectionError("ended")
        self.buffer = self.buffer + data if self.is_stream else data
        now, done = time.monotonic(), []
        while len(self.buffer) >= SIZE:
            message, self.buffer = self.buffer[:SIZE], self.buffer[SIZE:]
            number = struct.unpack_from("<Q", message)[0]
            if message != text(number):
                raise ValueError("altered bytes")
            if number not in self.sent or (self.is_stream and number != min(self.sent)):
                raise ValueError(f"message {number} came twice or out of order")
            began, phase = self.sent.pop(number)
            done.append((now - began, phase))
        return done


class Players:
    def __init__(self, address: str, tcp: int, udp: int):
        self.to_tcp, self.to_udp = (address, tcp), (address, udp)
        self.chooser = selectors.DefaultSelector()
        self.phase, self.times = "warm-up", {}
        self.errors: list[str] = []
        self.newcomers = 0
        self.stay = [self.enter(True, False) for _ in range(STREAMS)]
        self.stay += [self.enter(False, False) for _ in range(FLOWS)]
        self.guests: list[Line] = []

    def enter(self, is_stream: bool, is_new: bool) -> Line:
        kind = socket.SOCK_STREAM if is_stream else socket.SOCK_DGRAM
        endpoint = socket.socket(socket.AF_INET, kind)
        endpoint.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        endpoint.settimeout(PATIENCE)
        endpoint.connect(self.to_tcp if is_stream else self.to_udp)
        endpoint.setblocking(False)
        if is_stream:
            endpoint.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        line = Line(endpoint, is_stream, is_new)
        self.chooser.register(endpoint, selectors.EVENT_READ, line)
        return line

    def leave(self, line: Line):
        self.chooser.unregister(line.endpoint)
        line.endpoint.close()
        self.guests.remove(line)

    def blame(self, line: Line, error: object):
        who = "new " * line.is_new + ("stream" if line.is_stream else "flow")
        self.errors.append(f"{self.phase}: {who}: {error}")

    def hear(self, line: Line):
        try:
            for seconds, phase in line.hear():
                if not line.is_new:
                    self.times.setdefault(phase, []).append(seconds)
        except (OSError, ValueError) as error:
            self.blame(line, error)
            if not line.is_new:
                self.chooser.unregister(line.endpoint)
                self.stay.remove(line)
        if line.is_new:
            self.leave(line)

    def greet(self):
        """A new connection and a new flow; one that waits too long for its echo is lost."""
        self.newcomers += 1
        for is_stream in (True, False):
            try:
                line = self.enter(is_stream, True)
                self.guests.append(line)
                line.say(self.phase)
            except OSError as error:
                kind = "stream" if is_stream else "flow"
                self.errors.append(f"{self.phase}: new {kind}: {error}")
        self.lose(time.monotonic() - PATIENCE)

    def lose(self, before: float):
        for line in [guest for guest in self.guests if guest.began < before]:
            self.blame(line, "no echo")
            self.leave(line)

    def run(self):
        self.chooser.register(sys.stdin, selectors.EVENT_READ)
        turn = greeting = time.monotonic()
        while self.phase != "end":
            now = time.monotonic()
            if now >= turn:
                for line in list(self.stay):
                    self._say(line)
                turn = max(turn + INTERVAL, now - INTERVAL)
            if now >= greeting and self.phase != "warm-up":
                self.greet()
                greeting = now + NEWCOMER_INTERVAL
            self.listen(turn - time.monotonic())
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline and (self.guests or self.missing()):
            self.listen(0.05)
        self.lose(time.monotonic())
        if self.missing():
            self.errors.append(f"{self.missing()} messages were never echoed")

    def _say(self, line: Line):
        try:
            line.say(self.phase)
        except BlockingIOError:
            del line.sent[line.number - 1]
        except OSError as error:
            self.blame(line, error)
            self.chooser.unregister(line.endpoint)
            self.stay.remove(line)

    def missing(self) -> int:
        return sum(len(line.sent) for line in self.stay)

    def listen(self, seconds: float):
        for key, _ in self.chooser.select(max(0, seconds)):
            if key.data is None:
                self.phase = (os.read(0, 100).decode().split() or ["end"])[-1]
            elif key.data in self.stay or key.data in self.guests:
                self.hear(key.data)

    def verdict(self) -> str:
        phases = {}
        for phase, times in self.times.items():
            times.sort()
            phases[phase] = {
                "count": len(times),
                "median": times[len(times) // 2],
                "p99": times[len(times) * 99 // 100],
                "worst": times[-1],
            }
        return json.dumps(
            {"phases": phases, "errors": self.errors[:20], "newcomers": self.newcomers}
        )


if __name__ == "__main__":
    where = (sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
    if sys.argv[1] == "backend":
        backend(*where)
    else:
        players = Players(*where)
        print("ready", flush=True)
        players.run()
        print(players.verdict(), flush=True)
