"""An attack on the shipped server, and honest players beside it whose promises must hold."""

import base64
import contextlib
import json
import os
import socket
import struct
import subprocess
import sys
import time

from lab import BACKEND4, EDGE4, SERVER4, TUNNEL_PORT, Lab, Service
from peer import Peer
from peers import TCPBackend, UDPEcho
from programs import fetch, metrics
from protocol import KeyPair
from verdicts import Failed, Skipped, case, expect

HERE = os.path.dirname(os.path.abspath(__file__))
SERVER = (SERVER4, TUNNEL_PORT)
ATTACKER, VICTIM, BYSTANDER = "10.80.1.3", "10.80.1.4", "10.80.1.5"
OTHERS_PORT = 4700
ADMIN = "127.0.0.1:9460"

WEB = Service("web", "tcp", f"{BACKEND4}:8080", "0.0.0.0:8080")
VOICE = Service("voice", "udp", f"{BACKEND4}:9000", "0.0.0.0:9000")

MIB = 1 << 20
# Below this the slowest hundredth of echoes is this machine's scheduling, not the server's work:
# attacker, players and two tunnels share its processors. The faults that these cases found cost
# 70 to 430 ms.
NOISE = 0.025
ROUNDS = 3


class Late(Failed):
    """Honest echoes were slow. On a busy machine this can be chance: another round tells."""


class Honest:
    """Players of `honest.py`: those of the server that is attacked, and others beside them.

    The others have a server and a client of their own, the same programs on the same machine.
    Whatever slows them, it is not the attack.
    """

    def __init__(self, lab: Lab):
        self.lab = lab
        self.backend = self._start("backend", "backend", BACKEND4, "8080", "9000")
        self.groups: list[subprocess.Popen] = []

    def _start(self, where: str, *arguments: str) -> subprocess.Popen:
        command = ["ip", "netns", "exec", f"{self.lab.prefix}-{where}", sys.executable, "-B",
                   f"{HERE}/honest.py", *arguments]  # fmt: skip
        return subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, preexec_fn=_first
        )

    def arrive(self):
        self._expect_ready(self.backend)
        for tcp, udp in (("8080", "9000"), ("8070", "9070")):
            self.groups.append(self._start("player", "player", EDGE4, tcp, udp))
        for group in self.groups:
            self._expect_ready(group)

    @staticmethod
    def _expect_ready(process: subprocess.Popen):
        expect(process.stdout.readline() == "ready\n", "honest.py does not start")

    def phase(self, name: str):
        for group in self.groups:
            group.stdin.write(name + "\n")
            group.stdin.flush()

    def verdicts(self) -> list[dict]:
        """Of those who are attacked, and of the others."""
        self.phase("end")
        return [json.loads(group.stdout.readline()) for group in self.groups]

    def close(self):
        for process in (self.backend, *self.groups):
            process.kill()
            process.wait(5)


def _first():
    """What measures waits for nobody, where the system lets it."""
    try:
        os.setpriority(os.PRIO_PROCESS, 0, -10)
    except PermissionError:
        pass


class Later:
    """The server's clock, which can be set forward; see later.c."""

    def __init__(self, field: "Field"):
        self.path, self.seconds = field.clock, 0.0

    def add(self, seconds: float):
        self.seconds += seconds
        with open(self.path, "r+b") as file:
            file.write(struct.pack("<q", int(self.seconds * 1e9)))

    def pass_by(self, seconds: float):
        """In steps, so that what is due meanwhile is done."""
        for _ in range(int(seconds)):
            self.add(1)
            time.sleep(0.01)


