#!/usr/bin/env python3
"""Fairlead beside kcptun on loopback, alternating in one run; prints Markdown with medians.

    contrib/bench/loopback.py [--rounds 5] [--seconds 4] [--bin .build/release]

Needs iperf3 and kcptun (Debian packages). Both ends, load generator and sink share the machine, so
read the ratios. kcptun runs as `--crypt aes --mode fast3 --nocomp --smuxver 2`, once as it is and
once with its windows at 2048 and without FEC, which is faster here.
"""
import argparse
import json
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time

KCPTUN = ["--crypt", "aes", "--mode", "fast3", "--nocomp", "--smuxver", "2"]
TUNED = ["--datashard", "0", "--parityshard", "0", "--sndwnd", "2048", "--rcvwnd", "2048"]
TICK = os.sysconf("SC_CLK_TCK")


def free_port(kind=socket.SOCK_STREAM):
    with socket.socket(socket.AF_INET, kind) as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def cpu_seconds(process):
    fields = open(f"/proc/{process.pid}/stat").read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICK


def switches(process):
    total = 0
    for thread in os.listdir(f"/proc/{process.pid}/task"):
        for line in open(f"/proc/{process.pid}/task/{thread}/status"):
            if line.startswith("voluntary_ctxt_switches"):
                total += int(line.split()[1])
    return total


def resident(process):
    for line in open(f"/proc/{process.pid}/status"):
        if line.startswith("VmRSS"):
            return int(line.split()[1]) / 1024
    return 0


class Stack:
    """One pair of processes in front of one backend."""

    def __init__(self, name, port, processes):
        self.name, self.port, self.processes = name, port, processes
        self.bulk, self.back, self.cost, self.pings = [], [], [], []

    def cpu(self):
        return sum(cpu_seconds(process) for process in self.processes)


def start(command, folder):
    return subprocess.Popen(
        command, cwd=folder, stdout=subprocess.DEVNULL, stderr=open(f"{folder}/log", "ab")
    )


def fairlead(binaries, folder, services):
    def keygen(name):
        run = subprocess.run(
            [f"{binaries}/fairlead", "keygen", f"{folder}/{name}.key"],
            capture_output=True, text=True, check=True,
        )
        return run.stdout.strip()

    server_key, client_key = keygen("server"), keygen("client")
    tunnel = free_port(socket.SOCK_DGRAM)
    ports = {name: free_port() for name in services}
    server = [f'listen = "127.0.0.1:{tunnel}"', 'private_key = "server.key"', 'control = "off"',
              f'[[peer]]\nname = "bench"\npublic_key = "{client_key}"\nservices = ["*"]']
    client = [f'server = "127.0.0.1:{tunnel}"', f'server_public_key = "{server_key}"',
              'private_key = "client.key"', 'control = "off"']
    for name, backend in services.items():
        server.append(f'[[service]]\nname = "{name}"\nprotocol = "tcp"\n'
                      f'backends = ["127.0.0.1:{backend}"]')
        client.append(f'[[forward]]\nlisten = "127.0.0.1:{ports[name]}"\nprotocol = "tcp"\n'
                      f'service = "{name}"')
    for name, lines in (("server", server), ("client", client)):
        with open(f"{folder}/{name}.toml", "w") as file:
            file.write("\n".join(lines) + "\n")
    processes = [start([f"{binaries}/fairlead-{end}", "--config", f"{end}.toml"], folder)
                 for end in ("server", "client")]
    return ports, processes


def kcptun(folder, backend, options):
    tunnel, port = free_port(socket.SOCK_DGRAM), free_port()
    processes = [
        start(["kcptun-server", "-t", f"127.0.0.1:{backend}", "-l", f"127.0.0.1:{tunnel}",
               *KCPTUN, *options], folder),
        start(["kcptun-client", "-r", f"127.0.0.1:{tunnel}", "-l", f"127.0.0.1:{port}",
               *KCPTUN, *options], folder),
    ]
    return port, processes


