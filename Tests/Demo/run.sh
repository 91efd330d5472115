#!/usr/bin/env bash
# The main job on real traffic, on one machine, without root:
#
#     downloads, connections           100 Mbit/s, 15 ms each way,
#     and a game's UDP flow            2 % of all packets lost in bursts
#            |                                     |
#     fairlead-client  ------------------ testkit relay ------------------  fairlead-server
#                                                                                  |
#                                                            an HTTP server and a UDP echo
#
# Ends with `demo: ok` only when every hash matched, else with `demo: FAILED` and exit code 1.
# FAIRLEAD_BIN names another folder of programs.
set -u
cd "$(dirname "$0")/../.." || exit 1

command -v python3 >/dev/null || contrib/install-dependencies.sh
if ! command -v python3 >/dev/null; then
    echo "demo: FAILED (python3 is missing)"
    exit 1
fi

bin=${FAIRLEAD_BIN:-}
if [ -z "$bin" ]; then
    log=$(mktemp)
    echo "building (the first time takes minutes)"
    if ! swift build -c release >"$log" 2>&1; then
        tail -n 30 "$log"
        rm -f "$log"
        echo "demo: FAILED (does not build)"
        exit 1
    fi
    rm -f "$log"
    bin=$PWD/.build/release
fi

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
# Wherever it hangs, it ends; the programs die with it.
PYTHONPATH=Tests/Namespaces timeout --kill-after=5 85 \
    python3 -B Tests/Demo/demo.py --bin "$bin" --scratch "$scratch"
status=$?
if [ "$status" -ne 0 ]; then
    [ "$status" -ne 124 ] && [ "$status" -ne 137 ] || echo "out of time"
    echo "demo: FAILED"
    exit 1
fi
echo "demo: ok"
