"""Whoever is refused is told why in its log, within 3 s of trying."""

import json
import signal
import subprocess
import time

import peers
from lab import BACKEND4, EDGE4, Service
from programs import fetch, metrics
from streams import WEB, expect_reset
from verdicts import case, expect, expect_equal

PATIENCE = 3


def expect_told(client, reason: str):
    """The contract: the log says it within 3 s of trying."""
    entry = client.wait(None, PATIENCE, reason=reason)
    took = entry["at"] - client.started
    expect(took <= PATIENCE + 0.5, f"{reason} came only after {took:.1f} s")
    return entry


def expect_listed(lab, reason: str, key: str):
    """The server's pages name whom it turned away, and count it."""
    status = json.loads(fetch("/status", lab.control["server"])[1])
    refusals = [one for one in status["refusals"] if one["key"] == key]
    expect_equal([one["reason"] for one in refusals], [reason], "the reasons in refusals")
    expect(refusals[0]["count"] >= 1 and refusals[0]["last"], f"count and time: {refusals}")
    drops = metrics(lab.control["server"])[f'fairlead_drops_total{{reason="{reason}"}}']
    expect(drops >= 1, f"{drops} drops of {reason}")


@case("no server: server-silent within 3 s, naming server and key")
def no_server(lab):
    client = lab.start_client([WEB])
    entry = expect_told(client, "server-silent")
    text = " ".join(str(value) for value in entry.values())
    expect("key" in text and "server" in text, f"the message does not name both: {text}")


@case("a silent server: told again while it lasts, a closed port and a missing route by name", 30)
def outage_causes(lab):
    client = lab.start_client([WEB])
    # The server's machine is there.
    first = client.wait("connect-failed", 4, reason="server-silent", cause="port-closed")
    client.wait("connect-failed", 8, since=client.events.index(first) + 1, cause="port-closed")
    status = json.loads(fetch("/status", lab.control["client"])[1])
    expect("port-closed" in status["reason"], f"the client's reason: {status['reason']}")
    client.stop()
    lost = lab.start_client([WEB], 'server = "203.0.113.1:4600"\n', name="lost")
    lost.wait("connect-failed", 4, reason="server-silent", cause="no-route")


@case("TCP after unknown-key: the reset names it")
def reset_reason(lab):
    lab.start_server([WEB])
    lab.key("stranger")
    text = 'private_key = "stranger.key"\nconnect_timeout = "2s"\n'
    client = lab.start_client([WEB], text)
    client.wait("connect-failed", 3, reason="unknown-key")
    with lab.connect(EDGE4, 8080) as player:
        expect_reset(player, 4, "a player without a session")
    client.wait("stream-reset", 2, reason="unknown-key")


@case("a wrong server key: server-silent within 3 s")
def wrong_server_key(lab):
    lab.start_server([WEB])
    other = lab.key("other")
    client = lab.start_client([WEB], f'server_public_key = "{other}"\n')
    expect_told(client, "server-silent")


@case("an unknown client key: unknown-key within 3 s")
def unknown_client_key(lab):
    server = lab.start_server([WEB])
    key = lab.key("stranger")
    client = lab.start_client([WEB], 'private_key = "stranger.key"\n')
    entry = expect_told(client, "unknown-key")
    expect(key in entry["hint"], f"the client's hint lacks its own key: {entry}")
    entry = server.wait("handshake-refused", 1, reason="unknown-key")
    expect(key in entry["hint"] and "[[peer]]" in entry["hint"], f"no block to add: {entry}")
    expect_listed(lab, "unknown-key", key)
    # Its pages say so too, and why it is not ready.
    status = json.loads(fetch("/status", lab.control["client"])[1])
    expect("unknown-key" in status["reason"], f"the client's reason: {status['reason']}")


