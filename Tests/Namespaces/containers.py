"""The programs as the files of examples/containers run them, without a container engine.

A container is a root of its own that cannot be written to, a network namespace that it shares with
the game, and few rights: all of that is made here from what the compose files say.
"""

import json
import os
import re
import socket
import subprocess

import peers
from lab import EDGE4, PLAYER4, SERVER4, Lab
from programs import Program
from verdicts import Skipped, case, expect, expect_equal

EXAMPLES = os.path.join(os.path.dirname(__file__), "../../examples/containers")
GAME = 25565


def read(name: str) -> str:
    with open(os.path.join(EXAMPLES, name)) as file:
        return file.read()


class Container:
    """One of the programs in a root of its own, with the rights of its compose file."""

    # Bound, so that programs find their libraries.
    SYSTEM = ("bin", "dev", "lib", "lib64", "opt", "proc", "sbin", "sys", "usr")

    def __init__(self, lab: Lab, end: str, where: str, volume: bool = False):
        """`volume`: the key lies as Kubernetes lays out a secret."""
        self.lab = lab
        self.end = end
        self.compose = read(f"compose.{end}.yaml")
        self.root = f"{lab.folder}/{end}-root"
        other = "client" if end == "server" else "server"
        key = lab.client_key if other == "client" else lab.server_key
        text = read(f"{end}.toml").replace("tunnel.example.net", SERVER4)
        # The players of this laboratory have private addresses.
        text = text.replace('"::/0"]', '"::/0", "10.80.0.0/24"]')
        holder = f"ReplaceThisWithThePublicKeyOfYour{other.capitalize()}0000="
        expect(holder in text, "the placeholder is not there")
        self.place(f"etc/fairlead/{end}.toml", text.replace(holder, key), 0o644)
        with open(f"{lab.folder}/{end}.key") as file:
            secret = file.read()
        if volume:
            self.place(f"keys/..2026_11_28/{end}.key", secret, 0o400)
            os.symlink("..2026_11_28", f"{self.root}/keys/..data")
            os.symlink(f"..data/{end}.key", f"{self.root}/keys/{end}.key")
            os.chmod(f"{self.root}/keys", 0o1777)
        else:
            self.place(f"keys/{end}.key", secret, 0o600)
        os.makedirs(f"{self.root}/run")
        os.makedirs(f"{self.root}/programs")
        self.namespace = ["ip", "netns", "exec", f"{lab.prefix}-{where}"]
        arguments = [*self.namespace, *self.inside(f"/programs/fairlead-{end}")]
        arguments += ["--config", f"/etc/fairlead/{end}.toml", "--log-format", "json"]
        self.program = Program(arguments, end, lab.folder)
        lab.programs.append(self.program)

    def place(self, path: str, text: str, mode: int):
        whole = f"{self.root}/{path}"
        os.makedirs(os.path.dirname(whole), exist_ok=True)
        with open(whole, "w") as file:
            file.write(text)
        os.chmod(whole, mode)

    def inside(self, *command: str) -> list[str]:
        """`command` in the container's root, with its rights."""
        root = self.root
        lines = [f"mount --rbind {root} {root}"]
        for name in self.SYSTEM:
            if os.path.islink(f"/{name}"):
                lines.append(f"ln -sfn {os.readlink(f'/{name}')} {root}/{name}")
            elif os.path.isdir(f"/{name}"):
                lines.append(f"mkdir -p {root}/{name}; mount --rbind /{name} {root}/{name}")
        lines.append(f"mount --bind {self.lab.binaries} {root}/programs")
        # The control socket is shared with the health check, which is a process of its own.
        lines.append(f"mkdir -p {self.lab.folder}/{self.end}-run")
        lines.append(f"mount --bind {self.lab.folder}/{self.end}-run {root}/run")
        lines.append(f"mount -o remount,bind,ro {root}")
        rights = ",".join(f"+{name.lower()}" for name in self.rights)
        drop = f"setpriv --no-new-privs --inh-caps=-all --bounding-set=-all,{rights}"
        lines.append(f'exec chroot {root} {drop} "$@"')
        alone = ["unshare", "--mount", "--propagation=private"]
        return [*alone, "sh", "-ec", "\n".join(lines), "container", *command]

    @property
    def rights(self) -> list[str]:
        listed = re.search(r"^    cap_add: \[(.*)\]$", self.compose, re.MULTILINE)
        expect(listed and "cap_drop: [ALL]" in self.compose, "no rights in the compose file")
        return listed.group(1).split(", ")

    def healthy(self) -> bool:
        """What the compose file asks, as it asks."""
        line = re.search(r"^      test: (\[.*\])$", self.compose, re.MULTILINE)
        kind, command = json.loads(line.group(1))
        expect_equal(kind, "CMD-SHELL", "the kind of health check")
        shell = self.inside("sh", "-c", f"PATH=/programs:$PATH; {command}")
        return subprocess.run([*self.namespace, *shell], capture_output=True).returncode == 0


def tunnel(lab: Lab) -> tuple[Container, Container]:
    server = Container(lab, "server", "server")
    server.program.wait("ready", 10)
    client = Container(lab, "client", "client")
    client.program.wait("session-up", 5)
    return server, client


