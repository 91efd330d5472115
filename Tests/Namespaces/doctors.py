"""What `fairlead doctor --client` finds out by shaking hands."""

import json
import subprocess

import peers
from datagrams import ECHO
from lab import BACKEND4, EDGE4, SERVER4, Service
from programs import fetch
from streams import WEB
from verdicts import case, expect, expect_equal


def doctor(lab, services, top: str = "") -> tuple[int, list[dict]]:
    path = lab.write("patient.toml", lab.client_text(services, top))
    command = ["ip", "netns", "exec", f"{lab.prefix}-client", f"{lab.binaries}/fairlead"]
    run = subprocess.run(
        [*command, "doctor", "--client", path, "--json"], capture_output=True, text=True, timeout=30
    )
    expect(run.stdout.startswith("{"), f"no report: {run.stderr}")
    return run.returncode, json.loads(run.stdout)["findings"]


def finding(findings: list[dict], check: str) -> dict:
    found = [one for one in findings if one["check"].startswith(check)]
    expect(found, f"nothing of {check} in {findings}")
    return found[0]


def expect_fault(lab, start: str, services=(WEB,), top: str = "", check: str = "server ") -> dict:
    code, findings = doctor(lab, services, top)
    found = finding(findings, check)
    expect_equal(code, 1, f"exit code with {found}")
    expect(found["level"] == "failure" and found["cause"].startswith(start), f"{found}")
    expect(found["cure"], f"no cure: {found}")
    return found


@case("doctor --client: all well, and the running client is not disturbed", 40)
def healthy(lab):
    peers.TCPBackend(lab, BACKEND4, 8080, peers.echo)
    peers.UDPEcho(lab, BACKEND4, 9000)
    server, client = lab.tunnel([WEB, ECHO])
    with lab.connect(EDGE4, 8080) as player:
        player.sendall(b"one")
        peers.read_exactly(player, 3)
        code, findings = doctor(lab, [WEB, ECHO])
        expect_equal(code, 0, f"exit code with {findings}")
        for check in (f"server {SERVER4}", "service web", "service echo"):
            expect_equal(finding(findings, check)["level"], "ok", check)
        path = finding(findings, "path to ")["cause"]
        expect(" 0 of 20 probes lost" in path and "packets of 1472 bytes" in path, path)
        player.sendall(b"two")
        peers.read_exactly(player, 3)
    expect_equal(client.find("session-down"), None, "session-down in the client's log")
    # The doctor has said goodbye.
    server.wait("session-down", 2, reason="shutdown")
    sessions = json.loads(fetch("/status", lab.control["server"])[1])["sessions"]
    expect_equal(len(sessions), 1, f"sessions left: {sessions}")


@case("doctor --client: server, key and permission by name", 60)
def faults(lab):
    expect_fault(lab, "server: ")
    expect_fault(lab, "network: ", top='server = "203.0.113.1:4600"\n')
    server = lab.start_server([WEB, ECHO], peer='services = ["web"]\n')
    peers.TCPBackend(lab, BACKEND4, 8080, peers.echo)
    other = lab.key("other")
    expect_fault(lab, "key: ", top=f'server_public_key = "{other}"\n')
    found = expect_fault(lab, "key: ", top='private_key = "other.key"\n')
    expect("[[peer]]" in found["cure"] and other in found["cure"], f"{found}")
    typo = Service("wbe", "tcp", f"{BACKEND4}:8080", "0.0.0.0:8081")
    expect_fault(lab, "permission: ", [WEB, ECHO], check="service echo")
    expect_fault(lab, "permission: ", [WEB, typo], check="service wbe")
    filtered = ["ip", "netns", "exec", f"{lab.prefix}-server", "nft"]
    for line in (
        "add table inet mute",
        "add chain inet mute in { type filter hook input priority 0; policy drop; }",
    ):
        subprocess.run([*filtered, *line.split()], check=True)
    try:
        expect_fault(lab, "firewall or server: ")
    finally:
        subprocess.run([*filtered, "delete", "table", "inet", "mute"], check=True)
    expect_equal(server.find("failed"), None, "the server's failure")
