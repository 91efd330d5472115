"""What an operator sees and does: signals, exit codes, pages, reloads, idleness."""

import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import threading
import time

import peers
from datagrams import ECHO
from lab import BACKEND4, CLIENT4, EDGE4, Service, until
from programs import metrics
from streams import MEGABYTE, WEB, expect_reset, relay_before_the_server
from verdicts import case, expect, expect_equal

ADMIN = {"server": 9460, "client": 9461}
METRICS = (
    "build_info sessions streams flows bytes_total wire_bytes_total packets_total "
    "packets_lost_total packets_recovered_total redundancy_bytes_total drops_total rtt_seconds"
).split()


def get(lab, end: str, path: str, method: str = "GET") -> tuple[int, str]:
    """From the admin endpoint, which listens on loopback inside the end's namespace."""
    connection = http.client.HTTPConnection("127.0.0.1", ADMIN[end], timeout=5)
    with lab.inside(end):
        connection.connect()
    try:
        connection.request(method, path)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()


def top(end: str) -> str:
    return f'admin = "127.0.0.1:{ADMIN[end]}"\n'


@case("SIGTERM and SIGINT end both ends within 2 s, exit code 0")
def signals(lab):
    peers.TCPBackend(lab, BACKEND4, 8080, peers.echo)
    for number in (signal.SIGTERM, signal.SIGINT):
        server, client = lab.tunnel([WEB])
        with lab.connect(EDGE4, 8080) as player:
            player.sendall(b"hello")
            peers.read_exactly(player, 5)
            for program in (client, server):
                start = time.monotonic()
                expect_equal(program.stop(number), 0, f"{program.name}'s exit code")
                took = time.monotonic() - start
                expect(took <= 2, f"{program.name} took {took:.1f} s to end")


@case("SIGTERM in the middle of a transfer: 2 s, exit code 0, and the other side notices")
def signal_under_load(lab):
    endless = peers.payload(1, MEGABYTE)

    def serve(connection):
        while True:
            connection.sendall(endless)

    backend = peers.TCPBackend(lab, BACKEND4, 8080, serve)
    for index in range(2):
        pair = lab.tunnel([WEB])
        with lab.connect(EDGE4, 8080) as player:
            peers.read_exactly(player, 2 * MEGABYTE)
            first, second = pair if index == 0 else pair[::-1]
            start = time.monotonic()
            expect_equal(first.stop(), 0, f"{first.name}'s exit code")
            took = time.monotonic() - start
            expect(took <= 2, f"{first.name} took {took:.1f} s to end")
            try:
                while player.recv(1 << 20):
                    pass
                expect(False, "a broken download looks complete")
            except ConnectionResetError:
                pass
            until(3, "the backend's end", lambda: len(backend.errors) > index)
        expect_equal(second.stop(), 0, f"{second.name}'s exit code")


@case("a port in use: exit code 1, and the message names it")
def port_in_use(lab):
    taken = lab.udp("server", "0.0.0.0", 4600)
    config = lab.write("server.toml", lab.server_text([WEB], 'listen = "0.0.0.0:4600"\n'))
    server = lab.start("fairlead-server", "server", config, "server")
    expect_equal(server.wait_exit(3), 1, "the server's exit code")
    expect(any("4600" in line for line in server.lines), f"the port is not named: {server.lines}")
    taken.close()
    with lab.inside("client"):
        taken = socket.create_server(("0.0.0.0", 8080))
    config = lab.write("client.toml", lab.client_text([WEB]))
    client = lab.start("fairlead-client", "client", config, "client")
    expect_equal(client.wait_exit(3), 1, "the client's exit code")
    expect(any("8080" in line for line in client.lines), f"the port is not named: {client.lines}")
    taken.close()


@case("a bad configuration: exit code 2, FILE:LINE, every mistake, did you mean")
def bad_configuration(lab):
    text = lab.server_text([WEB]).replace("protocol =", "protocl =") + "\n"
    lines = text.splitlines()
    line = 1 + next(i for i, entry in enumerate(lines) if entry.startswith("protocl"))
    config = lab.write("bad.toml", text + 'balance = "rond-robin"\n')
    server = lab.start("fairlead-server", "server", config, "server")
    expect_equal(server.wait_exit(3), 2, "the exit code")
    told = "\n".join(server.lines)
    expect(f"bad.toml:{line}:" in told, f"no `bad.toml:{line}:` in: {told}")
    expect("did you mean" in told, f"no suggestion in: {told}")
    expect("rond-robin" in told, f"not every mistake is told: {told}")
    missing = lab.start("fairlead-client", "client", f"{lab.folder}/none.toml", "client")
    expect_equal(missing.wait_exit(3), 2, "the exit code for a missing file")


