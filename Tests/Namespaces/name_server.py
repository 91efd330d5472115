"""A name server of a test's own, for one namespace: dnsmasq with what the test wants it to say."""

import contextlib
import os
import shutil
import subprocess
import time

from proxies import install
from verdicts import expect


class NameServer:
    """dnsmasq on 127.0.0.1 of a namespace, whose programs ask it and find their own hosts file."""

    def __init__(self, lab, where: str, hosts: str = "127.0.0.1 localhost\n"):
        self.lab = lab
        self.where = where
        self.folder = f"/etc/netns/{lab.prefix}-{where}"
        self.program = install("dnsmasq-base", "dnsmasq")
        self.process = None
        os.makedirs(self.folder)
        self.write("hosts", hosts)
        self.write("resolv.conf", "nameserver 127.0.0.1\nsearch lab.test\n")

    def write(self, name: str, text: str):
        """In place: a running program has the file itself mounted."""
        with open(f"{self.folder}/{name}", "w") as file:
            file.write(text)

    def say(self, *lines: str, ttl: int = 600):
        """From now on, and nothing else: `host-record=NAME,ADDRESS`, `srv-host=…`, `cname=…`."""
        self.stop()
        path = self.lab.write(
            f"dnsmasq-{self.where}.conf",
            "no-resolv\nno-hosts\nuser=root\nlisten-address=127.0.0.1\nbind-interfaces\n"
            f"local=/test/\nlocal-ttl={ttl}\npid-file=\n" + "".join(f"{line}\n" for line in lines),
        )
        command = ["ip", "netns", "exec", f"{self.lab.prefix}-{self.where}", self.program]
        self.process = subprocess.Popen(
            [*command, "--keep-in-foreground", f"--conf-file={path}"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self._wait()

    def _wait(self):
        deadline = time.monotonic() + 5
        while time.monotonic() < deadline:
            expect(self.process.poll() is None, "dnsmasq refuses its configuration")
            probe = self.lab.udp(self.where, "127.0.0.1", 0, 0.2)
            with probe, contextlib.suppress(OSError):
                # Who are you? Any answer will do.
                probe.sendto(bytes.fromhex("000101000001000000000000") + b"\1x\0\0\1\0\1",
                             ("127.0.0.1", 53))  # fmt: skip
                probe.recv(512)
                return
            time.sleep(0.02)
        expect(False, "dnsmasq does not answer")

    def stop(self):
        if self.process:
            self.process.kill()
            self.process.wait()
            self.process = None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)


def addresses(name: str, *places: str) -> list[str]:
    return [f"host-record={name},{place}" for place in places]
