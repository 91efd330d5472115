"""`testkit player-swarm`, and what the kernel says of a program that serves it."""

import json
import os
import subprocess

from lab import place
from verdicts import expect


class Swarm:
    """A running `testkit player-swarm`: answers each line it is told with one of JSON."""

    def __init__(self, lab, where: str, *arguments: str):
        command = ["ip", "netns", "exec", f"{lab.prefix}-{where}"]
        self.process = subprocess.Popen(
            [*command, f"{lab.binaries}/testkit", "player-swarm", *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.pid = self.process.pid
        expect(self.hear().get("ready"), "player-swarm does not start")

    def ask(self, *words) -> dict:
        self.tell(*words)
        return self.hear()

    def tell(self, *words):
        print(*words, file=self.process.stdin, flush=True)

    def hear(self) -> dict:
        line = self.process.stdout.readline()
        expect(line, "player-swarm ended")
        return json.loads(line)

    def close(self):
        self.process.stdin.close()
        self.process.wait(5)


def players(lab, where, target, first, count, ports, first_port=20_000, size=100) -> Swarm:
    numbers = (count, ports, first_port, size)
    return Swarm(lab, where, "play", target, place(first, 0), *map(str, numbers))


def cpu_seconds(pid: int) -> float:
    """Of all threads, to the nanosecond; `stat` counts in ticks."""
    total = 0
    for thread in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{thread}/schedstat") as file:
            total += int(file.read().split()[0])
    return total / 1e9


def own_bytes(pid: int) -> int:
    """Resident memory that belongs to the process alone, as opposed to its program's file."""
    with open(f"/proc/{pid}/status") as status:
        for line in status:
            if line.startswith("RssAnon:"):
                return int(line.split()[1]) * 1024
    return 0


def kernel_drops(pid: int) -> int:
    """Datagrams that UDP sockets of the process's namespace had no room for."""
    total = 0
    for name in ("udp", "udp6"):
        with open(f"/proc/{pid}/net/{name}") as table:
            total += sum(int(line.split()[-1]) for line in list(table)[1:])
    return total
