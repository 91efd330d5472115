"""Backends of services that attackers use, in threads of their own."""

import socket
import struct
import threading
import time


def endless(connection: socket.socket):
    """Sends for as long as anybody takes it."""
    block = bytes(65_536)
    while True:
        connection.sendall(block)


def deaf(connection: socket.socket):
    """Reads nothing."""
    time.sleep(60)


class Counting:
    """Reads all and counts it."""

    def __init__(self):
        self.bytes = 0
        self.lock = threading.Lock()

    def __call__(self, connection: socket.socket):
        while data := connection.recv(65_536):
            with self.lock:
                self.bytes += len(data)


class NeverConnects:
    """A port whose queue of connections is full, so that no more are made."""

    def __init__(self, lab, address: str, port: int):
        self.listener = lab.open_socket("backend", socket.AF_INET, socket.SOCK_STREAM)
        self.listener.bind((address, port))
        self.listener.listen(0)
        self.fillers = []
        for _ in range(4):
            one = lab.open_socket("backend", socket.AF_INET, socket.SOCK_STREAM)
            one.setblocking(False)
            one.connect_ex((address, port))
            self.fillers.append(one)


def read_proxy_v2(connection: socket.socket):
    """The addresses of a PROXY v2 header: `None` for LOCAL, else source and destination."""
    head = _exactly(connection, 16)
    body = _exactly(connection, struct.unpack(">H", head[14:])[0])
    if head[12] & 15 == 0 or head[13] >> 4 == 0:
        return None
    source, destination = socket.inet_ntoa(body[:4]), socket.inet_ntoa(body[4:8])
    ports = struct.unpack(">HH", body[8:12])
    return (source, ports[0]), (destination, ports[1])


def _exactly(connection: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        part = connection.recv(count - len(data))
        if not part:
            raise ConnectionError("ended")
        data += part
    return data