@case("--check prints ok; a key file that others can read is refused")
def check(lab):
    for end, text in (("server", lab.server_text([WEB])), ("client", lab.client_text([WEB]))):
        config = lab.write(f"{end}.toml", text)
        command = [f"{lab.binaries}/fairlead-{end}", "--config", config, "--check"]
        run = subprocess.run(command, capture_output=True, text=True, timeout=5)
        expect_equal((run.returncode, run.stdout.strip()), (0, "ok"), f"{end} --check")
        os.chmod(f"{lab.folder}/{end}.key", 0o644)
        run = subprocess.run(command, capture_output=True, text=True, timeout=5)
        expect_equal(run.returncode, 2, f"{end} --check with an open key file")
        expect(f"{end}.key" in run.stderr, f"the key file is not named: {run.stderr}")


@case("keygen never overwrites, writes 0600; pubkey prints the same key")
def keys(lab):
    path = f"{lab.folder}/server.key"
    expect_equal(os.stat(path).st_mode & 0o777, 0o600, "the mode of the key file")
    again = subprocess.run([f"{lab.binaries}/fairlead", "keygen", path], capture_output=True)
    expect_equal(again.returncode, 1, "keygen onto an existing file")
    expect_equal(again.stdout, b"", "what it prints on stdout")
    told = subprocess.run([f"{lab.binaries}/fairlead", "pubkey", path], capture_output=True)
    expect_equal(told.stdout.decode(), lab.server_key + "\n", "pubkey")
    expect_equal(len(lab.server_key), 44, "characters of a public key")


@case("text log lines: TIME LEVEL EVENT key=value")
def text_log(lab):
    config = lab.write("server.toml", lab.server_text([WEB]))
    server = lab.start("fairlead-server", "server", config, "server", "--log-format", "text")
    line = until(3, "a line", lambda: next((s for s in server.lines if " ready " in s), None))
    time_, level, event, *fields = line.split(" ")
    expect(time_.endswith("Z") and "T" in time_, f"no time in {line}")
    expect_equal((level, event), ("INFO", "ready"), "level and event")
    expect(any(f.startswith("listen=") and "4600" in f for f in fields), f"no listen= in {line}")


@case("admin: /live, /ready with a reason, /metrics, /status")
def admin(lab):
    peers.TCPBackend(lab, BACKEND4, 8080, peers.echo)
    peers.UDPEcho(lab, BACKEND4, 9000)
    client = lab.start_client([WEB, ECHO], top("client"))
    expect_equal(get(lab, "client", "/live")[0], 200, "/live")
    status, reason = get(lab, "client", "/ready")
    expect_equal(status, 503, "/ready without a server")
    expect(reason.strip(), "/ready gives no reason")
    lab.start_server([WEB, ECHO], top("server"))
    client.wait("session-up", 4)
    with lab.connect(EDGE4, 8080) as player, lab.udp("player", "0.0.0.0") as flow:
        player.sendall(bytes(1000))
        peers.read_exactly(player, 1000)
        peers.ask(flow, b"hello", (EDGE4, 9000))
        for end in ADMIN:
            expect_equal(get(lab, end, "/ready")[0], 200, f"/ready of the {end}")
            expect_equal(get(lab, end, "/nothing")[0], 404, f"/nothing of the {end}")
            expect(get(lab, end, "/live", "POST")[0] in (400, 405, 501), "POST is accepted")
            page = get(lab, end, "/metrics")[1]
            missing = [name for name in METRICS if f"\nfairlead_{name}" not in "\n" + page]
            expect_equal(missing, [], f"missing metrics of the {end}")
            if promtool := shutil.which("promtool"):
                check = [promtool, "check", "metrics"]
                told = subprocess.run(check, input=page, capture_output=True, text=True)
                expect_equal((told.returncode, told.stderr), (0, ""), f"promtool about the {end}")
            told = json.loads(get(lab, end, "/status")[1])
            expect(told["role"] == end and told["version"], f"/status of the {end}: {told}")
            session = told["sessions"][0]
            wanted = {"peer", "address", "rtt_ms", "loss", "cipher", "streams", "flows"}
            wanted.add("post_quantum")
            expect(wanted <= session.keys(), f"/status lacks {wanted - session.keys()}")
            expect_equal((session["streams"], session["flows"]), (1, 1), f"{end}: streams, flows")
            samples = metrics(lab.control[end])
            expect_equal(samples["fairlead_sessions"], 1, f"{end}: fairlead_sessions")
            expect_equal(samples["fairlead_streams"], 1, f"{end}: fairlead_streams")
            for direction in ("up", "down"):
                key = f'fairlead_bytes_total{{service="web",direction="{direction}"}}'
                expect(samples.get(key, 0) >= 1000, f"{end}: {key} is {samples.get(key)}")
    backends = json.loads(get(lab, "server", "/status")[1])["services"][0]["backends"]
    expect_equal(backends[0]["address"], f"{BACKEND4}:8080", "the backend in /status")


