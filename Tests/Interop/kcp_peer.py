#!/usr/bin/env python3
"""ikcp.c, through the PyPI package `kcp`, as the other end of `testkit kcp-peer`.

    kcp_peer.py PORT [name=number ...]

Prints `ok` when everything arrived unaltered, then goes on until its standard input is closed.
"""
import select
import socket
import sys
import time

from kcp import KCP

options = dict(conv=0x12345678, bytes=1_000_000, stream=0, nodelay=1, interval=10, resend=2, nc=1,
               window=256, mtu=1400, boundaries=0, seconds=20)


def payload(seed):
    state = seed
    while True:
        state = (state * 1103515245 + 12345) & 0x7FFFFFFF
        yield (state >> 16) & 0xFF


def message_sizes():
    count = 0
    while True:
        count += 1
        yield 1 + count * 997 % 3000


def main():
    port = int(sys.argv[1])
    for argument in sys.argv[2:]:
        name, value = argument.split("=")
        options[name] = int(value)
    total = options["bytes"]
    link = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    link.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
    link.connect(("127.0.0.1", port))
    link.setblocking(False)

    conversation = KCP(
        options["conv"], max_transmission=options["mtu"], no_delay=bool(options["nodelay"]),
        update_interval=options["interval"], resend_count=options["resend"],
        no_congestion_control=bool(options["nc"]), send_window_size=options["window"],
        receive_window_size=options["window"])

    def output(_, data):
        try:
            link.send(data)
        except (BlockingIOError, ConnectionRefusedError):
            pass

    conversation.include_outbound_handler(output)

    sending, sizes = payload(2), message_sizes()
    expected, expected_sizes = payload(1), message_sizes()
    sent = received = 0
    is_done = False
    deadline = time.monotonic() + options["seconds"]
    while True:
        while sent < total and conversation.get_outbound_packets() < 2 * options["window"]:
            size = min(next(sizes), total - sent)
            conversation.enqueue(bytes(next(sending) for _ in range(size)))
            sent += size
        conversation.update()
        readable, _, _ = select.select([link, sys.stdin], [], [], 0.005)
        if sys.stdin in readable and not sys.stdin.buffer.read1(1):
            return 0 if is_done else 1
        while True:
            try:
                datagram = link.recv(65536)
            except (BlockingIOError, ConnectionRefusedError):
                break
            conversation.receive(datagram)
        for message in conversation.get_all_received():
            size = min(next(expected_sizes), total - received)
            if options["boundaries"] and len(message) != size:
                print(f"wrong size {len(message)} near {received}", flush=True)
                return 1
            if any(byte != next(expected) for byte in message):
                print(f"wrong byte near {received}", flush=True)
                return 1
            received += len(message)
        if received >= total and not is_done:
            is_done = True
            print("ok" if received == total else "too much", flush=True)
        if time.monotonic() > deadline:
            print(f"too slow: received {received} of {total}", flush=True)
            return 1


sys.exit(main())
