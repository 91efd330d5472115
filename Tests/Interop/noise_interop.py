#!/usr/bin/env python3
"""One side of a Noise IKpsk2 handshake, played by the PyPI package `noiseprotocol`.

Reads one JSON line with hexadecimal fields (role, prologue, static, remote, psk), then speaks in
lines of hexadecimal on stdin and stdout:

  initiator: writes message 1, reads message 2
  responder: reads message 1, writes message 2

and then prints the handshake hash, one transport message of its own, and the plaintext of the
transport message it reads. `probe` as the only argument exits with 0 if the package is there.
"""
import json
import sys

try:
    from noise.connection import Keypair, NoiseConnection
except ImportError:
    print("the Python package noiseprotocol is not installed", file=sys.stderr)
    sys.exit(77)

NAME = b"Noise_IKpsk2_25519_ChaChaPoly_BLAKE2b"


def put(data):
    print(bytes(data).hex(), flush=True)


def get():
    return bytes.fromhex(sys.stdin.readline().strip())


def main():
    setup = {key: value for key, value in json.loads(sys.stdin.readline()).items()}
    noise = NoiseConnection.from_name(NAME)
    noise.set_psks(bytes.fromhex(setup["psk"]))
    noise.set_prologue(bytes.fromhex(setup["prologue"]))
    noise.set_keypair_from_private_bytes(Keypair.STATIC, bytes.fromhex(setup["static"]))
    if setup["role"] == "initiator":
        noise.set_as_initiator()
        remote = bytes.fromhex(setup["remote"])
        noise.set_keypair_from_public_bytes(Keypair.REMOTE_STATIC, remote)
        noise.start_handshake()
        put(noise.write_message(b"hello from the initiator"))
        put(noise.read_message(get()))
    else:
        noise.set_as_responder()
        noise.start_handshake()
        put(noise.read_message(get()))
        put(noise.write_message(b"hello from the responder"))
    put(noise.get_handshake_hash())
    put(noise.encrypt(b"one transport message"))
    put(noise.decrypt(get()))


if __name__ == "__main__":
    if sys.argv[1:] != ["probe"]:
        main()
