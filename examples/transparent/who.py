"""Backends that say whom they see, and players that compare; see run.sh."""

import selectors
import socket
import sys

TCP, UDP = 25565, 19132
LOCAL = ("127.0.0.1", "::1")
PLAYERS = ("203.0.113.10", "203.0.113.11", "2001:db8:a::10", "2001:db8:a::11")
EDGES = {socket.AF_INET: "203.0.113.1", socket.AF_INET6: "2001:db8:a::1"}


def family(address: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def name(peer: tuple) -> str:
    return f"[{peer[0]}]:{peer[1]}" if ":" in peer[0] else f"{peer[0]}:{peer[1]}"


def backends():
    waiting = selectors.DefaultSelector()
    for address in LOCAL:
        for kind, port in ((socket.SOCK_STREAM, TCP), (socket.SOCK_DGRAM, UDP)):
            listener = socket.socket(family(address), kind)
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind((address, port))
            if kind == socket.SOCK_STREAM:
                listener.listen()
            waiting.register(listener, selectors.EVENT_READ)
    print("ready", flush=True)
    while True:
        for key, _ in waiting.select():
            if key.fileobj.type == socket.SOCK_STREAM:
                connection, peer = key.fileobj.accept()
                # The server has asked first whether replies come back, and hangs up.
                try:
                    connection.sendall(name(peer).encode())
                except OSError:
                    pass
                connection.close()
                continue
            _, peer = key.fileobj.recvfrom(2000)
            key.fileobj.sendto(name(peer).encode(), peer)


def ask(player: str, kind: socket.SocketKind) -> tuple[str, str]:
    """Who the player is, and who the backend says that it is."""
    edge = EDGES[family(player)]
    with socket.socket(family(player), kind) as one:
        one.bind((player, 0))
        one.settimeout(5)
        one.connect((edge, TCP if kind == socket.SOCK_STREAM else UDP))
        if kind == socket.SOCK_DGRAM:
            one.send(b"who am I?")
        return name(one.getsockname()), one.recv(100).decode()


def players() -> int:
    wrong = 0
    print(f"{'player':30} {'':4} {'what the backend saw':30}")
    for player in PLAYERS:
        for kind, label in ((socket.SOCK_STREAM, "TCP"), (socket.SOCK_DGRAM, "UDP")):
            own, seen = ask(player, kind)
            wrong += own != seen
            print(f"{own:30} {label:4} {seen:30}{'' if own == seen else ' WRONG'}")
    return wrong


if __name__ == "__main__":
    sys.exit(backends() if sys.argv[1] == "backends" else players())