@case("no cipher in common: cipher-mismatch within 3 s")
def cipher_mismatch(lab):
    server = lab.start_server([WEB], 'cipher = "aes-256-gcm"\n')
    client = lab.start_client([WEB], 'cipher = "chacha20-poly1305"\n')
    expect_told(client, "cipher-mismatch")
    entry = server.wait("handshake-refused", 1, reason="cipher-mismatch")
    expect_listed(lab, "cipher-mismatch", entry["key"])


def preshared(lab, name: str) -> str:
    run = subprocess.run(
        [f"{lab.binaries}/fairlead", "keygen", "--preshared", f"{lab.folder}/{name}"],
        capture_output=True,
        text=True,
    )
    expect(run.returncode == 0 and not run.stdout, f"keygen --preshared: {run}")
    return f'preshared_key = "{name}"\n'


@case("another preshared key, or one end without: preshared-key within 3 s")
def other_preshared_key(lab):
    one, other = preshared(lab, "one.psk"), preshared(lab, "other.psk")
    for here, there in ((one, ""), ("", one), (one, other)):
        server = lab.start_server([WEB], peer='services = ["*"]\n' + there)
        client = lab.start_client([WEB], here)
        expect_told(client, "preshared-key")
        client.stop()
        server.stop()


@case("a preshared key both have is used; a new one acts with a reload, and cuts nothing")
def common_preshared_key(lab):
    peers.TCPBackend(lab, BACKEND4, 8080, peers.echo)
    one, two = preshared(lab, "one.psk"), preshared(lab, "two.psk")
    server = lab.start_server([WEB], peer='services = ["*"]\n' + one)
    client = lab.start_client([WEB], one)
    client.wait("session-up", 3)
    with lab.connect(EDGE4, 8080) as player:
        player.sendall(b"hello")
        peers.read_exactly(player, 5)
        lab.write("server.toml", lab.server_text([WEB], peer='services = ["*"]\n' + two))
        server.process.send_signal(signal.SIGHUP)
        server.wait("reload", 3)
        player.sendall(b"again")
        peers.read_exactly(player, 5)
    client.stop()
    stale = lab.start_client([WEB], one, name="stale")
    expect_told(stale, "preshared-key")
    lab.write("stale.toml", lab.client_text([WEB], two))
    stale.process.send_signal(signal.SIGHUP)
    stale.wait("session-up", 3)


@case("post_quantum required here and off there: post-quantum within 3 s, at both ends")
def required_and_off(lab):
    for here, there in (("require", "off"), ("off", "require")):
        server = lab.start_server([WEB], f'post_quantum = "{there}"\n')
        client = lab.start_client([WEB], f'post_quantum = "{here}"\n')
        expect_told(client, "post-quantum")
        entry = server.wait("handshake-refused", 1, reason="post-quantum")
        expect_listed(lab, "post-quantum", entry["key"])
        client.stop()
        server.stop()


def post_quantum(lab, role: str) -> tuple[list[bool], float]:
    """What the pages of one end say of its sessions."""
    status = json.loads(fetch("/status", lab.control[role])[1])
    count = metrics(lab.control[role])["fairlead_sessions_post_quantum"]
    return [session["post_quantum"] for session in status["sessions"]], count


