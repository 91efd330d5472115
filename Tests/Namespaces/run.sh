#!/usr/bin/env bash
# The real programs, end to end, in network namespaces joined by veth pairs:
#
#     player               client                        server              backend
#   +----------+       +--------------+              +--------------+      +----------+
#   | 10.80.0.2|-------|10.80.0.1     |              |     10.80.2.1|------|10.80.2.2 |
#   |          | veth  |     10.80.1.1|------veth----|10.80.1.2     | veth |          |
#   +----------+       +--------------+              +--------------+      +----------+
#    test code          fairlead-client               fairlead-server       test code
#                       and the relays that           admin on 127.0.0.1
#                       lose, flip and rebind
#
#   IPv6 alike: fd80::2, fd80::1, fd80:1::1, fd80:1::2, fd80:2::1, fd80:2::2.
#   Each namespace also has its own loopback. Nothing routes between the three links,
#   except that the backend knows the way back to the player (origin restoration).
#
#   Tests/Namespaces/run.sh [PATTERN…]   only the tests whose name contains a pattern
#
# Prints one line a test and ends with `namespaces: P passed, F failed, S skipped`; exit 0 only
# if F is 0. FAIRLEAD_BIN names another folder of programs, KEEP=1 keeps the scratch folder.
# Tests/Attacks/run.sh has other cases run here: FIELD, with PYTHON, under the name LABEL.
set -u
here=$(cd "$(dirname "$0")" && pwd)
cd "$here/../.." || exit 1

skip_all() {
    echo "skip everything: $1"
    echo "${LABEL:-namespaces}: 0 passed, 0 failed, 1 skipped"
    exit 0
}

[ "$(id -u)" = 0 ] || skip_all "needs root"
command -v ip >/dev/null && command -v python3 >/dev/null || contrib/install-dependencies.sh
command -v ip >/dev/null || skip_all "needs iproute2"
command -v python3 >/dev/null || skip_all "needs python3"

bin=${FAIRLEAD_BIN:-$PWD/.build/release}
for program in fairlead fairlead-client fairlead-server; do
    [ -x "$bin/$program" ] && continue
    swift build -c release || exit 1
    break
done

scratch=$(mktemp -d)
prefix=fl$$
names="player client server backend"

# Ends what still runs inside our own namespaces, by pid, and removes every trace.
clean_up() {
    trap - EXIT INT TERM
    local name pid
    if [ -n "${runner:-}" ]; then
        kill "$runner" 2>/dev/null && wait "$runner"
    fi
    for name in $names; do
        for pid in $(ip netns pids "$prefix-$name" 2>/dev/null); do
            kill -KILL "$pid" 2>/dev/null
        done
        ip netns del "$prefix-$name" 2>/dev/null
    done
    [ -n "${KEEP:-}" ] && echo "kept: $scratch" || rm -rf "$scratch"
}
trap clean_up EXIT
trap 'exit 1' INT TERM

# join A ADDRESS4 ADDRESS6 B ADDRESS4 ADDRESS6
join() {
    ip link add "to-$4" netns "$prefix-$1" type veth peer name "to-$1" netns "$prefix-$4" &&
        ip -n "$prefix-$1" addr add "$2/24" dev "to-$4" &&
        ip -n "$prefix-$1" addr add "$3/64" dev "to-$4" nodad &&
        ip -n "$prefix-$4" addr add "$5/24" dev "to-$1" &&
        ip -n "$prefix-$4" addr add "$6/64" dev "to-$1" nodad &&
        ip -n "$prefix-$1" link set "to-$4" up &&
        ip -n "$prefix-$4" link set "to-$1" up
}

# A machine that gets a new address keeps it when the old one goes.
promote='echo 1 >/proc/sys/net/ipv4/conf/all/promote_secondaries'
for name in $names; do
    ip netns add "$prefix-$name" 2>"$scratch/error" ||
        skip_all "no network namespaces here: $(cat "$scratch/error")"
    ip -n "$prefix-$name" link set lo up
    ip netns exec "$prefix-$name" sh -c "$promote"
done
join player 10.80.0.2 fd80::2 client 10.80.0.1 fd80::1 &&
    join client 10.80.1.1 fd80:1::1 server 10.80.1.2 fd80:1::2 &&
    join server 10.80.2.1 fd80:2::1 backend 10.80.2.2 fd80:2::2 &&
    ip -n "$prefix-backend" route add 10.80.0.0/24 via 10.80.2.1 &&
    ip -n "$prefix-backend" route add fd80::/64 via fd80:2::1 ||
    skip_all "no veth pairs here"

"${PYTHON:-python3}" -B "${FIELD:-$here/field.py}" \
    --bin "$bin" --scratch "$scratch" --prefix "$prefix" -- "$@" &
runner=$!
wait "$runner"
status=$?
runner=
exit "$status"
