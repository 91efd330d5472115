"""Reports from the field: files that change, and what backends log of probes."""

import os
import time

import peers
from lab import BACKEND4, EDGE4, Service, place
from streams import WEB
from verdicts import case, expect, expect_equal


def swap(lab, name: str, target: str):
    os.symlink(target, f"{lab.folder}/{name}.new")
    os.replace(f"{lab.folder}/{name}.new", f"{lab.folder}/{name}")


@case("field: a file that changes is read again, also behind links", 30)
def changed_file(lab):
    peers.TCPBackend(lab, BACKEND4, 8080, peers.echo)
    watching = "reload_on_change = true\n"
    lab.start_server([WEB])
    client = lab.start_client([WEB], watching)
    client.wait("session-up", 5)
    more = Service("web", "tcp", place(BACKEND4, 8080), "0.0.0.0:8090")
    # Written in place, in two steps.
    text = lab.client_text([WEB, more], watching)
    with open(f"{lab.folder}/client.toml", "w") as file:
        file.write(text[:200])
        file.flush()
        time.sleep(0.1)
        file.write(text[200:])
    client.wait("reload", 3)
    expect(client.find("reload-refused") is None, "half a file was read")
    with lab.connect(EDGE4, 8090) as player:
        player.sendall(b"hello")
        expect_equal(peers.read_exactly(player, 5), b"hello", "the echo at the new port")
    # A mistake changes nothing, and its cure is noticed.
    lab.write("client.toml", text + "nonsense = 1\n")
    client.wait("reload-refused", 3)
    seen = len(client.events)
    lab.write("client.toml", lab.client_text([WEB], watching))
    client.wait("reload", 3, since=seen)
    client.stop()
    # As in a ConfigMap.
    for number, services in ((1, [WEB]), (2, [WEB, more])):
        os.makedirs(f"{lab.folder}/..v{number}")
        lab.write(f"..v{number}/map.toml", lab.client_text(services, watching))
    swap(lab, "..data", "..v1")
    swap(lab, "map.toml", "..data/map.toml")
    client = lab.start("fairlead-client", "client", f"{lab.folder}/map.toml", "map")
    client.wait("session-up", 5)
    swap(lab, "..data", "..v2")
    client.wait("reload", 3)
    with lab.connect(EDGE4, 8090) as player:
        player.sendall(b"hello")
        expect_equal(peers.read_exactly(player, 5), b"hello", "the echo behind the new link")
    # Without the key nobody watches.
    seen = len(client.events)
    lab.write("..v2/map.toml", lab.client_text([WEB]))
    client.wait("reload", 3, since=seen)
    seen = len(client.events)
    lab.write("..v2/map.toml", lab.client_text([WEB, more]))
    time.sleep(1.5)
    expect(client.find("reload", since=seen) is None, "a reload that nobody asked for")
