#!/usr/bin/env bash
# Checks the models of the protocol exhaustively with SPIN, and that each planted fault is found.
#
#   contrib/models/run.sh [MODEL …]      path instance ratchet rekey replay
#
# A model passes if no assertion can fail in any interleaving; a fault (-DFAULT=n) passes if one
# does. Ends with
# `model: P passed, F failed, S skipped`, and with `model: ok` if all passed.
set -u
here=$(cd "$(dirname "$0")" && pwd)
compiler=$(command -v gcc || command -v clang)
if ! command -v spin >/dev/null || [ -z "$compiler" ]; then
    echo "spin or a C compiler is missing: apt-get install spin gcc"
    echo "model: 0 passed, 0 failed, 1 skipped"
    exit 0
fi
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
passed=0
failed=0

# verdict MODEL FAULT: prints `clean`, `found`, or `incomplete` and the states.
verdict() {
    local folder="$work/$1-$2" states
    mkdir -p "$folder"
    (
        cd "$folder" || exit 1
        spin -DFAULT="$2" -a "$here/$1.pml" &&
            "$compiler" -O2 -w -DSAFETY -DMEMLIM=1024 -DVECTORSZ=2048 -o pan pan.c &&
            timeout 50 ./pan -m200000 -n -E
    ) >"$folder/log" 2>&1
    states=$(sed -nE 's/^ *([0-9.e+]+) states, stored.*/\1/p' "$folder/log")
    if grep -q 'assertion violated' "$folder/log"; then
        echo "found"
    elif ! grep -q 'errors: 0' "$folder/log" ||
        grep -qE 'max search depth|out of memory|limit reached' "$folder/log"; then
        tail -n 20 "$folder/log" >&2
        echo "incomplete"
    else
        echo "clean, $states states"
    fi
}

[ $# -gt 0 ] || set -- path instance ratchet rekey replay
for model in "$@"; do
    # The faults of a model are named in its head.
    for fault in 0 $(sed -nE 's/^ \* FAULT ([0-9]+):.*/\1/p' "$here/$model.pml"); do
        result=$(verdict "$model" "$fault")
        case "$fault-$result" in
        0-clean*) passed=$((passed + 1)) && echo "ok   $model: no claim can fail ($result)" ;;
        0-*) failed=$((failed + 1)) && echo "FAIL $model: $result" ;;
        *-found) passed=$((passed + 1)) && echo "ok   $model: fault $fault is found" ;;
        *) failed=$((failed + 1)) && echo "FAIL $model: fault $fault is not found: $result" ;;
        esac
    done
done
echo "model: $passed passed, $failed failed, 0 skipped"
[ "$failed" -eq 0 ] && echo "model: ok"
