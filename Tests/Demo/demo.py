"""Carries real traffic through a tunnel over a bad path and compares hashes; see run.sh."""

import argparse
import hashlib
import http.client
import os
import random
import re
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

from programs import Program, metrics
from verdicts import Failed

LARGE = 64 << 20
SMALL = 256 << 10
CONNECTIONS = 50
RATE = 60
PATH = ["--delay", "15ms", "--burst-loss", "2%/15ms", "--rate", "100mbps", "--queue", "524288"]
SENT = 'fairlead_packets_total{direction="sent"}'
WEATHER = "100 Mbit/s, 30 ms round trip, 2 % of all packets lost in bursts"


class Row(NamedTuple):
    what: str
    size: str
    speed: str
    is_intact: bool


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def mebibytes(count: float) -> str:
    return f"{count / (1 << 20):.1f} MiB"


class Setting:
    """Two backends, the tunnel, and the path between its ends."""

    def __init__(self, binaries: str, folder: str):
        self.binaries, self.folder = binaries, folder
        self.children: list[subprocess.Popen] = []
        self.programs: list[Program] = []
        self.files: dict[str, str] = {}

    def path(self, name: str) -> str:
        return f"{self.folder}/{name}"

    def begin(self):
        os.mkdir(self.path("www"))
        for index in range(CONNECTIONS):
            self.publish(f"small-{index}", SMALL)
        self.publish("large", LARGE)
        web = self.start_http()
        echo = start_echo()
        server_key, client_key = self.key("server"), self.key("client")
        self.write(
            "server.toml",
            f'listen = "127.0.0.1:0"\nprivate_key = "server.key"\ncontrol = "server.sock"\n'
            f'[[peer]]\nname = "demo"\npublic_key = "{client_key}"\nservices = ["*"]\n'
            f'[[service]]\nname = "web"\nprotocol = "tcp"\nbackends = ["127.0.0.1:{web}"]\n'
            f'[[service]]\nname = "game"\nprotocol = "udp"\nbackends = ["127.0.0.1:{echo}"]\n',
        )
        (tunnel,) = self.start("server")
        relay = self.start_relay(tunnel)
        self.write(
            "client.toml",
            f'server = "127.0.0.1:{relay}"\nserver_public_key = "{server_key}"\n'
            f'private_key = "client.key"\ncontrol = "client.sock"\n'
            f'[[forward]]\nlisten = "127.0.0.1:0"\nprotocol = "tcp"\nservice = "web"\n'
            f'[[forward]]\nlisten = "127.0.0.1:0"\nprotocol = "udp"\nservice = "game"\n'
            f'class = "realtime"\n',
        )
        self.web_port, self.game_port = self.start("client")
        session = self.programs[-1].wait("session-up", 5)
        print(f"tunnel up: {session['cipher']}, over a path of {WEATHER}")

    def publish(self, name: str, count: int):
        data = random.Random(name).randbytes(count)
        self.files[name] = digest(data)
        with open(self.path(f"www/{name}"), "wb") as file:
            file.write(data)

    def key(self, name: str) -> str:
        command = [f"{self.binaries}/fairlead", "keygen", self.path(f"{name}.key")]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    def write(self, name: str, text: str):
        with open(self.path(name), "w") as file:
            file.write(text)

    def start(self, end: str) -> list[int]:
        """Returns the ports it says it listens on."""
        program = Program(
            [f"{self.binaries}/fairlead-{end}", "--config", f"{end}.toml", "--log-format", "json"],
            end,
            self.folder,
        )
        self.programs.append(program)
        listen = program.wait("ready", 10)["listen"]
        return [int(place.rpartition(":")[2]) for place in listen.split(",")]

    def start_child(self, pattern: str, *command: str) -> int:
        """Returns the port in the first line it prints."""
        child = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        self.children.append(child)
        line = child.stdout.readline()
        match = re.search(pattern, line)
        if not match:
            raise Failed(f"{command[0]} did not start: {line!r}")
        return int(match[1])

    def start_http(self) -> int:
        script = os.path.join(os.path.dirname(os.path.abspath(__file__)), "web.py")
        return self.start_child(r"port (\d+)", sys.executable, script, self.path("www"))

    def start_relay(self, port: int) -> int:
        return self.start_child(
            r"listen=\S*:(\d+)",
            *(f"{self.binaries}/testkit", "relay", "--listen", "127.0.0.1:0"),
            *("--target", f"127.0.0.1:{port}", "--seed", "1", *PATH),
        )

    def get(self, name: str) -> bool:
        """True when the file came as it was published."""
        connection = http.client.HTTPConnection("127.0.0.1", self.web_port, timeout=60)
        connection.request("GET", f"/{name}")
        answer = connection.getresponse()
        state = hashlib.sha256()
        while part := answer.read(1 << 18):
            state.update(part)
        connection.close()
        return answer.status == 200 and state.hexdigest() == self.files[name]

    def end(self):
        for program in self.programs:
            program.close()
        for child in self.children:
            child.kill()
            child.wait()


