#!/usr/bin/env bash
# Attackers with keys against the release programs, and honest players beside them.
#
#   Tests/Attacks/run.sh [PATTERN…]      only the cases whose name contains a pattern
#
# The attackers speak an implementation of their own, protocol.py and frames.py, written from
# docs/PROTOCOL.md. They run in the namespaces of Tests/Namespaces/run.sh, whose variables count
# here too. Ends with `attacks: P passed, F failed, S skipped`; exit 0 only if F is 0.
set -u
here=$(cd "$(dirname "$0")" && pwd)
cd "$here/../.." || exit 1

needed="from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305"
folder=.build/interop-python
python=python3
if ! "$python" -c "$needed" 2>/dev/null; then
    python=$folder/bin/python
    "$python" -c "$needed" 2>/dev/null ||
        { python3 -m venv "$folder" && "$python" -m pip install -q cryptography; } >/dev/null 2>&1
fi
if ! "$python" -c "$needed" 2>/dev/null; then
    echo "skip everything: the Python package cryptography is not to be had"
    echo "attacks: 0 passed, 0 failed, 1 skipped"
    exit 0
fi
# A clock that can be set forward, for the cases that need two minutes.
mkdir -p .build
later=.build/later.so
cc -shared -fPIC -O2 -o "$later" "$here/later.c" 2>/dev/null || rm -f "$later"
export LATER_LIBRARY=$PWD/$later
LABEL=attacks FIELD=$here/attacks.py PYTHON=$python exec Tests/Namespaces/run.sh "$@"
