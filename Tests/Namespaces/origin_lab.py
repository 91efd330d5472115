"""Namespaces for the return path alone: a server, a backend behind it, and the world outside.

    world                     server                       backend
  +-----------+            +---------------+            +-----------+
  | 10.77.0.1 |-- outside -| 10.77.0.2     |            |           |
  | fd77::1   |    veth    | fd77::2       |            |           |
  | listens   |            |     10.78.0.1 |-- inside --| 10.78.0.2 |
  | for leaks |            |     fd78::1   |    veth    | fd78::2   |
  +-----------+            +---------------+            +-----------+

Everything is the server's default route to the world, and the backend's to the server.
"""

import contextlib
import ctypes
import os
import select
import socket
import struct
import subprocess
import threading
import time

from verdicts import Failed, expect

_CLONE_NEWNET = 0x4000_0000
_libc = ctypes.CDLL(None, use_errno=True)
NAMES = ("world", "server", "backend")


def place(address: str, port: int) -> str:
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


class Namespaces:
    """Made once for all tests of a run."""

    def __init__(self, prefix: str):
        self.prefix = prefix

    def __enter__(self):
        for name in NAMES:
            self._run("ip", "netns", "add", f"{self.prefix}-{name}")
            self.ip(name, "link", "set", "lo", "up")
        self._join("world", "10.77.0.1", "fd77::1", "server", "10.77.0.2", "fd77::2", "outside")
        self._join("backend", "10.78.0.2", "fd78::2", "server", "10.78.0.1", "fd78::1", "inside")
        self.ip("server", "route", "add", "default", "via", "10.77.0.1")
        self.ip("server", "-6", "route", "add", "default", "via", "fd77::1")
        self.ip("backend", "route", "add", "default", "via", "10.78.0.1")
        self.ip("backend", "-6", "route", "add", "default", "via", "fd78::1")
        return self

    def __exit__(self, *_):
        for name in NAMES:
            subprocess.run(["ip", "netns", "del", f"{self.prefix}-{name}"], capture_output=True)

    def _join(self, a: str, a4: str, a6: str, b: str, b4: str, b6: str, device: str):
        self._run(
            "ip", "link", "add", "up0", "netns", f"{self.prefix}-{a}", "type", "veth",
            "peer", "name", device, "netns", f"{self.prefix}-{b}",
        )  # fmt: skip
        for name, link, four, six in ((a, "up0", a4, a6), (b, device, b4, b6)):
            self.ip(name, "addr", "add", f"{four}/24", "dev", link)
            self.ip(name, "addr", "add", f"{six}/64", "dev", link, "nodad")
            self.ip(name, "link", "set", link, "up")

    @staticmethod
    def _run(*arguments: str) -> str:
        return subprocess.run(arguments, check=True, capture_output=True, text=True).stdout

    def ip(self, name: str, *arguments: str) -> str:
        return self._run("ip", "-n", f"{self.prefix}-{name}", *arguments)

    def sysctl(self, name: str, key: str, value: str):
        path = "/proc/sys/" + key.replace(".", "/")
        shell = ("sh", "-c", f"echo {value} >{path}")
        self._run("ip", "netns", "exec", f"{self.prefix}-{name}", *shell)

    @contextlib.contextmanager
    def inside(self, name: str):
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

    def state(self) -> str:
        """Every rule and route of the server."""
        parts = []
        for family in ("-4", "-6"):
            parts.append(self.ip("server", family, "rule"))
            table = self.ip("server", family, "route", "show", "table", "all").splitlines()
            # Neighbour discovery and its like come and go by themselves.
            parts += sorted(line for line in table if "expires" not in line and "fe80" not in line)
        return "\n".join(parts)


class Echo:
    """A backend that answers with the address it sees."""

    def __init__(self, spaces: Namespaces, where: str, protocol: str, bind: str, port: int):
        family = socket.AF_INET6 if ":" in bind else socket.AF_INET
        kind = socket.SOCK_STREAM if protocol == "tcp" else socket.SOCK_DGRAM
        with spaces.inside(where):
            self.socket = socket.socket(family, kind)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        self.socket.bind((bind, port))
        self.seen = []
        self.open = []
        if protocol == "tcp":
            self.socket.listen(16)
        body = self._tcp if protocol == "tcp" else self._udp
        threading.Thread(target=body, daemon=True).start()

    def _tcp(self):
        while True:
            try:
                connection, peer = self.socket.accept()
            except OSError:
                return
            self.open.append(connection)
            threading.Thread(target=self._answer, args=(connection, peer), daemon=True).start()

    def _answer(self, connection, peer):
        with contextlib.suppress(OSError):
            if connection.recv(100):
                self.seen.append(peer[:2])
                connection.send(place(*peer[:2]).encode())

    def _udp(self):
        while True:
            try:
                data, peer = self.socket.recvfrom(2000)
                if data:
                    self.seen.append(peer[:2])
                    self.socket.sendto(place(*peer[:2]).encode(), peer)
            except ConnectionRefusedError:
                continue
            except OSError:
                return

    def close(self):
        with contextlib.suppress(OSError):
            self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()
        for connection in self.open:
            connection.close()


