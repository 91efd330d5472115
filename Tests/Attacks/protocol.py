"""Fairlead's handshake and packets, written from docs/PROTOCOL.md and from nothing else.

Sections in comments are those of that page.
"""

import hashlib
import hmac
import os
import struct
from typing import NamedTuple

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305

INIT, RESP, COOKIE, DATA = 1, 2, 3, 4
CHACHA, AES = 1, 2
CIPHER_NAMES = {CHACHA: b"chacha20-poly1305", AES: b"aes-256-gcm"}
NO_PSK = bytes(32)

_MASK64 = (1 << 64) - 1


class Invalid(Exception):
    """A packet that is not what it claims to be."""


# Section 1: masks.


def siphash128(key: bytes, data: bytes) -> bytes:
    """SipHash-2-4 with 128 bits of output, of 16 bytes of data: what the header mask needs."""
    k0, k1 = struct.unpack("<QQ", key)
    words = struct.unpack("<QQ", data)
    v0, v1 = k0 ^ 0x736F6D6570736575, k1 ^ 0x646F72616E646F6D ^ 0xEE
    v2, v3 = k0 ^ 0x6C7967656E657261, k1 ^ 0x7465646279746573
    for word in (*words, 16 << 56):
        v3 ^= word
        v0, v1, v2, v3 = _sip_rounds(v0, v1, v2, v3, 2)
        v0 ^= word
    v0, v1, v2, v3 = _sip_rounds(v0, v1, v2 ^ 0xEE, v3, 4)
    first = v0 ^ v1 ^ v2 ^ v3
    v0, v1, v2, v3 = _sip_rounds(v0, v1 ^ 0xDD, v2, v3, 4)
    return struct.pack("<QQ", first, v0 ^ v1 ^ v2 ^ v3)


def _sip_rounds(v0: int, v1: int, v2: int, v3: int, count: int):
    mask = _MASK64
    for _ in range(count):
        v0 = v0 + v1 & mask
        v1 = (v1 << 13 & mask | v1 >> 51) ^ v0
        v0 = v0 << 32 & mask | v0 >> 32
        v2 = v2 + v3 & mask
        v3 = (v3 << 16 & mask | v3 >> 48) ^ v2
        v0 = v0 + v3 & mask
        v3 = (v3 << 21 & mask | v3 >> 43) ^ v0
        v2 = v2 + v1 & mask
        v1 = (v1 << 17 & mask | v1 >> 47) ^ v2
        v2 = v2 << 32 & mask | v2 >> 32
    return v0, v1, v2, v3


def xor(left: bytes, right: bytes) -> bytes:
    size = len(left)
    number = int.from_bytes(left, "little") ^ int.from_bytes(right[:size], "little")
    return number.to_bytes(size, "little")


def chacha_stream(key: bytes, nonce16: bytes, size: int) -> bytes:
    """`nonce16`: the counter's 4 bytes, then the 12 of the nonce."""
    return Cipher(algorithms.ChaCha20(key, nonce16), None).encryptor().update(bytes(size))


def keyed(key: bytes, data: bytes, size: int) -> bytes:
    return hashlib.blake2b(data, digest_size=size, key=key).digest()


class PublicKeys:
    """Section 2: what follows from a public key."""

    def __init__(self, public: bytes):
        def derive(label: str, size: int) -> bytes:
            text = b"fairlead/1 " + label.encode() + public + b"\0"
            return hashlib.blake2b(text, digest_size=size).digest()

        self.public = public
        self.mask = derive("mask", 16)
        self.mask_ephemeral = derive("mask-e", 32)
        self.mac1 = derive("mac1", 32)
        self.cookie = derive("cookie", 32)

    def mask_header(self, packet: bytes) -> bytes:
        """Masks and unmasks: the same operation."""
        return xor(packet[:12], siphash128(self.mask, packet[-16:])) + packet[12:]

    def mask_key(self, packet: bytes) -> bytes:
        """The ephemeral key of INIT and RESP."""
        stream = chacha_stream(self.mask_ephemeral, bytes(4) + packet[-12:], 32)
        return packet[:12] + xor(packet[12:44], stream) + packet[44:]


# Section 3: Noise_IKpsk2_25519_ChaChaPoly_BLAKE2b.


class KeyPair:
    def __init__(self, private: bytes | None = None):
        self.private = private or os.urandom(32)
        self._key = X25519PrivateKey.from_private_bytes(self.private)
        self.public = self._key.public_key().public_bytes_raw()

    def exchange(self, public: bytes) -> bytes:
        return self._key.exchange(X25519PublicKey.from_public_bytes(public))


