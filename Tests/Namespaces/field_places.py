"""Reports from the field: places to listen at that are not there, yet or at all."""

import os
import socket
import sys

import peers
from lab import BACKEND4, EDGE4, PLAYER4, SERVER4, Service, place
from origin import RIGHTS, restoring
from proxies import install, install_where, run
from verdicts import case, expect, expect_equal

MODEM4, MODEM6 = "10.80.0.77", "fd80::77"
WITHOUT_IPV6 = (sys.executable, f"{os.path.dirname(__file__)}/without_ipv6.py")


def hello(lab, address: str, port: int):
    with lab.connect(address, port, 5) as player:
        player.sendall(b"hello")
        expect_equal(player.recv(5), b"hello", f"the echo at {address}")


def addresses(program, event: str) -> list[str]:
    """Of all events of that name."""
    return sorted(e["address"] for e in program.events if e.get("event") == event)


@case("field: listeners wait for addresses that come later", seconds=30)
def awaited_addresses(lab):
    peers.TCPBackend(lab, BACKEND4, 8080, peers.echo)
    peers.UDPEcho(lab, BACKEND4, 9000)
    services = [
        Service("web", "tcp", place(BACKEND4, 8080), place(MODEM4, 8080)),
        Service("echo", "udp", place(BACKEND4, 9000), place(MODEM4, 9000)),
        Service("echo6", "udp", place(BACKEND4, 9000), place(MODEM6, 9000)),
    ]
    late = "10.80.1.77"
    server = lab.start_server(services, f'listen = ["{SERVER4}:4600", "{late}:4600"]')
    expect_equal(server.wait("waiting-for-address", 3)["address"], f"{late}:4600", "the server's")
    client = lab.start_client(services, f'server = "{late}:4600"')
    wanted = [f"{MODEM4}:8080", f"{MODEM4}:9000", f"[{MODEM6}]:9000"]
    expect_equal(addresses(client, "waiting-for-address"), sorted(wanted), "the client waits for")
    expect(not client.find("listening"), "listening without the address")
    try:
        lab.ip("server", "addr", "add", f"{late}/24", "dev", "to-client")
        expect_equal(server.wait("listening", 3)["address"], f"{late}:4600", "the server's")
        client.wait("session-up", 10)
        lab.ip("client", "addr", "add", f"{MODEM4}/24", "dev", "to-player")
        lab.ip("client", "addr", "add", f"{MODEM6}/64", "dev", "to-player", "nodad")
        client.wait("listening", 3, address=f"[{MODEM6}]:9000")
        hello(lab, MODEM4, 8080)
        for address, own in ((MODEM4, "0.0.0.0"), (MODEM6, "::")):
            with lab.udp("player", own) as player:
                peers.ask(player, b"hello", (address, 9000))
        for event in ("waiting-for-address", "listening"):
            expect_equal(addresses(client, event), sorted(wanted), event)
    finally:
        lab.ip("server", "addr", "del", f"{late}/24", "dev", "to-client")
        lab.ip("client", "addr", "del", f"{MODEM4}/24", "dev", "to-player")
        lab.ip("client", "addr", "del", f"{MODEM6}/64", "dev", "to-player")


@case("field: a kernel without IPv6 serves IPv4, and says what it skips")
def no_ipv6(lab):
    peers.TCPBackend(lab, BACKEND4, 8080, peers.echo)
    services = [
        Service("web", "tcp", place(BACKEND4, 8080), place(EDGE4, 8080)),
        Service("web", "tcp", place(BACKEND4, 8080), "[::]:8080"),
    ]
    config = lab.write("server.toml", lab.server_text(services[:1]))
    server = lab.start("fairlead-server", "server", config, "server", before=WITHOUT_IPV6)
    server.wait("ready", 5)
    expect_equal(server.wait("listener-skipped", 1)["address"], "[::]:4600", "the server's")
    config = lab.write("client.toml", lab.client_text(services))
    client = lab.start("fairlead-client", "client", config, "client", before=WITHOUT_IPV6)
    client.wait("session-up", 5)
    expect_equal(client.wait("listener-skipped", 1)["address"], "[::]:8080", "the client's")
    hello(lab, EDGE4, 8080)
    # Without another listener there is nothing to serve with.
    config = lab.write("alone.toml", lab.client_text(services[1:], 'control = "alone.sock"'))
    alone = lab.start("fairlead-client", "client", config, "alone", before=WITHOUT_IPV6)
    expect_equal(alone.wait_exit(5), 1, "the exit code")


@case("field: nginx before the client names UDP players in version 1", seconds=300)
def nginx_datagrams(lab):
    program = install("nginx-light", "nginx")
    module = "/usr/lib/nginx/modules/ngx_stream_module.so"
    install_where("libnginx-mod-stream", lambda: os.path.exists(module))
    path = lab.write(
        "nginx.conf",
        f"load_module {module};\ndaemon off;\nmaster_process off;\npid {lab.folder}/nginx.pid;\n"
        f"error_log {lab.folder}/nginx.log;\nevents {{}}\nstream {{\n"
        f"  server {{ listen {EDGE4}:7000 udp; proxy_pass 127.0.0.1:9000; proxy_protocol on; }}\n"
        f"  server {{ listen {EDGE4}:7001 udp; proxy_pass 127.0.0.1:9001; proxy_protocol on; }}\n"
        "}\n",
    )
    run(lab, "client", program, "-c", path, "-p", lab.folder)
    datagrams = lab.udp("backend", BACKEND4, 9000)
    trust = 'trusted = ["127.0.0.0/8"]'
    services = [
        Service("game", "udp", place(BACKEND4, 9000), "127.0.0.1:9000", 'origin = "spp"',
                f'accept = "proxy-v1"\ndialect = "first"\n{trust}'),
        Service("other", "udp", place(BACKEND4, 9000), "127.0.0.1:9001", 'origin = "spp"',
                f'accept = "proxy-v2"\n{trust}'),
    ]  # fmt: skip
    _, client = restoring(lab, services, RIGHTS)
    with lab.udp("player", PLAYER4) as player:
        for data in (b"first", b"second"):
            player.sendto(data, (EDGE4, 7000))
            datagram, _ = datagrams.recvfrom(2000)
            mapped = bytes(10) + b"\xff\xff" + socket.inet_aton(PLAYER4)
            expect_equal(datagram[2:18], mapped, "the player that the backend is told")
            expect_equal(datagram[38:], data, "the datagram")
        player.sendto(b"hello", (EDGE4, 7001))
    refused = client.wait("header-refused", 3)
    expect_equal(refused["reason"], "header-version-1", "the reason")
    expect_equal(refused["cure"], 'accept = "proxy-v1" with dialect = "first"', "the cure")
