#!/usr/bin/env python3
"""What it costs that the backend sees the player: Fairlead beside kcptun and go-mmproxy.

    sudo contrib/bench/origin.py [--rounds 9] [--count 1000] [--seconds 1] [--bin .build/release]

Needs root and the Debian packages kcptun and go-mmproxy. A player in one network namespace, all
else in another, with the backend on its loopback; both are removed afterwards. Rounds alternate
between the stacks; figures are medians of the rounds, differences those of each round. Markdown.

What leads to go-mmproxy must say who the player is, which here the player does itself: a PROXY v2
header before its first byte (TCP) or in every datagram (UDP).
"""
import argparse
import contextlib
import ctypes
import os
import selectors
import shutil
import socket
import statistics
import struct
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from loopback import KCPTUN, TICK  # noqa: E402

EDGE, PLAYER = "10.90.0.1", "10.90.0.2"
SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
TCP_BACKEND, UDP_BACKEND = 7001, 7002
# The way back for transparent datagrams takes all that leaves the backend's port.
DIRECT_UDP = 7003
PARALLEL = 32
_libc = ctypes.CDLL(None, use_errno=True)


class Spaces:
    """Two network namespaces joined by a veth pair, and whatever runs in them."""

    def __init__(self):
        self.prefix = f"flb{os.getpid()}"
        self.processes = []

    def __enter__(self):
        for name in ("player", "edge"):
            self.run("ip", "netns", "add", f"{self.prefix}-{name}")
            self.ip(name, "link", "set", "lo", "up")
        self.run("ip", "link", "add", "veth0", "netns", f"{self.prefix}-player", "type", "veth",
                 "peer", "name", "veth0", "netns", f"{self.prefix}-edge")
        for name, address in (("player", PLAYER), ("edge", EDGE)):
            self.ip(name, "addr", "add", f"{address}/24", "dev", "veth0")
            self.ip(name, "link", "set", "veth0", "up")
        shell = ("echo 1024 65535 >/proc/sys/net/ipv4/ip_local_port_range;"
                 "echo 1 >/proc/sys/net/ipv4/tcp_tw_reuse")
        for name in ("player", "edge"):
            self.run("ip", "netns", "exec", f"{self.prefix}-{name}", "sh", "-c", shell)
        return self

    def __exit__(self, *_):
        for process in self.processes:
            process.kill()
            process.wait()
        for name in ("player", "edge"):
            subprocess.run(["ip", "netns", "del", f"{self.prefix}-{name}"], check=False)

    @staticmethod
    def run(*command):
        subprocess.run(command, check=True)

    def ip(self, name, *words):
        self.run("ip", "-n", f"{self.prefix}-{name}", *words)

    def start(self, command, folder):
        process = subprocess.Popen(
            ["ip", "netns", "exec", f"{self.prefix}-edge", *command], cwd=folder,
            stdout=subprocess.DEVNULL, stderr=open(f"{folder}/log", "ab"),
        )
        self.processes.append(process)
        return process

    @contextlib.contextmanager
    def player(self):
        """Sockets opened here are the player's."""
        home = os.open("/proc/self/ns/net", os.O_RDONLY)
        there = os.open(f"/run/netns/{self.prefix}-player", os.O_RDONLY)
        try:
            if _libc.setns(there, 0x4000_0000) != 0:
                raise OSError(ctypes.get_errno(), "setns")
            yield
        finally:
            _libc.setns(home, 0x4000_0000)
            os.close(there)
            os.close(home)


class Stack:
    """One way from the player to the backend."""

    def __init__(self, name, port, processes, sends_header=False):
        self.name, self.port, self.processes = name, port, processes
        self.sends_header = sends_header
        self.pings, self.cost, self.setups, self.rates = [], [], [], []

    def cpu(self):
        ticks = 0
        for process in self.processes:
            fields = open(f"/proc/{process.pid}/stat").read().rsplit(")", 1)[1].split()
            ticks += int(fields[11]) + int(fields[12])
        return ticks / TICK

    def header(self, own, kind):
        """PROXY v2 for a player; nothing where the stack finds out by itself."""
        if not self.sends_header:
            return b""
        addresses = socket.inet_aton(own[0]) + socket.inet_aton(EDGE)
        ports = struct.pack("!HH", own[1], self.port)
        return SIGNATURE + bytes([0x21, kind]) + b"\0\x0c" + addresses + ports

    def added(self, other):
        """What this stack's p50 is above another's, of rounds that were measured together."""
        pairs = zip(self.pings, other.pings)
        return statistics.median(own[0] - theirs[0] for own, theirs in pairs)