def echo_server():
    listener = socket.create_server(("127.0.0.1", 0))

    def serve(connection):
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        while data := connection.recv(4096):
            connection.sendall(data)

    def accept():
        while True:
            connection, _ = listener.accept()
            threading.Thread(target=serve, args=(connection,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    return listener.getsockname()[1]


def iperf(port, seconds, reverse):
    command = ["iperf3", "-c", "127.0.0.1", "-p", str(port), "-t", str(seconds), "-J"]
    run = subprocess.run(command + (["-R"] if reverse else []), capture_output=True, text=True)
    total = json.loads(run.stdout)["end"]["sum_received"]
    return total["bits_per_second"] / 1e6, total["bytes"] / 1e9


def ping_pong(port, count):
    times = []
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for index in range(count + 50):
            began = time.perf_counter()
            connection.sendall(b"x" * 64)
            got = 0
            while got < 64:
                got += len(connection.recv(64 - got))
            if index >= 50:
                times.append((time.perf_counter() - began) * 1e6)
    times.sort()
    return times[len(times) // 2], times[len(times) * 99 // 100]


def median(values):
    return statistics.median(values) if values else float("nan")


def main():
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument("--seconds", type=int, default=4)
    options.add_argument("--bin", default=".build/release")
    options = options.parse_args()
    for tool in ("iperf3", "kcptun-client", "kcptun-server"):
        if not shutil.which(tool):
            sys.exit(f"{tool} is missing: apt-get install iperf3 kcptun")
    binaries = os.path.abspath(options.bin)
    sink_port = free_port()
    echo_port = echo_server()
    processes = []
    with tempfile.TemporaryDirectory() as folder:
        try:
            processes.append(start(["iperf3", "-s", "-B", "127.0.0.1", "-p", str(sink_port)],
                                   folder))
            ports, pair = fairlead(binaries, folder, {"bulk": sink_port, "echo": echo_port})
            processes += pair
            stacks = [Stack("Fairlead", ports, pair)]
            for name, more in (("kcptun", []), ("kcptun, tuned", TUNED)):
                port, first = kcptun(folder, sink_port, more)
                echo, second = kcptun(folder, echo_port, more)
                processes += first + second
                stacks.append(Stack(name, {"bulk": port, "echo": echo}, first))
            time.sleep(1.5)
            direct = Stack("direct", {"echo": echo_port}, [])
            for _ in range(options.rounds):
                for stack in stacks:
                    before = stack.cpu()
                    rate, size = iperf(stack.port["bulk"], options.seconds, False)
                    back, size_back = iperf(stack.port["bulk"], options.seconds, True)
                    stack.bulk.append(rate)
                    stack.back.append(back)
                    stack.cost.append((stack.cpu() - before) / (size + size_back))
                for stack in [direct, *stacks]:
                    stack.pings.append(ping_pong(stack.port["echo"], 2000))
            report(stacks, direct, idle(stacks))
        finally:
            for process in processes:
                process.terminate()


def idle(stacks):
    before = [(stack.cpu(), sum(map(switches, stack.processes))) for stack in stacks]
    time.sleep(10)
    return [((stack.cpu() - cpu) * 10 / 2, (sum(map(switches, stack.processes)) - count) / 20)
            for stack, (cpu, count) in zip(stacks, before)]


def report(stacks, direct, idles):
    print(f"load average {os.getloadavg()[0]:.1f}, {os.cpu_count()} cores\n")
    print("| | to the server, Mbit/s | back, Mbit/s | CPU s per 10⁹ bytes, both ends "
          "| 64 B ping-pong p50 / p99, µs | added p50, µs | idle, % CPU · wake-ups/s a process "
          "| MiB resident a process |")
    print("|---|---|---|---|---|---|---|---|")
    floor = median([p50 for p50, _ in direct.pings])
    for stack, (cpu, wakes) in zip(stacks, idles):
        p50, p99 = (median([ping[i] for ping in stack.pings]) for i in (0, 1))
        memory = max(map(resident, stack.processes))
        print(f"| {stack.name} | {median(stack.bulk):.0f} | {median(stack.back):.0f} "
              f"| {median(stack.cost):.1f} | {p50:.0f} / {p99:.0f} | {p50 - floor:.0f} "
              f"| {cpu:.2f} · {wakes:.1f} | {memory:.0f} |")
    print(f"\nDirect ping-pong: p50 {floor:.0f} µs.")


if __name__ == "__main__":
    main()