class Field:
    """A server, an honest client with players, and the keys of attackers."""

    def __init__(self, lab: Lab, services=(), buffer: int = 4, top: str = "", peers=("",),
                 before=(), clock: bool = False):  # fmt: skip
        """`buffer`: MiB of `session_buffer`; `peers`: lines for the [[peer]] of each attacker.

        With `clock`, both ends have a clock that can be set forward.
        """
        self.lab, self.buffer, self.hostile = lab, buffer * MIB, max(1, len(peers))
        for address in (ATTACKER, VICTIM, BYSTANDER):
            lab.ip("client", "addr", "replace", f"{address}/24", "dev", "to-server")
        self.keys = [KeyPair() for _ in peers]
        if clock:
            before = (*before, *self._make_clock())
        text = 'services = ["*"]\n'
        for number, (key, lines) in enumerate(zip(self.keys, peers)):
            public = base64.b64encode(key.public).decode()
            text += f'\n[[peer]]\nname = "mallory{number}"\npublic_key = "{public}"\n'
            text += ("" if "services" in lines else 'services = ["*"]\n') + lines
        sizes = "" if buffer == 64 else (
            f'session_buffer = "{buffer} MiB"\nstream_buffer = "{min(buffer, 8)} MiB"\n'
        )
        head = f'admin = "{ADMIN}"\n{sizes}{top}'
        self.honest = Honest(lab)
        everything = [WEB, VOICE, *services]
        config = lab.write("server.toml", lab.server_text(everything, head, text))
        self.server = lab.start("fairlead-server", "server", config, "server", before=before)
        config = lab.write("client.toml", lab.client_text([WEB, VOICE]))
        before = before if clock else ()
        self.client = lab.start("fairlead-client", "client", config, "client", before=before)
        self._start_others(lab)
        for program in lab.programs[-4:]:
            program.wait("ready", 5)
        for client in (lab.programs[-3], lab.programs[-1]):
            client.wait("session-up", 5)
        self.server_public = base64.b64decode(lab.server_key)
        self.peers: list[Peer] = []
        self.sockets = []

    def _start_others(self, lab: Lab):
        """The server and the client of those who are not attacked."""
        text = lab.server_text([WEB, VOICE], f'listen = "0.0.0.0:{OTHERS_PORT}"\n')
        text = text.replace('"server.sock"', '"others-server.sock"')
        config = lab.write("others-server.toml", text)
        lab.start("fairlead-server", "server", config, "others' server")
        forwards = [WEB._replace(listen="0.0.0.0:8070"), VOICE._replace(listen="0.0.0.0:9070")]
        top = f'server = "{SERVER4}:{OTHERS_PORT}"\ncontrol = "others-client.sock"\n'
        config = lab.write("others-client.toml", lab.client_text(forwards, top))
        lab.start("fairlead-client", "client", config, "others' client")

    def _make_clock(self) -> tuple[str, ...]:
        library = os.environ.get("LATER_LIBRARY", "")
        if not os.path.exists(library):
            raise Skipped("no C compiler for the clock")
        self.clock = self.lab.write("clock", "\0" * 8)
        return "env", f"LD_PRELOAD={library}", f"LATER={self.clock}"

    def serve(self, port: int, handler) -> TCPBackend:
        """A TCP backend for attackers; `handler` gets each connection."""
        made = TCPBackend(self.lab, BACKEND4, port, handler)
        self.sockets.append(made.listener)
        return made

    def echo(self, port: int) -> UDPEcho:
        made = UDPEcho(self.lab, BACKEND4, port)
        self.sockets.append(made.socket)
        return made

    def peer(self, number: int = 0, address: str = ATTACKER, **options) -> Peer:
        made = Peer(self.lab, self.keys[number], self.server_public, SERVER, address, **options)
        self.peers.append(made)
        return made

    def measure_idle(self, seconds: float = 0.7):
        self.honest.arrive()
        time.sleep(0.2)
        self.honest.phase("idle")
        time.sleep(seconds)
        self.honest.phase("attack")
        self.idle_memory, self.idle_time = self.server.resident_bytes(), self.processor_time()
        self.began = time.monotonic()

    # What the server says of itself.

    def counter(self, name: str) -> float:
        """The sum of all samples whose name begins so."""
        page = metrics(self.lab.control["server"])
        return sum(value for key, value in page.items() if key.startswith(name))

    def drops(self, reason: str) -> float:
        return self.counter(f'fairlead_drops_total{{reason="{reason}"}}')

    def expect_drops(self, reason: str, least: int):
        """That the attack arrived, and was seen for what it is."""
        found = self.drops(reason)
        expect(found >= least, f"{found:g} drops for {reason}, expected {least} or more")

    def sessions(self, number: int = 0) -> list[dict]:
        page = json.loads(fetch("/status", self.lab.control["server"])[1])
        return [one for one in page["sessions"] if one["peer"] == f"mallory{number}"]

    def peak_memory(self) -> int:
        with open(f"/proc/{self.server.pid}/status") as status:
            return next(int(line.split()[1]) << 10 for line in status if "VmHWM" in line)

    def processor_time(self) -> float:
        with open(f"/proc/{self.server.pid}/stat") as stat:
            fields = stat.read().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    # The end.

    def judge(self):
        expect(self.server.process.poll() is None, "the server ended")
        expect(self.client.process.poll() is None, "the honest client ended")
        load = (self.processor_time() - self.idle_time) / (time.monotonic() - self.began)
        verdict, others = self.honest.verdicts()
        expect(not verdict["errors"], f"honest players: {verdict['errors']}")
        expect(verdict["newcomers"] >= 5, f"only {verdict['newcomers']} newcomers were tried")
        for program in (self.client, self.server):
            down = [event for event in program.events if event.get("event") == "session-down"
                    and event.get("peer") in ("edge", "server")]  # fmt: skip
            expect(not down, f"the honest session ended: {down}")
        # Above what it held before: the program itself, and the honest client.
        grown = self.peak_memory() - self.idle_memory
        bound = self.hostile * (self.buffer * 3 // 2 + 32 * MIB)
        expect(grown <= bound, f"memory {grown / MIB:.1f} MiB more, bound {bound / MIB:.1f}")
        phases = verdict["phases"]
        expect(phases["attack"]["count"] >= 200, f"too few echoes beside the attack: {phases}")
        late, idle = phases["attack"]["p99"], phases["idle"]["p99"]
        beside = others["phases"]["attack"]["p99"]
        figures = (f"echo p99 {late * 1000:.1f} ms, before {idle * 1000:.1f}, of others "
                   f"{beside * 1000:.1f}, memory {grown / MIB:.1f} of {bound / MIB:.0f} MiB, "
                   f"processor {load:.0%}")  # fmt: skip
        if late >= max(3 * idle, 3 * beside, NOISE):
            raise Late(figures)
        print(f"     {figures}")

    def close(self):
        self.honest.close()
        for peer in self.peers:
            peer.close()
        for one in self.sockets:
            # A close alone leaves the port to the thread that waits there.
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()


def attack(name: str, seconds: float = 45, **options):
    """Registers a case: `body(field)` attacks, and the honest players are judged afterwards."""

    def register(body):
        def run(lab: Lab):
            for number in range(ROUNDS):
                try:
                    _round(lab, number, body, options)
                    return
                except Late as late:
                    if number == ROUNDS - 1:
                        raise
                    print(f"     round {number + 1} of {name}: {late}", flush=True)

        return case(name, seconds)(run)

    return register


def _round(lab: Lab, number: int, body, options: dict):
    inner = Lab(lab.binaries, f"{lab.folder}/{number}", lab.prefix)
    field = None
    first = len(lab.programs)
    inner.programs = lab.programs
    try:
        field = Field(inner, **options)
        field.measure_idle()
        # Attackers are other people's machines: what they cost here must not count.
        os.setpriority(os.PRIO_PROCESS, 0, 10)
        began = time.monotonic()
        body(field)
        time.sleep(max(0.2, began + 1.0 - time.monotonic()))
        inner.expect_no_crash()
        field.judge()
    finally:
        try:
            os.setpriority(os.PRIO_PROCESS, 0, 0)
        except PermissionError:
            pass
        if field:
            field.close()
        for program in lab.programs[first:]:
            program.close()
