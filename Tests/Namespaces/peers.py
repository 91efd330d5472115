"""What stands at the far ends of the tunnel: backends, and players' habits."""

import hashlib
import random
import socket
import threading
from concurrent.futures import ThreadPoolExecutor

CHUNK = 256 * 1024


def payload(seed: int, count: int) -> bytes:
    return random.Random(seed).randbytes(count)


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def drain(connection: socket.socket) -> tuple[int, str]:
    """Bytes and hash of everything up to the end."""
    count, state = 0, hashlib.sha256()
    while part := connection.recv(CHUNK):
        count += len(part)
        state.update(part)
    return count, state.hexdigest()


def read_exactly(connection: socket.socket, count: int) -> bytes:
    parts, missing = [], count
    while missing:
        part = connection.recv(min(missing, CHUNK))
        if not part:
            raise ConnectionError(f"ended {missing} bytes early")
        parts.append(part)
        missing -= len(part)
    return b"".join(parts)


def exchange(connection: socket.socket, data: bytes) -> tuple[int, str]:
    """Sends all of it while it reads all there is; returns what came."""
    with ThreadPoolExecutor(1) as pool:
        sending = pool.submit(_send_all, connection, data)
        received = drain(connection)
        sending.result()
    return received


def _send_all(connection: socket.socket, data: bytes):
    connection.sendall(data)
    connection.shutdown(socket.SHUT_WR)


def echo(connection: socket.socket):
    while part := connection.recv(CHUNK):
        connection.sendall(part)


def reset(connection: socket.socket):
    """Closes with a reset instead of an end."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    connection.close()


class TCPBackend:
    """Accepts, and gives each connection to `handler` on a thread of its own."""

    def __init__(
        self,
        lab,
        address: str,
        port: int,
        handler,
        receive_buffer: int | None = None,
        where: str = "backend",
    ):
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        self.listener = lab.open_socket(where, family, socket.SOCK_STREAM)
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if receive_buffer:
            self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.listener.bind((address, port))
        self.listener.listen(256)
        self.handler = handler
        self.results: list = []
        self.errors: list[BaseException] = []
        self.peers: list[tuple] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                connection, peer = self.listener.accept()
            except OSError:
                return
            self.peers.append(peer)
            threading.Thread(target=self._serve, args=[connection], daemon=True).start()

    def _serve(self, connection: socket.socket):
        try:
            self.results.append(self.handler(connection))
        except OSError as error:
            self.errors.append(error)
        finally:
            connection.close()


class UDPEcho:
    """Sends every datagram back to where it came from."""

    def __init__(self, lab, address: str, port: int, where: str = "backend"):
        self.socket = lab.udp(where, address, port, seconds=None)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        self.sources: set = set()
        self.count = 0
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self):
        while True:
            try:
                data, source = self.socket.recvfrom(65_536)
            except OSError:
                return
            if not source:
                return
            self.sources.add(source)
            self.count += 1
            self.socket.sendto(data, source)

    def stop(self):
        """Nobody listens there any more when this returns."""
        # A close alone leaves the socket to the thread that still reads from it.
        try:
            self.socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.socket.close()
        self._thread.join(1)


def ask(player: socket.socket, data: bytes, to: tuple, tries: int = 5, wait: float = 1) -> bytes:
    """One datagram and its echo; asks again, as UDP programs do."""
    player.settimeout(wait)
    for _ in range(tries):
        player.sendto(data, to)
        try:
            while True:
                answer = player.recvfrom(65_536)[0]
                if answer == data:
                    return answer
        except TimeoutError:
            continue
    raise TimeoutError(f"no echo of {len(data)} bytes in {tries} tries")
