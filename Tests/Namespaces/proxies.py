"""Programs that others wrote understand our headers, and we theirs."""

import http.client
import os
import re
import shutil
import socket
import subprocess
import time

import peers
from lab import BACKEND4, EDGE4, PLAYER4, Lab, Service, place, until
from origin import RIGHTS, restoring
from programs import Program
from verdicts import Skipped, case, expect, expect_equal

FRONT_PORT = 7000


def install(package: str, program: str) -> str:
    """The program's path; installs its package where that is possible."""
    paths = os.environ.get("PATH", "") + ":/usr/sbin"
    return install_where(package, lambda: shutil.which(program, path=paths))


def install_where(package: str, find) -> str:
    """What `find` finds, now or once the package is installed."""
    if found := find():
        return found
    if not shutil.which("apt-get"):
        raise Skipped(f"{package} is not installed")
    # Runlevel 1 keeps the package from starting its service.
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1"}
    for arguments in (
        ["apt-get", "install", "-y", "-q", "--no-install-recommends", package],
        ["apt-get", "update", "-q"],
        ["apt-get", "install", "-y", "-q", "--no-install-recommends", package],
    ):
        subprocess.run(arguments, env=environment, capture_output=True, timeout=120)
        if found := find():
            return found
    raise Skipped(f"{package} cannot be installed")


def run(lab: Lab, where: str, *arguments: str) -> Program:
    name = os.path.basename(arguments[0])
    command = ["ip", "netns", "exec", f"{lab.prefix}-{where}", *arguments]
    program = Program(command, f"{name}-{where}", lab.folder)
    lab.programs.append(program)
    return program


def wait_for_listener(lab: Lab, where: str, address: str, port: int):
    def is_open():
        with lab.open_socket(where, socket.AF_INET, socket.SOCK_STREAM) as probe:
            return probe.connect_ex((address, port)) == 0

    until(5, f"a listener on {address}:{port}", is_open)


def get(lab: Lab, address: str, port: int) -> tuple[str, str]:
    """The page that a web server returns, and the address it was asked from."""
    connection = http.client.HTTPConnection(address, port, timeout=5)
    connection.sock = lab.connect(address, port, seconds=5)
    own = connection.sock.getsockname()
    connection.request("GET", "/")
    page = connection.getresponse().read().decode().strip()
    connection.close()
    return page, f"{own[0]}:{own[1]}"


HAPROXY_PAGE = 'lf-string "%[src]:%[src_port] %[fc_pp_unique_id]"'


def haproxy(lab: Lab, where: str, text: str):
    path = lab.write(
        f"haproxy-{where}.cfg",
        "defaults\n  timeout connect 3s\n  timeout client 10s\n  timeout server 10s\n" + text,
    )
    run(lab, where, install("haproxy", "haproxy"), "-db", "-f", path)


def haproxy_backend(lab: Lab):
    haproxy(
        lab,
        "backend",
        f"frontend web\n  mode http\n  bind {BACKEND4}:8080 accept-proxy\n"
        f"  http-request return status 200 content-type text/plain {HAPROXY_PAGE}\n",
    )
    wait_for_listener(lab, "backend", BACKEND4, 8080)


def web(origin: str, accept: str = "") -> Service:
    return Service(
        "web", "tcp", place(BACKEND4, 8080), place(EDGE4, 8080), f'origin = "{origin}"', accept
    )


@case("HAProxy reads our proxy-v1 and proxy-v2", seconds=300)
def haproxy_reads(lab):
    haproxy_backend(lab)
    for origin in ("proxy-v1", "proxy-v2"):
        server, client = restoring(lab, [web(origin)])
        page, own = get(lab, EDGE4, 8080)
        seen, _, identity = page.partition(" ")
        expect_equal(seen, own, f"who HAProxy saw by {origin}")
        if origin == "proxy-v2":
            expect(re.fullmatch("[0-9a-f]{32}", identity), f"the unique id: {identity!r}")
        client.stop()
        server.stop()


@case("HAProxy that insists on headers is found up by a probe that sends one", seconds=300)
def haproxy_probed(lab):
    haproxy_backend(lab)
    probe = (
        'health = { type = "send-expect", send = "GET / HTTP/1.0\\r\\n\\r\\n", expect = " 200 ",'
        ' interval = "200ms", timeout = "200ms", rise = 1, fall = 2 }'
    )
    for origin in ("proxy-v1", "proxy-v2"):
        service = web(origin)
        service = service._replace(service_lines=f"{service.service_lines}\n{probe}")
        server, client = restoring(lab, [service])
        time.sleep(1)
        expect(not server.find("backend-down"), "HAProxy counts as down")
        client.stop()
        server.stop()


@case("HAProxy before the client, HAProxy behind the server: the player is known", seconds=300)
def haproxy_both_ends(lab):
    haproxy_backend(lab)
    versions = (
        ("proxy-v1", "send-proxy"),
        ("proxy-v2", "send-proxy-v2 proxy-v2-options crc32c,unique-id"),
    )
    for index, (accept, option) in enumerate(versions):
        port = FRONT_PORT + index
        haproxy(
            lab,
            "player",
            f"listen front\n  mode tcp\n  unique-id-format %[uuid()]\n  bind {PLAYER4}:{port}\n"
            f"  server edge {EDGE4}:8080 {option}\n",
        )
        lines = f'accept = "{accept}"\ntrusted = ["10.80.0.0/24"]'
        server, client = restoring(lab, [web("proxy-v2", lines)])
        wait_for_listener(lab, "player", PLAYER4, port)
        page, own = get(lab, PLAYER4, port)
        expect_equal(page.split()[0], own, f"who the backend saw through {accept}")
        client.stop()
        server.stop()