class Leaks:
    """Listens on the world's wire for packets that only players should see."""

    def __init__(self, spaces: Namespaces):
        with spaces.inside("world"):
            self.socket = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(3))
        self.socket.setblocking(False)

    def found(self) -> list[str]:
        time.sleep(0.1)
        leaks = []
        while select.select([self.socket], [], [], 0)[0]:
            packet, where = self.socket.recvfrom(2000)
            protocol = struct.unpack("!H", struct.pack("H", socket.htons(where[1])))[0]
            if packet[0] >> 4 == 4 and where[1] == 0x0800:
                source, target = packet[12:16], packet[16:20]
                family = socket.AF_INET
            elif packet[0] >> 4 == 6 and where[1] == 0x86DD and packet[6] != 0:
                source, target = packet[8:24], packet[24:40]
                family = socket.AF_INET6
                # Neighbour discovery is the wire's own business.
                if packet[6] == 58 and 133 <= packet[40] <= 137:
                    continue
            else:
                continue
            if target[0] == 0xFF or target[0] >> 4 == 0xE and family == socket.AF_INET:
                continue
            name = socket.inet_ntop(family, source), socket.inet_ntop(family, target)
            leaks.append(f"{name[0]} -> {name[1]} ({protocol:#x})")
        return leaks


class Peer:
    """A running `testkit return-path-peer`."""

    def __init__(self, spaces: Namespaces, program: str, *wrapper: str):
        self.process = subprocess.Popen(
            [
                *("ip", "netns", "exec", f"{spaces.prefix}-server"),
                *wrapper,
                *(program, "return-path-peer"),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
            env={**os.environ, "SWIFT_BACKTRACE": "enable=no"},
        )

    def ask(self, line: str) -> list[str]:
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        answer = []
        while (text := self.process.stdout.readline().rstrip("\n")) != "done":
            if text == "" and self.process.poll() is not None:
                raise Failed(f"the peer ended: {self.process.returncode}, after {answer}")
            answer.append(text)
        return answer

    def prepare(self, *backends: str, mode: str = "auto", own: str = "4600") -> list[str]:
        answer = self.ask(f"prepare {mode} {own} {' '.join(backends)}")
        return [line for line in answer if not line.startswith("event installed")]

    def expect_ready(self, *backends: str):
        for line in self.prepare(*backends):
            expect(line.startswith("ready "), line)

    def kill(self):
        self.process.kill()
        self.process.wait()

    def close(self):
        if self.process.poll() is None:
            self.process.stdin.close()
            try:
                self.process.wait(5)
            except subprocess.TimeoutExpired:
                self.kill()


class OriginLab:
    """What a test works with."""

    def __init__(self, spaces: Namespaces, program: str, folder: str):
        self.spaces = spaces
        self.folder = folder
        self.program = program
        self.things = []
        self.before = spaces.state()

    def peer(self, *wrapper: str) -> Peer:
        return self._keep(Peer(self.spaces, self.program, *wrapper))

    def echo(self, where: str, protocol: str, bind: str, port: int) -> Echo:
        return self._keep(Echo(self.spaces, where, protocol, bind, port))

    def leaks(self) -> Leaks:
        return Leaks(self.spaces)

    def _keep(self, thing):
        self.things.append(thing)
        return thing

    def expect_no_crash(self):
        for thing in self.things:
            if isinstance(thing, Peer):
                thing.close()
                code = thing.process.returncode
                expect(code in (0, -9), f"the peer crashed: {code}")
        after = self.spaces.state()
        expect(after == self.before, f"rules or routes remain:\n{after}\nbefore:\n{self.before}")

    def describe(self) -> str:
        return "\n" + self.spaces.ip("server", "rule") + self.spaces.ip("server", "-6", "rule")

    def close(self):
        for thing in self.things:
            thing.close()