# The far end.


def serve(kind, address, port):
    """An echo, in a process of its own."""
    if kind == "udp":
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as backend:
            backend.bind((address, int(port)))
            while True:
                backend.sendto(*backend.recvfrom(2048))
    listener = socket.create_server((address, int(port)), backlog=4096)
    listener.setblocking(False)
    watcher = selectors.EpollSelector()
    watcher.register(listener, selectors.EVENT_READ)
    while True:
        for key, _ in watcher.select():
            answer(key.fileobj, listener, watcher)


def answer(ready, listener, watcher):
    if ready is listener:
        with contextlib.suppress(BlockingIOError):
            connection, _ = listener.accept()
            connection.setblocking(False)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            watcher.register(connection, selectors.EVENT_READ)
        return
    try:
        data = ready.recv(4096)
        ready.send(data)
    except OSError:
        data = b""
    if not data:
        watcher.unregister(ready)
        ready.close()


# What is measured.


def quantiles(times):
    times.sort()
    return times[len(times) // 2], times[len(times) * 99 // 100]


def ping_pong(spaces, stack, kind, count):
    """Microseconds of a round trip of 64 bytes, p50 and p99, and processor µs of the stack."""
    with spaces.player():
        player = socket.socket(socket.AF_INET, kind)
    player.settimeout(10)
    player.connect((EDGE, stack.port))
    is_stream = kind == socket.SOCK_STREAM
    header = stack.header(player.getsockname(), 0x11 if is_stream else 0x12)
    if is_stream:
        player.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        player.sendall(header)
        header = b""
    message, times = header + b"x" * 64, []
    for index in range(count + 100):
        if index == 100:
            before = stack.cpu()
        began = time.perf_counter()
        player.send(message)
        got = len(player.recv(64))
        while is_stream and got < 64:
            got += len(player.recv(64 - got))
        if index >= 100:
            times.append((time.perf_counter() - began) * 1e6)
    stack.pings.append(quantiles(times))
    stack.cost.append((stack.cpu() - before) / count * 1e6)
    player.close()


def set_up(spaces, stack, count):
    """Microseconds from the start of a connection to its first echo, one after the other."""
    times = []
    with spaces.player():
        for _ in range(count):
            began = time.perf_counter()
            with socket.socket() as player:
                player.settimeout(10)
                player.connect((EDGE, stack.port))
                player.sendall(stack.header(player.getsockname(), 0x11) + b"x" * 64)
                got = 0
                while got < 64:
                    got += len(player.recv(64 - got))
            times.append((time.perf_counter() - began) * 1e6)
    return quantiles(times)[0]


def connections(spaces, stack, seconds):
    """Connections a second, each with one echo, with many under way at once."""
    watcher = selectors.EpollSelector()
    finished, end = 0, time.monotonic() + seconds

    def begin():
        player = socket.socket()
        player.setblocking(False)
        player.connect_ex((EDGE, stack.port))
        watcher.register(player, selectors.EVENT_WRITE)

    with spaces.player():
        for _ in range(PARALLEL):
            begin()
        while (now := time.monotonic()) < end:
            for key, mask in watcher.select(end - now):
                player = key.fileobj
                if mask & selectors.EVENT_WRITE:
                    player.send(stack.header(player.getsockname(), 0x11) + b"x" * 64)
                    watcher.modify(player, selectors.EVENT_READ)
                    continue
                player.recv(64)
                watcher.unregister(player)
                player.close()
                finished += 1
                begin()
    for key in list(watcher.get_map().values()):
        key.fileobj.close()
    return finished / seconds


# The stacks.


def fairlead(spaces, binaries, folder):
    """Every service once without origins and once with; their ports, and both processes."""
    keys = {}
    for name in ("server", "client"):
        command = [f"{binaries}/fairlead", "keygen", f"{folder}/{name}.key"]
        run = subprocess.run(command, capture_output=True, text=True, check=True)
        keys[name] = run.stdout.strip()
    server = ['listen = "127.0.0.1:4600"', 'private_key = "server.key"', 'control = "off"',
              f'[[peer]]\nname = "bench"\npublic_key = "{keys["client"]}"\nservices = ["*"]',
              'origins = ["10.90.0.0/24"]']
    client = ['server = "127.0.0.1:4600"', f'server_public_key = "{keys["server"]}"',
              'private_key = "client.key"', 'control = "off"']
    ports = {}
    for protocol, backend in (("tcp", TCP_BACKEND), ("udp", UDP_BACKEND)):
        for index, origin in enumerate(("none", "transparent")):
            name, port = f"{protocol}-{origin}", backend + 100 * (index + 1)
            ports[name] = port
            server.append(f'[[service]]\nname = "{name}"\nprotocol = "{protocol}"\n'
                          f'backends = ["127.0.0.1:{backend}"]\norigin = "{origin}"')
            forward = f'[[forward]]\nprotocol = "{protocol}"\nservice = "{name}"\nlisten = '
            client.append(f'{forward}"{EDGE}:{port}"')
        # And once more for players that a proxy names, as go-mmproxy has them.
        ports[f"{protocol}-accept"] = port + 1000
        client.append(f'{forward}"{EDGE}:{port + 1000}"\naccept = "proxy-v2"\n'
                      f'trusted = ["{PLAYER}/32"]')
    for name, lines in (("server", server), ("client", client)):
        with open(f"{folder}/{name}.toml", "w") as file:
            file.write("\n".join(lines) + "\n")
    processes = [spaces.start([f"{binaries}/fairlead-{end}", "--config", f"{end}.toml"], folder)
                 for end in ("server", "client")]
    return ports, processes


def mmproxy(spaces, folder, address, port, protocol, backend):
    return spaces.start(["go-mmproxy", "-l", f"{address}:{port}", "-4", f"127.0.0.1:{backend}",
                         "-6", f"[::1]:{backend}", "-p", protocol], folder)


def kcptun(spaces, folder, port, tunnel, target):
    return [
        spaces.start(["kcptun-server", "-t", f"127.0.0.1:{target}", "-l", f"127.0.0.1:{tunnel}",
                      *KCPTUN], folder),
        spaces.start(["kcptun-client", "-r", f"127.0.0.1:{tunnel}", "-l", f"{EDGE}:{port}",
                      *KCPTUN], folder),
    ]


def stacks_of(spaces, binaries, folder):
    """Lists of TCP and of UDP stacks; the first of each is the way without any."""
    # The rules that go-mmproxy's manual asks for.
    spaces.ip("edge", "rule", "add", "from", "127.0.0.1/8", "iif", "lo", "table", "123")
    spaces.ip("edge", "route", "add", "local", "0.0.0.0/0", "dev", "lo", "table", "123")
    # One of each for the way without a stack, and one for all others.
    for served in (("tcp", EDGE, TCP_BACKEND), ("tcp", "127.0.0.1", TCP_BACKEND),
                   ("udp", EDGE, DIRECT_UDP), ("udp", "127.0.0.1", UDP_BACKEND)):
        command = [sys.executable, os.path.abspath(__file__), "--serve", *map(str, served)]
        spaces.start(command, folder)
    ports, pair = fairlead(spaces, binaries, folder)
    behind = mmproxy(spaces, folder, "127.0.0.1", 7301, "tcp", TCP_BACKEND)
    alone = mmproxy(spaces, folder, EDGE, 7302, "tcp", TCP_BACKEND)
    alone_udp = mmproxy(spaces, folder, EDGE, 7303, "udp", UDP_BACKEND)
    tcp = [
        Stack("direct", TCP_BACKEND, []),
        Stack("Fairlead, `none`", ports["tcp-none"], pair),
        Stack("Fairlead, `transparent`", ports["tcp-transparent"], pair),
        Stack("Fairlead, `transparent` behind PROXY v2", ports["tcp-accept"], pair, True),
        Stack("kcptun", 7401, kcptun(spaces, folder, 7401, 7501, TCP_BACKEND)),
        Stack("kcptun + go-mmproxy", 7402,
              kcptun(spaces, folder, 7402, 7502, 7301) + [behind], True),
        Stack("go-mmproxy alone", 7302, [alone], True),
    ]
    udp = [
        Stack("direct", DIRECT_UDP, []),
        Stack("Fairlead, `none`", ports["udp-none"], pair),
        Stack("Fairlead, `transparent`", ports["udp-transparent"], pair),
        Stack("Fairlead, `transparent` behind PROXY v2", ports["udp-accept"], pair, True),
        Stack("go-mmproxy alone", 7303, [alone_udp], True),
    ]
    return tcp, udp


def measure(spaces, tcp, udp, options):
    for _ in range(options.rounds):
        for stack in tcp:
            ping_pong(spaces, stack, socket.SOCK_STREAM, options.count)
        for stack in tcp:
            stack.setups.append(set_up(spaces, stack, 200))
            stack.rates.append(connections(spaces, stack, options.seconds))
        for stack in udp:
            ping_pong(spaces, stack, socket.SOCK_DGRAM, options.count)


# The report.


def report(tcp, udp):
    print("| TCP | 64 B ping-pong p50 / p99, µs | added p50, µs | CPU µs a round trip "
          "| connection to first echo, µs | connections/s |")
    print("|---|---|---|---|---|---|")
    for stack in tcp:
        print(row(stack, tcp[0]) + f" {statistics.median(stack.setups):.0f} "
              f"| {statistics.median(stack.rates):.0f} |")
    print("\n| UDP | 64 B ping-pong p50 / p99, µs | added p50, µs | CPU µs a round trip |")
    print("|---|---|---|---|")
    for stack in udp:
        print(row(stack, udp[0]))
    direct, none, transparent, _, tunnel, behind, alone = tcp
    print("\n| hand-over alone, added p50 | TCP, µs | UDP, µs |\n|---|---|---|")
    print(f"| Fairlead, `transparent` less `none` | {transparent.added(none):.0f} "
          f"| {udp[2].added(udp[1]):.0f} |")
    print(f"| go-mmproxy behind kcptun | {behind.added(tunnel):.0f} | – |")
    print(f"| go-mmproxy alone | {alone.added(direct):.0f} | {udp[4].added(udp[0]):.0f} |")


def row(stack, direct):
    p50, p99 = (statistics.median(ping[i] for ping in stack.pings) for i in (0, 1))
    cost = f"{statistics.median(stack.cost):.0f}" if stack.processes else "–"
    return (f"| {stack.name} | {p50:.0f} / {p99:.0f} | {stack.added(direct):.0f} "
            f"| {cost} |")


def main():
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--rounds", type=int, default=9)
    options.add_argument("--count", type=int, default=1000)
    options.add_argument("--seconds", type=float, default=1)
    options.add_argument("--bin", default=".build/release")
    options.add_argument("--serve", nargs=3, help=argparse.SUPPRESS)
    options = options.parse_args()
    if options.serve:
        return serve(*options.serve)
    if os.geteuid() != 0:
        sys.exit("namespaces and transparent sockets need root")
    for tool in ("go-mmproxy", "kcptun-client", "kcptun-server"):
        if not shutil.which(tool):
            sys.exit(f"{tool} is missing: apt-get install kcptun go-mmproxy")
    print(f"`contrib/bench/origin.py --rounds {options.rounds} --count {options.count} "
          f"--seconds {options.seconds:g}`, load average {os.getloadavg()[0]:.1f} before\n")
    with tempfile.TemporaryDirectory() as folder, Spaces() as spaces:
        tcp, udp = stacks_of(spaces, os.path.abspath(options.bin), folder)
        time.sleep(2.5)
        measure(spaces, tcp, udp, options)
        report(tcp, udp)
    print(f"\nLoad average {os.getloadavg()[0]:.1f} after, {os.cpu_count()} cores.")


if __name__ == "__main__":
    main()