@case("admin: hostile requests neither crash nor block it")
def hostile_admin(lab):
    server = lab.start_server([WEB], top("server"))
    held = []
    for junk in (b"", b"\0" * 100, b"GET", b"GET / HTTP/1.1\r\n" * 3000, b"\xff" * 20_000):
        with lab.inside("server"):
            connection = socket.create_connection(("127.0.0.1", ADMIN["server"]), 2)
        held.append(connection)
        try:
            connection.sendall(junk)
        except OSError:
            pass
    expect_equal(get(lab, "server", "/live")[0], 200, "/live beside junk")
    expect(server.process.poll() is None, "the server ended")


@case("fairlead status asks the control socket")
def status_command(lab):
    lab.tunnel([WEB])
    for end, path in lab.control.items():
        command = [f"{lab.binaries}/fairlead", "status", "--control", path]
        run = subprocess.run(command, capture_output=True, text=True, timeout=5)
        expect_equal(run.returncode, 0, f"fairlead status of the {end}: {run.stderr}")
        expect("web" in run.stdout, f"no service in: {run.stdout}")
        run = subprocess.run([*command, "--json"], capture_output=True, text=True, timeout=5)
        expect_equal(json.loads(run.stdout)["role"], end, "role")
        expect_equal(os.stat(path).st_mode & 0o007, 0, f"rights of others on {path}")


@case("SIGHUP: a forward more, a service less, everything else untouched")
def reload(lab):
    more = Service("more", "tcp", f"{BACKEND4}:8081", "0.0.0.0:8081")
    peers.TCPBackend(lab, BACKEND4, 8080, peers.echo)
    peers.TCPBackend(lab, BACKEND4, 8081, peers.echo)
    peers.UDPEcho(lab, BACKEND4, 9000)
    server, client = lab.tunnel([WEB, ECHO])

    def change(services):
        lab.write("server.toml", lab.server_text(services))
        lab.write("client.toml", lab.client_text(services))
        for program in (server, client):
            seen = len(program.events)
            program.process.send_signal(signal.SIGHUP)
            program.wait("reload", 3, since=seen)

    with lab.connect(EDGE4, 8080) as player, lab.udp("player", "0.0.0.0") as flow:
        player.sendall(b"one")
        peers.read_exactly(player, 3)
        peers.ask(flow, b"one", (EDGE4, 9000))
        change([WEB, ECHO, more])
        with lab.connect(EDGE4, 8081) as newcomer:
            newcomer.sendall(b"new")
            peers.read_exactly(newcomer, 3)
            player.sendall(b"two")
            peers.read_exactly(player, 3)
            peers.ask(flow, b"two", (EDGE4, 9000))
            change([WEB, ECHO])
            expect_reset(newcomer, 2, "a stream of a removed service")
        try:
            lab.connect(EDGE4, 8081, seconds=2)
            expect(False, "the removed forward still listens")
        except ConnectionRefusedError:
            pass
        player.sendall(b"three")
        peers.read_exactly(player, 5)
        peers.ask(flow, b"three", (EDGE4, 9000))
    expect_equal(client.find("session-down"), None, "session-down in the client's log")


@case("SIGHUP with a bad file: reload-refused, nothing changes")
def bad_reload(lab):
    peers.TCPBackend(lab, BACKEND4, 8080, peers.echo)
    server, client = lab.tunnel([WEB])
    with lab.connect(EDGE4, 8080) as player:
        player.sendall(b"one")
        peers.read_exactly(player, 3)
        for program in (server, client):
            lab.write(f"{program.name}.toml", "listen = 5\n[[forward")
            program.process.send_signal(signal.SIGHUP)
            program.wait("reload-refused", 3)
        player.sendall(b"two")
        peers.read_exactly(player, 3)
    with lab.connect(EDGE4, 8080) as player:
        player.sendall(b"three")
        peers.read_exactly(player, 5)


@case("SIGHUP: listen, private_key and workers say that they need a restart")
def restart_needed(lab):
    server = lab.start_server([WEB])
    lab.write("server.toml", lab.server_text([WEB], 'listen = "0.0.0.0:4601"\nworkers = 2\n'))
    server.process.send_signal(signal.SIGHUP)
    entry = server.wait("reload", 3)
    text = json.dumps({key: value for key, value in entry.items() if key != "at"})
    expect("listen" in text and "workers" in text, f"neither listen nor workers in {text}")
    # What runs is the old port, however often the new file is read.
    seen = len(server.events)
    server.process.send_signal(signal.SIGHUP)
    entry = server.wait("reload", 3, since=seen)
    expect("listen" in entry.get("needs-restart", ""), f"the second reload says: {entry}")
    lab.write("server.toml", lab.server_text([WEB]))
    seen = len(server.events)
    server.process.send_signal(signal.SIGHUP)
    entry = server.wait("reload", 3, since=seen)
    expect_equal(entry.get("needs-restart"), None, "needs-restart of the file that runs")
    expect_equal(entry.get("changed"), "nothing", "what changed")