@case("containers: a game beside the server sees its players, with the rights of the files", 40)
def sidecar(lab):
    game = peers.TCPBackend(lab, "127.0.0.1", GAME, peers.echo, where="server")
    server, client = tunnel(lab)
    with lab.connect(EDGE4, GAME) as player:
        player.sendall(b"hello")
        expect_equal(player.recv(5), b"hello", "the echo")
        expect_equal(game.peers[-1], player.getsockname(), "what the game saw")
    expect_equal(game.peers[-1][0], PLAYER4, "the player's address")
    for end in (server, client):
        expect(end.healthy(), f"the health check of the {end.end} fails")
    # Not a right more than the files name, and no way to write to the root.
    with open(f"/proc/{client.program.pid}/status") as file:
        held = int(re.search(r"CapEff:\s*(\w+)", file.read()).group(1), 16)
    expect_equal(held, 1 << 10, "the client's rights")
    touch = [*client.namespace, *client.inside("touch", "/x")]
    touched = subprocess.run(touch, capture_output=True)
    expect(b"Read-only" in touched.stderr, f"the root can be written to: {touched.stderr}")


@case("containers: a key in a secret volume, and what the kubelet asks over the pod's address")
def pod(lab):
    peers.TCPBackend(lab, "127.0.0.1", GAME, peers.echo, where="server")
    server = Container(lab, "server", "server", volume=True)
    server.program.wait("ready", 10)
    for path, wanted in (("/live", "200"), ("/ready", "200")):
        with lab.inside("client"):
            kubelet = socket.create_connection((SERVER4, 9460), 5)
        with kubelet:
            kubelet.sendall(f"GET {path} HTTP/1.1\r\nHost: {SERVER4}:9460\r\n\r\n".encode())
            expect_equal(kubelet.recv(99).split()[1].decode(), wanted, path)
    expect(server.healthy(), "the health check fails")
    server.program.stop()
    expect(not server.healthy(), "the health check passes without a process")


def load(name: str) -> list[dict]:
    try:
        import yaml
    except ImportError:
        raise Skipped("needs python3-yaml") from None
    return list(yaml.safe_load_all(read(name)))


def private_key(end: str) -> str:
    """Where `end`'s configuration looks for its key, seen from its place in the container."""
    named = re.search(r'^private_key = "(.*)"$', read(f"{end}.toml"), re.MULTILINE).group(1)
    return os.path.normpath(os.path.join("/etc/fairlead", named))


def ports(end: str, key: str) -> set[int]:
    lines = re.findall(rf"^{key} = (.*)$", read(f"{end}.toml"), re.MULTILINE)
    return {int(port) for line in lines for port in re.findall(r':(\d+)"', line)}


@case("containers: compose files and configurations fit together")
def compose(lab):
    for end in ("server", "client"):
        (file,) = load(f"compose.{end}.yaml")
        services = file["services"]
        ours = services[f"fairlead-{end}"]
        expect_equal(ours["image"], f"fairlead:{version(lab)}", "the image")
        expect_equal(ours["command"][0], f"fairlead-{end}", "the program")
        expect_equal(ours["command"][2], f"/etc/fairlead/{end}.toml", "the configuration")
        expect_equal(ours["volumes"], [f"./{end}.toml:{ours['command'][2]}:ro"], "volumes")
        (secret,) = ours["secrets"]
        expect_equal(secret["target"], private_key(end), "where the key is mounted")
        expect(secret["source"] in file["secrets"], "the secret is not there")
        expect_equal(ours["cap_drop"], ["ALL"], "rights")
        holder = ours["network_mode"].partition(":")[2]
        if holder:
            published = {int(p.split(":")[0]) for p in services[holder]["ports"]}
            expect_equal(published, ports(end, "listen"), "published ports")
            expect_equal(services["game"]["network_mode"], ours["network_mode"], "the game's")


@case("containers: manifests and configurations fit together")
def manifests(lab):
    for end in ("server", "client"):
        files = load(f"kubernetes-{end}.yaml")
        pod = files[0]["spec"]["template"]["spec"]
        every = pod.get("initContainers", []) + pod["containers"]
        (ours,) = [c for c in every if c["name"] == f"fairlead-{end}"]
        expect_equal(ours["image"], f"fairlead:{version(lab)}", "the image")
        expect_equal(ours["command"][2], f"/etc/fairlead/{end}.toml", "the configuration")
        mounts = {mount["name"]: mount for mount in ours["volumeMounts"]}
        expect_equal(set(mounts), {volume["name"] for volume in pod["volumes"]}, "volumes")
        key = f"{mounts['key']['mountPath']}/{end}.key"
        expect_equal(key, private_key(end), "where the key is mounted")
        (key,) = [v["secret"] for v in pod["volumes"] if "secret" in v]
        expect_equal(key["defaultMode"], 0o400, "the key's mode")
        expect_equal(files[0]["spec"]["selector"]["matchLabels"],
                     files[0]["spec"]["template"]["metadata"]["labels"], "labels")  # fmt: skip
        named = {port["name"]: port["containerPort"] for port in ours.get("ports", [])}
        for kind, path in (("livenessProbe", "/live"), ("readinessProbe", "/ready")):
            probe = ours[kind]["httpGet"]
            expect_equal(probe["path"], path, kind)
            port = named.get(probe["port"], probe["port"])
            expect_equal({port}, ports(end, "admin"), f"the port of {kind}")
        for service in files[1:]:
            expect_equal(service["spec"]["selector"],
                         files[0]["spec"]["selector"]["matchLabels"], "selector")  # fmt: skip
            (port,) = service["spec"]["ports"]
            expect_equal({named[port["targetPort"]]}, ports(end, "listen"), "the tunnel's port")


def version(lab: Lab) -> str:
    run = subprocess.run([f"{lab.binaries}/fairlead", "version"], capture_output=True, text=True)
    return run.stdout.split()[-1]