@case("post_quantum preferred or required: status, metrics and log say so; off: false; reloads", 40)
def strengthened(lab):
    peers.TCPBackend(lab, BACKEND4, 8080, peers.echo)
    for here, there in (("prefer", "prefer"), ("require", "prefer"), ("prefer", "require")):
        server = lab.start_server([WEB], f'post_quantum = "{there}"\n')
        client = lab.start_client([WEB], f'post_quantum = "{here}"\n')
        for end in (server, client):
            end.wait("session-up", 3)
            end.wait("post-quantum", 3)
        with lab.connect(EDGE4, 8080) as player:
            player.sendall(b"hello")
            peers.read_exactly(player, 5)
        for role in ("server", "client"):
            expect_equal(post_quantum(lab, role), ([True], 1), f"{here}, {there}, {role}")
        client.stop()
        server.stop()
    server = lab.start_server([WEB])
    client = lab.start_client([WEB], 'post_quantum = "off"\n')
    for end in (server, client):
        end.wait("session-up", 3)
    for role in ("server", "client"):
        expect_equal(post_quantum(lab, role), ([False], 0), role)
    # A server that insists from now on ends what does without.
    lab.write("server.toml", lab.server_text([WEB], 'post_quantum = "require"\n'))
    server.process.send_signal(signal.SIGHUP)
    client.wait("session-down", 3, reason="post-quantum")
    expect_told_later = client.wait("connect-failed", 3, reason="post-quantum")
    lab.write("client.toml", lab.client_text([WEB], 'post_quantum = "prefer"\n'))
    client.process.send_signal(signal.SIGHUP)
    client.wait("post-quantum", 8, since=client.events.index(expect_told_later) + 1)


@case("a cipher both name is used")
def common_cipher(lab):
    peers.TCPBackend(lab, BACKEND4, 8080, peers.echo)
    for cipher in ("chacha20-poly1305", "aes-256-gcm"):
        server = lab.start_server([WEB], f'cipher = "{cipher}"\n')
        client = lab.start_client([WEB])
        client.wait("session-up", 3, cipher=cipher)
        with lab.connect(EDGE4, 8080) as player:
            player.sendall(b"hello")
            peers.read_exactly(player, 5)
        client.stop()
        server.stop()


@case("a forbidden and an unknown service: a reset, and the log says which")
def services(lab):
    peers.TCPBackend(lab, BACKEND4, 8080, peers.echo)
    secret = Service("secret", "tcp", f"{BACKEND4}:8081", "0.0.0.0:8081")
    typo = Service("wbe", "tcp", f"{BACKEND4}:8081", "0.0.0.0:8082")
    server = lab.start_server([WEB, secret], peer='services = ["web"]\n')
    client = lab.start_client([WEB, secret, typo])
    client.wait("session-up", 3)
    for port, reason in ((8081, "service-forbidden"), (8082, "service-unknown")):
        try:
            with lab.connect(EDGE4, port) as player:
                expect_reset(player, 2, "the player")
        except ConnectionResetError:
            pass  # Refused before connect() had even returned.
        client.wait(None, 1, reason=reason)
        server.wait(None, 1, reason=reason)
    with lab.connect(EDGE4, 8080) as player:
        player.sendall(b"hello")
        peers.read_exactly(player, 5)


@case("a client without a right to anything is told at once")
def no_rights(lab):
    lab.start_server([WEB], peer="services = []\n")
    client = lab.start_client([WEB])
    entry = client.wait(None, PATIENCE, level="warning")
    expect("reason" in entry, f"no reason in {entry}")


@case("a player outside of origins: origin-forbidden, and no backend is bothered")
def forbidden_origin(lab):
    backend = peers.TCPBackend(lab, BACKEND4, 8080, peers.echo)
    # A claim counts only where it is shown.
    web = WEB._replace(service_lines='origin = "proxy-v2"')
    echo = Service("echo", "udp", f"{BACKEND4}:9000", "0.0.0.0:9000", 'origin = "proxy-v2"')
    flows = peers.UDPEcho(lab, BACKEND4, 9000)
    rights = 'services = ["*"]\norigins = ["0.0.0.0/0"]\n'
    server = lab.start_server([web, echo], peer=rights)
    client = lab.start_client([web, echo])
    client.wait("session-up", 3)
    with lab.connect(EDGE4, 8080) as player:
        expect_reset(player, 2, "a private address")
    client.wait(None, 1, reason="origin-forbidden")
    server.wait(None, 1, reason="origin-forbidden")
    with lab.udp("player", "0.0.0.0") as player:
        player.sendto(b"hello", (EDGE4, 9000))
        time.sleep(0.5)
    expect(not backend.peers and not flows.sources, "the backend saw a forbidden player")
