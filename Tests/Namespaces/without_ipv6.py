"""Runs a program for which the kernel has no IPv6: `without_ipv6.py PROGRAM ARGUMENT…`."""

import ctypes
import errno
import os
import platform
import socket
import struct
import sys

_SET_SECCOMP, _FILTER, _NO_NEW_PRIVILEGES = 22, 2, 38
_LOAD, _EQUAL, _RETURN = 0x20, 0x15, 0x06
_ALLOW, _ERRNO = 0x7FFF0000, 0x00050000
# Of socket(2), and offsets in struct seccomp_data of seccomp(2).
_SOCKET = {"x86_64": 41, "aarch64": 198}[platform.machine()]
_NUMBER, _FIRST_ARGUMENT = 0, 16


def refuse_ipv6() -> None:
    steps = [
        (_LOAD, 0, 0, _NUMBER), (_EQUAL, 0, 3, _SOCKET),
        (_LOAD, 0, 0, _FIRST_ARGUMENT), (_EQUAL, 0, 1, socket.AF_INET6),
        (_RETURN, 0, 0, _ERRNO | errno.EAFNOSUPPORT), (_RETURN, 0, 0, _ALLOW),
    ]  # fmt: skip
    code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *step) for step in steps))
    program = struct.pack("HxxxxxxP", len(steps), ctypes.addressof(code))
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0) or libc.prctl(_SET_SECCOMP, _FILTER, program):
        raise OSError(ctypes.get_errno(), "prctl")


if __name__ == "__main__":
    refuse_ipv6()
    os.execv(sys.argv[1], sys.argv[1:])