def _hkdf(key: bytes, data: bytes, count: int) -> list[bytes]:
    secret = hmac.digest(key, data, "blake2b")
    outputs, last = [], b""
    for number in range(1, count + 1):
        last = hmac.digest(secret, last + bytes([number]), "blake2b")
        outputs.append(last)
    return outputs


class Noise:
    NAME = b"Noise_IKpsk2_25519_ChaChaPoly_BLAKE2b"

    def __init__(self, prologue: bytes, responder: bytes):
        self.hash = self.NAME.ljust(64, b"\0")
        self.chaining = self.hash
        self.key, self.count = b"", 0
        self.mix_hash(prologue)
        self.mix_hash(responder)

    def copy(self) -> "Noise":
        other = object.__new__(Noise)
        other.__dict__.update(self.__dict__)
        return other

    def mix_hash(self, data: bytes):
        self.hash = hashlib.blake2b(self.hash + data).digest()

    def mix_key(self, data: bytes):
        self.chaining, key = _hkdf(self.chaining, data, 2)
        self.key, self.count = key[:32], 0

    def mix_ephemeral(self, public: bytes):
        self.mix_hash(public)
        self.mix_key(public)

    def mix_psk(self, psk: bytes):
        self.chaining, salt, key = _hkdf(self.chaining, psk, 3)
        self.mix_hash(salt)
        self.key, self.count = key[:32], 0

    def _nonce(self) -> bytes:
        self.count += 1
        return struct.pack("<4xQ", self.count - 1)

    def encrypt(self, plain: bytes) -> bytes:
        sealed = ChaCha20Poly1305(self.key).encrypt(self._nonce(), plain, self.hash)
        self.mix_hash(sealed)
        return sealed

    def decrypt(self, sealed: bytes) -> bytes:
        try:
            plain = ChaCha20Poly1305(self.key).decrypt(self._nonce(), sealed, self.hash)
        except InvalidTag:
            raise Invalid("handshake") from None
        self.mix_hash(sealed)
        return plain

    def split(self) -> tuple[bytes, bytes]:
        first, second = _hkdf(self.chaining, b"", 2)
        return first[:32], second[:32]


class ClientHello(NamedTuple):
    clock: int
    instance: int
    largest: int = 1472
    ciphers: int = 1
    mechanisms: int = 0
    insists: int = 0

    def encode(self) -> bytes:
        return struct.pack(
            "<QQBBHBBBB8x", self.clock, self.instance, 1, 1, self.largest, self.ciphers, 0,
            self.mechanisms, self.insists,
        )  # fmt: skip


class ServerHello(NamedTuple):
    version: int
    cipher: int
    largest: int
    status: int
    continues: int
    mechanism: int
    insists: int
    index: int

    def encode(self) -> bytes:
        return struct.pack("<16xBBHBBBBI4x", *self)

    @classmethod
    def decode(cls, data: bytes) -> "ServerHello":
        return cls(*struct.unpack_from("<16xBBHBBBBI4x", data))


class Initiation:
    """An INIT, and the state that its RESP completes."""

    def __init__(self, identity: KeyPair, server: PublicKeys, index: int, hello: ClientHello,
                 route: int = 0):  # fmt: skip
        self.identity, self.server, self.index = identity, server, index
        self.answers = PublicKeys(identity.public)
        header = struct.pack("<IIBBBB", route, index, 1, 0, 0, INIT)
        noise = Noise(b"fairlead/1" + header, server.public)
        self.ephemeral = KeyPair()
        noise.mix_ephemeral(self.ephemeral.public)
        noise.mix_key(self.ephemeral.exchange(server.public))
        packet = header + self.ephemeral.public + noise.encrypt(identity.public)
        noise.mix_key(identity.exchange(server.public))
        packet += noise.encrypt(hello.encode())
        self.noise = noise
        self.mac1 = keyed(server.mac1, packet, 16)
        self._body = packet + self.mac1

    def packet(self, cookie: bytes | None = None) -> bytes:
        mac2 = keyed(cookie, self._body, 16) if cookie else os.urandom(16)
        return self.server.mask_header(self.server.mask_key(self._body + mac2))

    def read_cookie(self, packet: bytes) -> bytes:
        nonce = packet[12:36]
        return xchacha_open(self.server.cookie, nonce, packet[36:68], self.mac1)

    def read_response(self, packet: bytes, psk: bytes = NO_PSK):
        """`packet` has an unmasked header. Returns the hello and Noise's two keys."""
        packet = self.server.mask_key(packet)
        if keyed(self.answers.mac1, packet[:-16], 16) != packet[-16:]:
            raise Invalid("mac1 of the RESP")
        noise, ephemeral = self.noise.copy(), packet[12:44]
        noise.mix_ephemeral(ephemeral)
        noise.mix_key(self.ephemeral.exchange(ephemeral))
        noise.mix_key(self.identity.exchange(ephemeral))
        noise.mix_psk(psk)
        hello = ServerHello.decode(noise.decrypt(packet[44:-16]))
        if hello.index != struct.unpack_from("<I", packet, 4)[0]:
            raise Invalid("index of the RESP")
        return hello, noise.split()