def switches_each_second(programs, seconds: float = 10) -> list[float]:
    """Voluntary context switches of all threads of each program."""
    before = [program.context_switches() for program in programs]
    time.sleep(seconds)
    after = [program.context_switches() for program in programs]
    return [(late - early) / seconds for early, late in zip(before, after)]


@case("an idle pair makes at most 2 voluntary context switches a second each", 20)
def idle(lab):
    peers.TCPBackend(lab, BACKEND4, 8080, peers.echo)
    server = lab.start_server([WEB], top("server"))
    client = lab.start_client([WEB], top("client"))
    client.wait("session-up", 5)
    with lab.connect(EDGE4, 8080) as player:
        player.sendall(bytes(100_000))
        peers.read_exactly(player, 100_000)
    time.sleep(1.5)
    rates = switches_each_second((server, client))
    expect(max(rates) <= 2, f"server {rates[0]:g}/s, client {rates[1]:g}/s")


@case("so does a pair with a silent stream and a silent flow", 20)
def idle_with_channels(lab):
    peers.TCPBackend(lab, BACKEND4, 8080, peers.echo)
    peers.UDPEcho(lab, BACKEND4, 9000)
    pair = lab.tunnel([WEB, ECHO])
    with lab.connect(EDGE4, 8080) as player, lab.udp("player", "0.0.0.0") as flow:
        player.sendall(bytes(100_000))
        peers.read_exactly(player, 100_000)
        peers.ask(flow, b"hello", (EDGE4, 9000))
        time.sleep(1.5)
        rates = switches_each_second(pair)
    expect(max(rates) <= 2, f"server {rates[0]:g}/s, client {rates[1]:g}/s")


@case("two workers: many clients, many source ports, packets at the foreign worker", 40)
def two_workers(lab):
    peers.TCPBackend(lab, BACKEND4, 8080, peers.echo)
    peers.UDPEcho(lab, BACKEND4, 9000)
    keys = [lab.key(f"client{index}") for index in range(4)]
    text = lab.server_text([WEB, ECHO], "workers = 2\n")
    for index, key in enumerate(keys):
        text += f'\n[[peer]]\nname = "edge-{index}"\npublic_key = "{key}"\nservices = ["*"]\n'
    server = lab.start("fairlead-server", "server", lab.write("server.toml", text), "server")
    server.wait("ready", 5)
    relays = []
    for index in range(4):
        relays.append(relay_before_the_server(lab, seed=index, port=4700 + index))
        port = 8100 + index
        services = [
            WEB._replace(listen=f"0.0.0.0:{port}"), ECHO._replace(listen=f"0.0.0.0:{port}")
        ]  # fmt: skip
        settings = (
            f'server = "{CLIENT4}:{4700 + index}"\nprivate_key = "client{index}.key"\n'
            f'control = "client{index}.sock"\n'
        )
        client = lab.start_client(services, settings, name=f"client{index}")
        client.wait("session-up", 5)
    data = peers.payload(1, 4 * MEGABYTE)
    over = threading.Event()

    def rebind():
        while not over.wait(0.15):
            for relay in relays:
                relay.rebind()

    results: dict[int, object] = {}

    def talk(index: int):
        try:
            for _ in range(2):
                with lab.connect(EDGE4, 8100 + index, seconds=15) as player:
                    results[index] = peers.exchange(player, data)
                with lab.udp("player", "0.0.0.0") as flow:
                    for number in range(5):
                        peers.ask(flow, b"%d" % number * 500, (EDGE4, 8100 + index), wait=0.5)
        except Exception as error:
            results[index] = error

    talkers = [threading.Thread(target=talk, args=[i % 4]) for i in range(8)]
    # Each rebinding is a new source port, which the kernel gives to either worker.
    for thread in talkers + [threading.Thread(target=rebind, daemon=True)]:
        thread.start()
    for thread in talkers:
        thread.join(35)
    over.set()
    wanted = (len(data), peers.digest(data))
    wrong = {index: result for index, result in results.items() if result != wanted}
    expect_equal(wrong, {}, "clients with another result than the echo")
    expect_equal(server.find("session-down"), None, "session-down in the server's log")
