"""The four namespaces, and tunnels between them."""

import contextlib
import ctypes
import os
import socket
import subprocess
import time
from typing import NamedTuple

from programs import Program
from verdicts import Failed, expect

PLAYER4, EDGE4 = "10.80.0.2", "10.80.0.1"
PLAYER6, EDGE6 = "fd80::2", "fd80::1"
CLIENT4, SERVER4 = "10.80.1.1", "10.80.1.2"
CLIENT6, SERVER6 = "fd80:1::1", "fd80:1::2"
BACKEND4, BACKEND6 = "10.80.2.2", "fd80:2::2"
TUNNEL_PORT = 4600

_CLONE_NEWNET = 0x4000_0000
_libc = ctypes.CDLL(None, use_errno=True)


class Service(NamedTuple):
    """A service, the backend behind it and the forward that leads to it."""

    name: str
    protocol: str
    backend: str
    listen: str
    service_lines: str = ""
    forward_lines: str = ""


def place(address: str, port: int) -> str:
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


class Refused:
    """A connection that was made and reset before anybody could look: using it says so."""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def __getattr__(self, name: str):
        def fail(*_):
            raise ConnectionResetError(name)

        return fail

    def settimeout(self, _):
        pass

    def close(self):
        pass


class Lab:
    def __init__(self, binaries: str, scratch: str, prefix: str):
        self.binaries = binaries
        self.prefix = prefix
        self.folder = scratch
        os.makedirs(scratch, exist_ok=True)
        self.programs: list[Program] = []
        self.server_key = self.key("server")
        self.client_key = self.key("client")

    # Namespaces.

    @contextlib.contextmanager
    def inside(self, name: str):
        """The calling thread opens its sockets in the namespace; they stay there for life."""
        home = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
        there = os.open(f"/run/netns/{self.prefix}-{name}", os.O_RDONLY)
        try:
            self._enter(there)
            yield
        finally:
            self._enter(home)
            os.close(there)
            os.close(home)

    @staticmethod
    def _enter(descriptor: int):
        if _libc.setns(descriptor, _CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), "setns")

    def ip(self, name: str, *arguments: str):
        subprocess.run(["ip", "-n", f"{self.prefix}-{name}", *arguments], check=True)

    def open_socket(self, name: str, family: int, kind: int) -> socket.socket:
        with self.inside(name):
            return socket.socket(family, kind)

    def udp(self, name: str, address: str, port: int = 0, seconds: float = 5) -> socket.socket:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        result = self.open_socket(name, family, socket.SOCK_DGRAM)
        result.bind((address, port))
        result.settimeout(seconds)
        return result

    def connect(self, address: str, port: int, seconds: float = 10, receive_buffer=None):
        """A player's TCP connection."""
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        result = self.open_socket("player", family, socket.SOCK_STREAM)
        if receive_buffer:
            result.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        result.settimeout(seconds)
        try:
            result.connect((address, port))
        except ConnectionResetError:
            result.close()
            return Refused()
        return result

    # Programs.

    def key(self, name: str) -> str:
        path = f"{self.folder}/{name}.key"
        run = subprocess.run(
            [f"{self.binaries}/fairlead", "keygen", path], capture_output=True, text=True
        )
        expect(run.returncode == 0, f"keygen: {run.stderr}")
        return run.stdout.strip()

    def write(self, name: str, text: str) -> str:
        path = f"{self.folder}/{name}"
        with open(path, "w") as file:
            file.write(text)
        return path

    def start(
        self, program: str, where: str, config: str, name: str, *options: str, before=()
    ) -> Program:
        """`before`: a command that runs the program."""
        arguments = [
            "ip", "netns", "exec", f"{self.prefix}-{where}", *before, f"{self.binaries}/{program}",
            "--config", config, "--log-format", "json", "--log-level", "debug", *options,
        ]  # fmt: skip
        running = Program(arguments, name, self.folder)
        self.programs.append(running)
        return running

    def server_text(self, services: list[Service], top: str = "", peer: str = "") -> str:
        listen = "" if "listen =" in top else f'listen = ["0.0.0.0:{TUNNEL_PORT}", "[::]:4600"]\n'
        text = (
            f'{listen}private_key = "server.key"\ncontrol = "server.sock"\n{top}\n'
            f'[[peer]]\nname = "edge"\npublic_key = "{self.client_key}"\n'
            + (peer or 'services = ["*"]\n')
        )
        for service in services:
            text += (
                f'\n[[service]]\nname = "{service.name}"\nprotocol = "{service.protocol}"\n'
                f'backends = ["{service.backend}"]\n{service.service_lines}\n'
            )
        return text

    def client_text(self, services: list[Service], top: str = "") -> str:
        server = "" if "server =" in top else f'server = "{SERVER4}:{TUNNEL_PORT}"\n'
        key = "" if "server_public_key" in top else f'server_public_key = "{self.server_key}"\n'
        private = "" if "private_key" in top else 'private_key = "client.key"\n'
        control = "" if "control =" in top else 'control = "client.sock"\n'
        text = f"{server}{key}{private}{control}{top}\n"
        for service in services:
            text += (
                f'\n[[forward]]\nlisten = "{service.listen}"\nprotocol = "{service.protocol}"\n'
                f'service = "{service.name}"\n{service.forward_lines}\n'
            )
        return text

    def start_server(self, services: list[Service], top: str = "", peer: str = "") -> Program:
        config = self.write("server.toml", self.server_text(services, top, peer))
        server = self.start("fairlead-server", "server", config, "server")
        server.wait("ready", 5)
        return server

    def start_client(self, services: list[Service], top: str = "", name="client") -> Program:
        config = self.write(f"{name}.toml", self.client_text(services, top))
        client = self.start("fairlead-client", "client", config, name)
        client.wait("ready", 5)
        return client

    def tunnel(self, services: list[Service], server="", client="") -> tuple[Program, Program]:
        """Both ends, with the session up."""
        pair = (self.start_server(services, server), self.start_client(services, client))
        pair[1].wait("session-up", 5)
        return pair

    @property
    def control(self) -> dict[str, str]:
        return {end: f"{self.folder}/{end}.sock" for end in ("client", "server")}

    # The end of a test.

    def expect_no_crash(self):
        for program in self.programs:
            if program.has_crashed:
                raise Failed(f"{program.name} crashed: {program.process.returncode}")

    def describe(self) -> str:
        return "".join(program.describe() for program in self.programs)

    def close(self):
        for program in self.programs:
            program.close()


def until(seconds: float, what: str, check):
    """Asks `check` until it is true."""
    deadline = time.monotonic() + seconds
    while not (answer := check()):
        if time.monotonic() > deadline:
            raise Failed(f"{what}: not within {seconds:g} s")
        time.sleep(0.02)
    return answer
