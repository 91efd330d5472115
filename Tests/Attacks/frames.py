"""Frames, written from docs/PROTOCOL.md sections 6 to 11."""

import socket
import struct
import zlib

PING, ACK, OPEN, STREAM, CLOSE, RESET, WINDOW, DATAGRAM, FRAGMENT = range(1, 10)
MTU_PROBE, PATH, CLOSE_SESSION, STREAM_PART, COPIES, REPAIR, RATE = range(10, 17)
MAY_DEFLATE, PQ_OFFER, PQ_ANSWER = 18, 19, 20

STREAM_KIND, FLOW_KIND = 0, 1
UDP, ORIGIN, DESTINATION, COMPRESSED = 1, 2, 4, 8
LIMIT, PROTOCOL_VIOLATION, COMPRESSION, SERVICE_UNKNOWN = 8, 11, 12, 5
QUIET = {ACK, CLOSE_SESSION, COPIES}


def frame(kind: int, body: bytes = b"") -> bytes:
    return struct.pack("<BH", kind, len(body)) + body


def split(plain: bytes) -> list[tuple[int, bytes]]:
    """Every frame of a packet; a frame that does not fit ends it."""
    found, at = [], 0
    while at + 3 <= len(plain) and plain[at]:
        kind, size = struct.unpack_from("<BH", plain, at)
        if at + 3 + size > len(plain):
            break
        found.append((kind, plain[at + 3 : at + 3 + size]))
        at += 3 + size
    return found


def _address(pair: tuple[str, int]) -> bytes:
    host, port = pair
    if ":" not in host:
        host = "::ffff:" + host
    return socket.inet_pton(socket.AF_INET6, host) + struct.pack("<H", port)


def opening(
    kind: int,
    number: int,
    service: str | bytes,
    *,
    flags: int = 0,
    origin: tuple[str, int] | None = None,
    destination: tuple[str, int] | None = None,
    delivery: int = 0,
    traffic_class: int = 0,
    age: int = 0,
    idle: int = 120_000,
) -> bytes:
    name = service if isinstance(service, bytes) else service.encode()
    flags |= ORIGIN if origin else 0
    flags |= DESTINATION if destination else 0
    flags |= UDP if kind == FLOW_KIND else 0
    body = struct.pack("<BIBBHI", kind, number, flags, traffic_class | delivery << 4, age, idle)
    body += _address(origin) if origin else b""
    body += _address(destination) if destination else b""
    return frame(OPEN, body + bytes([len(name)]) + name)


def stream(conversation: int, segment: int, offset: int, data: bytes) -> bytes:
    return frame(STREAM, struct.pack("<III", conversation, segment, offset) + data)


def stream_part(
    conversation: int, segment: int, offset: int, length: int, chunk: int, data: bytes
) -> bytes:
    body = struct.pack("<IIIHB", conversation, segment, offset, length, chunk)
    return frame(STREAM_PART, body + data)


def close(conversation: int, count: int) -> bytes:
    return frame(CLOSE, struct.pack("<II", conversation, count))


def reset(kind: int, number: int, reason: int = 1) -> bytes:
    return frame(RESET, struct.pack("<BIB", kind, number, reason))


def window(conversation: int, limit: int) -> bytes:
    return frame(WINDOW, struct.pack("<IQ", conversation, limit))


def datagram(flow: int, number: int, data: bytes) -> bytes:
    return frame(DATAGRAM, struct.pack("<II", flow, number) + data)


def fragment(
    flow: int, number: int, index: int, count: int, offset: int, total: int, data: bytes
) -> bytes:
    head = struct.pack("<IIBBHH", flow, number, index, count, offset, total)
    return frame(FRAGMENT, head + data)


def copies(flow: int, number: int, messages: list[tuple[int, bytes]]) -> bytes:
    body = struct.pack("<II", flow, number)
    for back, data in messages:
        body += struct.pack("<BH", back, len(data)) + data
    return frame(COPIES, body)


def repair(flow: int, last: int, width: int, key: int, combination: bytes) -> bytes:
    return frame(REPAIR, struct.pack("<IIBH", flow, last, width, key) + combination)


def path(operation: int, token: bytes) -> bytes:
    return frame(PATH, bytes([operation, 0]) + token)


# Acknowledgements.


def _varint(value: int) -> bytes:
    for size, prefix in ((1, 0), (2, 1), (4, 2), (8, 3)):
        if value < 1 << 8 * size - 2:
            return (value | prefix << 8 * size - 2).to_bytes(size, "big")
    raise ValueError(value)


def ack_body(ranges: list[tuple[int, int]], delay: int = 0) -> bytes:
    """`ranges`: lowest and highest of each, newest first."""
    (low, high), *further = ranges
    body = _varint(high) + _varint(delay) + _varint(len(further)) + _varint(high - low)
    for next_low, next_high in further:
        body += _varint(low - next_high - 2) + _varint(next_high - next_low)
        low = next_low
    return body


def ack(ranges: list[tuple[int, int]], delay: int = 0) -> bytes:
    return frame(ACK, ack_body(ranges, delay))


def read_ack(body: bytes) -> list[tuple[int, int]]:
    values, at = [], 0
    while at < len(body):
        size = 1 << (body[at] >> 6)
        raw = int.from_bytes(body[at : at + size], "big")
        values.append(raw & (1 << 8 * size - 2) - 1)
        at += size
    high, _, count, length, *rest = values
    found = [(high - length, high)]
    for number in range(count):
        high = found[-1][0] - rest[2 * number] - 2
        found.append((high - rest[2 * number + 1], high))
    return found


# Compression.


def deflate(data: bytes, *, end: bool) -> bytes:
    """Raw deflate with a window of 8 KiB; flushed as streams need it, or ended as datagrams do."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -13)
    return packer.compress(data) + packer.flush(zlib.Z_FINISH if end else zlib.Z_SYNC_FLUSH)


def block(kind: int, data: bytes) -> bytes:
    return struct.pack("<BH", kind, len(data)) + data


# Section 9: the coefficients of a repair.

_POLYNOMIALS = None


def coefficients(key: int, last: int, width: int) -> list[int]:
    """The bytes of SplitMix64 from key * 2^32 + last; a byte 0 counts as 1."""
    mask, state, found = (1 << 64) - 1, (key << 32) + last, []
    while len(found) < width:
        state = state + 0x9E3779B97F4A7C15 & mask
        z = (state ^ state >> 30) * 0xBF58476D1CE4E5B9 & mask
        z = (z ^ z >> 27) * 0x94D049BB133111EB & mask
        found += struct.pack("<Q", z ^ z >> 31)
    return [byte or 1 for byte in found[:width]]
