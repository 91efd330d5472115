"""Reports from the field: senders with queues, and balancers, in front of the client."""

import os
import signal
import subprocess
import threading
import time

import peers
from field_acceptance import kill
from lab import BACKEND4, EDGE4, Service, place, until
from proxies import haproxy, install, run, wait_for_listener
from streams import WEB
from verdicts import case, expect, expect_equal

LINES_A_SECOND = 50
LOGS = Service("logs", "tcp", place(BACKEND4, 5140), "0.0.0.0:5140")

RECEIVER = """
global(workDirectory="{folder}/receiver")
module(load="imtcp")
input(type="imtcp" port="5140" address="{address}" ruleset="all")
template(name="bare" type="string" string="%msg%\\n")
ruleset(name="all") {{ action(type="omfile" file="{file}" template="bare") }}
"""

SENDER = """
global(workDirectory="{folder}/sender")
module(load="imudp")
input(type="imudp" port="5141" address="127.0.0.1" ruleset="all")
ruleset(name="all") {{
  action(type="omfwd" target="{target}" port="5140" protocol="tcp"
         action.resumeRetryCount="-1" action.resumeInterval="1"
         queue.type="Disk" queue.filename="forward" queue.maxDiskSpace="100m"
         queue.saveOnShutdown="on")
}}
"""


class Logs:
    """rsyslog with a disk queue that sends numbered lines to another one."""

    def __init__(self, lab, target: str):
        self.lab = lab
        self.file = f"{lab.folder}/received"
        for name in ("receiver", "sender"):
            os.makedirs(f"{lab.folder}/{name}", exist_ok=True)
        text = RECEIVER.format(folder=lab.folder, address=BACKEND4, file=self.file)
        self.receiver_config = lab.write("receiver.conf", text)
        text = SENDER.format(folder=lab.folder, target=target)
        self.sender_config = lab.write("sender.conf", text)
        self.program = install("rsyslog", "rsyslogd")
        self.sent = 0
        self._is_over = threading.Event()

    def _start(self, where: str, config: str, name: str):
        pid = f"{self.lab.folder}/{name}.pid"
        return run(self.lab, where, self.program, "-n", "-f", config, "-i", pid)

    def start_receiver(self):
        self.receiver = self._start("backend", self.receiver_config, "receiver")
        wait_for_listener(self.lab, "backend", BACKEND4, 5140)

    def stop_receiver(self):
        self.receiver.process.terminate()
        self.receiver.process.wait(10)

    def start_sender(self):
        self._start("player", self.sender_config, "sender")
        self._source = self.lab.udp("player", "127.0.0.1")
        self._thread = threading.Thread(target=self._write, daemon=True)
        until(5, "the sender", lambda: self._is_listening())
        self._thread.start()

    def _is_listening(self) -> bool:
        text = subprocess.run(
            ["ip", "netns", "exec", f"{self.lab.prefix}-player", "ss", "-Hlun", "sport = 5141"],
            capture_output=True, text=True,
        ).stdout  # fmt: skip
        return "5141" in text

    def _write(self):
        while not self._is_over.wait(1 / LINES_A_SECOND):
            line = f"<13>Nov 28 10:00:00 host app: {self.sent}"
            self._source.sendto(line.encode(), ("127.0.0.1", 5141))
            self.sent += 1

    def received(self) -> set[int]:
        try:
            with open(self.file) as file:
                return {int(line) for line in file if line.strip().isdigit()}
        except FileNotFoundError:
            return set()

    def finish(self, seconds: float) -> list[int]:
        """Stops writing; the numbers that have not arrived when no more come."""
        self._is_over.set()
        self._thread.join(2)
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline and (self.sent - 1) not in self.received():
            time.sleep(0.2)
        time.sleep(0.5)
        return sorted(set(range(self.sent)) - self.received())


def log_run(lab, target: str, fault) -> list[int]:
    logs = Logs(lab, target)
    logs.start_receiver()
    logs.start_sender()
    until(10, "the first lines", lambda: len(logs.received()) > 100)
    fault(logs)
    time.sleep(3)
    return logs.finish(25)


def stop_receiver(logs):
    logs.stop_receiver()
    time.sleep(15)
    logs.start_receiver()


@case("field: rsyslog with a disk queue loses what is in flight when its receiver stops", 300)
def receiver_stops(lab):
    lab.tunnel([LOGS])
    missing = log_run(lab, EDGE4, stop_receiver)
    print(f"     receiver stopped for 15 s: {len(missing)} lines missing through the tunnel")
    expect(len(missing) <= 3, f"{len(missing)} lines are missing: {missing}")


@case("field: rsyslog with a disk queue loses 4 s when the server is killed", 300)
def server_is_killed(lab):
    server = lab.start_server([LOGS])
    client = lab.start_client([LOGS])
    client.wait("session-up", 5)

    def fault(_):
        kill(server)
        time.sleep(15)
        lab.start_server([LOGS])

    missing = log_run(lab, EDGE4, fault)
    print(f"     server killed for 15 s: {len(missing)} lines missing")
    expect(len(missing) <= 4 * LINES_A_SECOND, f"{len(missing)} lines are missing")


@case("field: HAProxy leaves the edge whose session is in doubt, and comes back", 120)
def balancer(lab):
    """Two edges: the client's tunnel, and one that is always there."""
    pages = {}
    for name, port in (("tunnel", 8080), ("other", 8081)):
        body = f"HTTP/1.1 200 OK\r\nContent-Length: {len(name)}\r\nConnection: close\r\n\r\n{name}"

        def serve(connection, body=body):
            if connection.recv(4096):
                connection.sendall(body.encode())

        pages[name] = serve
    peers.TCPBackend(lab, BACKEND4, 8080, pages["tunnel"])
    peers.TCPBackend(lab, "127.0.0.1", 8081, pages["other"], where="client")
    edge = WEB._replace(listen="127.0.0.1:8080")
    server = lab.start_server([edge])
    client = lab.start_client([edge])
    client.wait("session-up", 5)
    haproxy(
        lab,
        "client",
        f"listen web\n  mode http\n  bind {EDGE4}:80\n  option redispatch\n  retries 2\n"
        "  default-server inter 500ms fall 2 rise 2\n"
        "  server tunnel 127.0.0.1:8080 check\n  server other 127.0.0.1:8081 check backup\n",
    )
    wait_for_listener(lab, "client", EDGE4, 80)

    def page() -> str:
        try:
            with lab.connect(EDGE4, 80, seconds=0.5) as player:
                player.sendall(b"GET / HTTP/1.0\r\n\r\n")
                return player.recv(4096).decode().rpartition("\r\n")[2]
        except OSError:
            return ""

    until(5, "the page of the tunnel", lambda: page() == "tunnel")
    server.process.send_signal(signal.SIGSTOP)
    stopped = time.monotonic()
    until(8, "the page of the other edge", lambda: page() == "other")
    took = time.monotonic() - stopped
    print(f"     HAProxy left the edge after {took:.1f} s")
    expect(took <= 5, f"HAProxy left the edge after {took:.1f} s")
    server.process.send_signal(signal.SIGCONT)
    until(8, "the page of the tunnel again", lambda: page() == "tunnel")