@case("nginx reads our proxy-v1 and proxy-v2", seconds=300)
def nginx_reads(lab):
    program = install("nginx-light", "nginx")
    path = lab.write(
        "nginx.conf",
        f"daemon off;\nmaster_process off;\npid {lab.folder}/nginx.pid;\n"
        f"error_log {lab.folder}/nginx.log;\nevents {{}}\nhttp {{\n  access_log off;\n"
        f"  server {{\n    listen {BACKEND4}:8080 proxy_protocol;\n    location / {{\n"
        '      return 200 "$proxy_protocol_addr:$proxy_protocol_port";\n    }\n  }\n}\n',
    )
    run(lab, "backend", program, "-c", path, "-p", lab.folder)
    wait_for_listener(lab, "backend", BACKEND4, 8080)
    for origin in ("proxy-v1", "proxy-v2"):
        server, client = restoring(lab, [web(origin)])
        page, own = get(lab, EDGE4, 8080)
        expect_equal(page, own, f"who nginx saw by {origin}")
        client.stop()
        server.stop()


@case("the example's nginx caches behind us and knows the visitors", seconds=300)
def nginx_caches(lab):
    program = install("nginx-light", "nginx")
    example = os.path.join(os.path.dirname(__file__), "../../examples/web/nginx.conf")
    with open(example, encoding="utf-8") as file:
        text = file.read().replace("/tmp/fairlead-example", f"{lab.folder}/example")
    for named in ("127.0.0.1:8443", "proxy_cache pages", "real_ip_header proxy_protocol"):
        expect(named in text, f"the example has no {named}")
    text = text.replace("127.0.0.1:8443", f"{BACKEND4}:8080").replace(
        "set_real_ip_from 127.0.0.1", "set_real_ip_from 10.0.0.0/8"
    )
    path = lab.write("cache.conf", "daemon off;\nmaster_process off;\n" + text)
    asked = []

    def application(connection):
        asked.append(connection.recv(65536))
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\npage")
        connection.close()

    peers.TCPBackend(lab, "127.0.0.1", 3000, application)
    run(lab, "backend", program, "-c", path, "-p", lab.folder)
    wait_for_listener(lab, "backend", BACKEND4, 8080)
    restoring(lab, [web("proxy-v2")])
    states = []
    for _ in range(3):
        connection = http.client.HTTPConnection(EDGE4, 8080, timeout=5)
        connection.sock = lab.connect(EDGE4, 8080, seconds=5)
        connection.request("GET", "/page")
        answer = connection.getresponse()
        expect_equal(answer.read(), b"page", "the page")
        expect_equal(answer.getheader("X-Visitor"), PLAYER4, "the visitor nginx saw")
        states.append(answer.getheader("X-Cache"))
        connection.close()
    expect_equal(states, ["MISS", "HIT", "HIT"], "what the cache did")
    expect_equal(len(asked), 1, "questions to the application")


@case("go-mmproxy reads our headers over TCP and UDP", seconds=300)
def go_mmproxy_reads(lab):
    program = install("go-mmproxy", "go-mmproxy")
    lab.ip("backend", "rule", "add", "from", "127.0.0.1/8", "iif", "lo", "table", "123")
    lab.ip("backend", "route", "add", "local", "0.0.0.0/0", "dev", "lo", "table", "123")
    try:
        check_go_mmproxy(lab, program)
    finally:
        lab.ip("backend", "rule", "del", "from", "127.0.0.1/8", "iif", "lo", "table", "123")
        lab.ip("backend", "route", "flush", "table", "123")


def check_go_mmproxy(lab: Lab, program: str):
    stream = peers.TCPBackend(lab, "127.0.0.1", 8081, peers.echo)
    datagrams = peers.UDPEcho(lab, "127.0.0.1", 9001)
    run(lab, "backend", program, "-l", f"{BACKEND4}:8080", "-4", "127.0.0.1:8081", "-p", "tcp")
    run(lab, "backend", program, "-l", f"{BACKEND4}:9000", "-4", "127.0.0.1:9001", "-p", "udp")
    wait_for_listener(lab, "backend", BACKEND4, 8080)
    echo = Service(
        "echo", "udp", place(BACKEND4, 9000), place(EDGE4, 9000), 'origin = "proxy-v2"'
    )
    restoring(lab, [web("proxy-v2"), echo], RIGHTS)
    data = peers.payload(1, 500_000)
    with lab.connect(EDGE4, 8080) as player:
        own = player.getsockname()
        player.sendall(data)
        expect_equal(peers.read_exactly(player, len(data)), data, "the echo")
        expect(own in stream.peers, f"the backend saw {stream.peers}, not {own}")
    with lab.udp("player", PLAYER4) as player:
        peers.ask(player, b"hello", (EDGE4, 9000))
        own = player.getsockname()
        expect(own in datagrams.sources, f"the backend saw {datagrams.sources}, not {own}")
