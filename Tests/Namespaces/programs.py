"""The programs under test: started, stopped and watched through their log."""

import http.client
import json
import os
import signal
import socket
import subprocess
import threading
import time

from verdicts import Failed, expect


class Program:
    """One running program; its log lines are events with keys."""

    def __init__(self, arguments: list[str], name: str, folder: str):
        self.name = name
        self.events: list[dict] = []
        self.lines: list[str] = []
        self._news = threading.Condition()
        self.started = time.monotonic()
        environment = {**os.environ, "SWIFT_BACKTRACE": "enable=no"}
        self.process = subprocess.Popen(
            arguments,
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        self.pid = self.process.pid
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self):
        for raw in self.process.stderr:
            line = raw.decode(errors="replace").rstrip("\n")
            try:
                event = json.loads(line)
            except ValueError:
                event = {}
            with self._news:
                self.lines.append(line)
                if isinstance(event, dict) and event:
                    event["at"] = time.monotonic()
                    self.events.append(event)
                self._news.notify_all()
        with self._news:
            self._news.notify_all()

    def find(self, event: str | None, since: int = 0, **fields) -> dict | None:
        for entry in self.events[since:]:
            if event is not None and entry.get("event") != event:
                continue
            if all(entry.get(key) == value for key, value in fields.items()):
                return entry
        return None

    def wait(self, event: str | None, seconds: float, since: int = 0, **fields) -> dict:
        """The first such event from number `since` on; `None` stands for any event."""
        deadline = time.monotonic() + seconds
        wanted = " ".join([event or "any event"] + [f"{k}={v}" for k, v in fields.items()])
        with self._news:
            while True:
                entry = self.find(event, since, **fields)
                if entry:
                    return entry
                left = deadline - time.monotonic()
                if left <= 0:
                    raise Failed(f"{self.name} did not log `{wanted}` within {seconds:g} s")
                if self.process.poll() is not None and not self._reader.is_alive():
                    raise Failed(
                        f"{self.name} ended ({self.process.returncode}) before `{wanted}`"
                    )
                self._news.wait(min(left, 0.1))

    def wait_exit(self, seconds: float) -> int:
        try:
            code = self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise Failed(f"{self.name} still runs after {seconds:g} s") from None
        self._reader.join(1)
        return code

    def stop(self, signal_number: int = signal.SIGTERM, seconds: float = 3) -> int:
        if self.process.poll() is None:
            self.process.send_signal(signal_number)
        return self.wait_exit(seconds)

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait(5)

    @property
    def has_crashed(self) -> bool:
        code = self.process.poll()
        return code is not None and code < 0 and -code not in (signal.SIGKILL, signal.SIGTERM)

    def resident_bytes(self) -> int:
        with open(f"/proc/{self.pid}/status") as status:
            for line in status:
                if line.startswith("VmRSS:"):
                    return int(line.split()[1]) * 1024
        return 0

    def context_switches(self) -> int:
        """Voluntary ones, of all threads since each began."""
        total = 0
        for thread in os.listdir(f"/proc/{self.pid}/task"):
            with open(f"/proc/{self.pid}/task/{thread}/status") as status:
                for line in status:
                    if line.startswith("voluntary_ctxt_switches:"):
                        total += int(line.split()[1])
        return total

    def describe(self, count: int = 12) -> str:
        code = self.process.poll()
        state = "running" if code is None else f"ended {code}"
        shown = self.lines[-count:]
        return "".join(f"\n{self.name} ({state}): {line}" for line in shown)


class UnixHTTPConnection(http.client.HTTPConnection):
    """HTTP over the control socket."""

    def __init__(self, path: str):
        super().__init__("localhost", timeout=5)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(5)
        self.sock.connect(self.path)


def fetch(path: str, control: str) -> tuple[int, str]:
    connection = UnixHTTPConnection(control)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()


def metrics(control: str) -> dict[str, float]:
    """Every sample of /metrics by its name with labels."""
    status, page = fetch("/metrics", control)
    expect(status == 200, f"/metrics answers {status}")
    samples = {}
    for line in page.splitlines():
        if line and not line.startswith("#"):
            name, _, value = line.rpartition(" ")
            samples[name] = float(value)
    return samples