class Answer:
    """The server's side: reads an INIT, makes a RESP."""

    def __init__(self, identity: KeyPair, packet: bytes):
        """`packet` has an unmasked header."""
        own = PublicKeys(identity.public)
        packet = own.mask_key(packet)
        if keyed(own.mac1, packet[:-32], 16) != packet[-32:-16]:
            raise Invalid("mac1 of the INIT")
        noise, self.ephemeral = Noise(b"fairlead/1" + packet[:12], identity.public), packet[12:44]
        noise.mix_ephemeral(self.ephemeral)
        noise.mix_key(identity.exchange(self.ephemeral))
        self.client = noise.decrypt(packet[44:92])
        noise.mix_key(identity.exchange(self.client))
        self.hello = noise.decrypt(packet[92:-32])
        self.index = struct.unpack_from("<I", packet, 4)[0]
        self.noise, self.own = noise, own

    def respond(self, hello: ServerHello, psk: bytes = NO_PSK):
        """The masked RESP, and Noise's two keys."""
        header = struct.pack("<IIBBBB", self.index, hello.index, 1, 0, 0, RESP)
        noise, ephemeral = self.noise, KeyPair()
        noise.mix_ephemeral(ephemeral.public)
        noise.mix_key(ephemeral.exchange(self.ephemeral))
        noise.mix_key(ephemeral.exchange(self.client))
        noise.mix_psk(psk)
        packet = header + ephemeral.public + noise.encrypt(hello.encode())
        packet += keyed(PublicKeys(self.client).mac1, packet, 16)
        return self.own.mask_header(self.own.mask_key(packet)), noise.split()


def xchacha_open(key: bytes, nonce: bytes, sealed: bytes, data: bytes) -> bytes:
    """XChaCha20-Poly1305. HChaCha20 is a ChaCha20 block without the words that it began with."""
    block = struct.unpack("<16I", chacha_stream(key, nonce[:16], 64))
    start = struct.unpack("<4I", b"expand 32-byte k") + struct.unpack("<4I", nonce[:16])
    words = [block[place] - start[number] & 0xFFFFFFFF
             for number, place in enumerate((0, 1, 2, 3, 12, 13, 14, 15))]  # fmt: skip
    inner = ChaCha20Poly1305(struct.pack("<8I", *words))
    try:
        return inner.decrypt(bytes(4) + nonce[16:], sealed, data)
    except InvalidTag:
        raise Invalid("COOKIE") from None


# Section 4: DATA.


class TransportKeys:
    """One end's keys of one handshake: `sending` and `receiving` are Noise's."""

    def __init__(self, masks: PublicKeys, cipher: int, keys: tuple[bytes, bytes], initiator: bool):
        directions = [b"i2r", b"r2i"]
        bound = [keyed(key, b"fairlead/1 " + CIPHER_NAMES[cipher] + b" " + direction, 32)
                 for key, direction in zip(keys, directions)]  # fmt: skip
        sending, receiving = bound if initiator else bound[::-1]
        kind = AESGCM if cipher == AES else ChaCha20Poly1305
        self.masks, self._seal, self._open = masks, kind(sending), kind(receiving)

    def seal(self, index: int, number: int, plain: bytes) -> bytes:
        header = struct.pack("<IQ", index, number | DATA << 56)
        return self.masks.mask_header(
            header + self._seal.encrypt(bytes(4) + struct.pack("<Q", number), plain, header)
        )

    def open(self, packet: bytes) -> tuple[int, bytes]:
        """`packet` has an unmasked header. The packet's number and frames."""
        number = struct.unpack_from("<Q", packet, 4)[0] & (1 << 56) - 1
        nonce = bytes(4) + struct.pack("<Q", number)
        try:
            return number, self._open.decrypt(nonce, packet[12:], packet[:12])
        except InvalidTag:
            raise Invalid("DATA") from None