def start_echo() -> int:
    """A UDP server on a thread; returns its port."""
    backend = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    backend.bind(("127.0.0.1", 0))

    def run():
        while True:
            data, source = backend.recvfrom(65_536)
            backend.sendto(data, source)

    threading.Thread(target=run, daemon=True).start()
    return backend.getsockname()[1]


class Game:
    """A player: 60 messages a second, each of them echoed by the server."""

    def __init__(self, port: int):
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.connect(("127.0.0.1", port))
        self.socket.settimeout(0.5)
        self.sent: dict[bytes, float] = {}
        self.delays: dict[bytes, float] = {}
        self.strange = 0
        self.is_over = threading.Event()
        self.threads = [threading.Thread(target=self.play), threading.Thread(target=self.listen)]
        for thread in self.threads:
            thread.start()

    def play(self):
        dice = random.Random(7)
        due = time.monotonic()
        while not self.is_over.is_set():
            message = len(self.sent).to_bytes(4, "big") + dice.randbytes(96)
            self.sent[message] = time.monotonic()
            self.socket.send(message)
            due += 1 / RATE
            time.sleep(max(0, due - time.monotonic()))

    def listen(self):
        while True:
            try:
                message = self.socket.recv(2000)
            except TimeoutError:
                if self.is_over.is_set():
                    return
                continue
            if message in self.sent and message not in self.delays:
                self.delays[message] = time.monotonic() - self.sent[message]
            else:
                self.strange += 1

    def finish(self) -> Row:
        self.is_over.set()
        for thread in self.threads:
            thread.join()
        delays = sorted(self.delays.values())
        came, sent = len(delays), len(self.sent)
        if not delays:
            return Row("UDP messages", f"0 of {sent}", "-", False)
        middle, late = delays[came // 2] * 1000, delays[came * 99 // 100] * 1000
        return Row(
            f"UDP, {RATE} messages/s beside it all",
            f"{came} of {sent}",
            f"echo p50 {middle:.0f} ms, p99 {late:.0f} ms",
            # Datagrams may be lost, but neither changed nor doubled, and few may be lost.
            self.strange == 0 and came >= sent * 0.9,
        )


def carry(setting: Setting) -> list[Row]:
    rows = []
    game = Game(setting.game_port)
    start = time.monotonic()
    is_intact = setting.get("large")
    took = time.monotonic() - start
    rows.append(Row("1 download", mebibytes(LARGE), rate(LARGE, took), is_intact))
    start = time.monotonic()
    with ThreadPoolExecutor(CONNECTIONS) as pool:
        verdicts = list(pool.map(setting.get, [f"small-{i}" for i in range(CONNECTIONS)]))
    took = time.monotonic() - start
    total = CONNECTIONS * SMALL
    what = f"{CONNECTIONS} connections at once"
    rows.append(Row(what, mebibytes(total), rate(total, took), all(verdicts)))
    time.sleep(1)
    rows.append(game.finish())
    return rows


def rate(count: int, seconds: float) -> str:
    return f"{count * 8 / seconds / 1e6:.0f} Mbit/s ({seconds:.1f} s)"


def tell(rows: list[Row], setting: Setting):
    print(f"\n{'carried':34} {'size':>12}   {'speed':28} hash")
    for row in rows:
        verdict = "matches" if row.is_intact else "WRONG"
        print(f"{row.what:34} {row.size:>12}   {row.speed:28} {verdict}")
    print(f"\n{'packets':10} {'sent':>8} {'lost':>8} {'repaired by redundancy':>24}")
    for end in ("client", "server"):
        samples = metrics(setting.path(f"{end}.sock"))
        print(
            f"{end:10} {samples[SENT]:8.0f} {samples['fairlead_packets_lost_total']:8.0f}",
            f"{samples['fairlead_packets_recovered_total']:24.0f}",
        )
    print("What redundancy did not repair was sent again, UDP messages while they were young.\n")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bin", required=True)
    parser.add_argument("--scratch", required=True)
    options = parser.parse_args()
    setting = Setting(options.bin, options.scratch)
    try:
        setting.begin()
        rows = carry(setting)
        tell(rows, setting)
        return 0 if all(row.is_intact for row in rows) else 1
    except (Failed, OSError, http.client.HTTPException) as error:
        print(f"{type(error).__name__}: {error}")
        print("".join(program.describe() for program in setting.programs))
        return 1
    finally:
        setting.end()


if __name__ == "__main__":
    sys.exit(main())
