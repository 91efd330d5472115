#!/usr/bin/env bash
# What backends see of players, shown with the real programs on one machine (as root):
#
#     player                 edge                      game
#   203.0.113.10           203.0.113.1              fairlead-server, and on its loopback
#   203.0.113.11  -------- fairlead-client -------- a TCP and a UDP backend,
#   2001:db8:a::10         2001:db8:a::1            for IPv4 and IPv6
#   2001:db8:a::11
#
# Three network namespaces, which are removed at the end with everything in them. Prints a line for
# each player and ends with `transparent: ok` only if every backend saw the player's own address and
# port. FAIRLEAD_BIN names another folder of programs, KEEP=1 keeps the logs.
set -u
here=$(cd "$(dirname "$0")" && pwd)
cd "$here/../.." || exit 1

fail() {
    echo "transparent: FAILED ($1)"
    exit 1
}

[ "$(id -u)" = 0 ] || fail "needs root, for namespaces and routing rules"
command -v ip >/dev/null && command -v python3 >/dev/null || contrib/install-dependencies.sh
command -v ip >/dev/null || fail "iproute2 is missing"
command -v python3 >/dev/null || fail "python3 is missing"

bin=${FAIRLEAD_BIN:-$PWD/.build/release}
for program in fairlead fairlead-client fairlead-server; do
    [ -x "$bin/$program" ] && continue
    echo "building (the first time takes minutes)"
    swift build -c release >/dev/null || fail "does not build"
    break
done

scratch=$(mktemp -d)
prefix=fairlead$$
pids=""

clean_up() {
    trap - EXIT INT TERM
    local pid name
    for pid in $pids; do
        kill "$pid" 2>/dev/null && wait "$pid" 2>/dev/null
    done
    for name in player edge game; do ip netns del "$prefix-$name" 2>/dev/null; done
    [ -n "${KEEP:-}" ] && echo "logs: $scratch" || rm -rf "$scratch"
}
trap clean_up EXIT
trap 'exit 1' INT TERM

inside() {
    local name=$1
    shift
    ip netns exec "$prefix-$name" "$@"
}

# start NAMESPACE LOG COMMAND…
start() {
    ip netns exec "$prefix-$1" "${@:3}" >"$scratch/$2.log" 2>&1 &
    pids="$! $pids"
}

# wait_for WORD LOG
wait_for() {
    local tries
    for tries in $(seq 100); do
        grep -q "$1" "$scratch/$2.log" 2>/dev/null && return
        sleep 0.1
    done
    cat "$scratch/$2.log"
    fail "no \`$1\` of the $2 within 10 s"
}

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

for name in player edge game; do
    ip netns add "$prefix-$name" || fail "no network namespaces here"
    ip -n "$prefix-$name" link set lo up
done
join player 203.0.113.10 2001:db8:a::10 edge 203.0.113.1 2001:db8:a::1 &&
    join edge 10.99.0.1 fd99::1 game 10.99.0.2 fd99::2 &&
    ip -n "$prefix-player" addr add 203.0.113.11/24 dev to-edge &&
    ip -n "$prefix-player" addr add 2001:db8:a::11/64 dev to-edge nodad ||
    fail "no veth pairs here"

server_key=$("$bin/fairlead" keygen "$scratch/server.key" 2>/dev/null)
client_key=$("$bin/fairlead" keygen "$scratch/client.key" 2>/dev/null)

cat >"$scratch/server.toml" <<END
listen = "10.99.0.2:4600"
private_key = "server.key"
control = "off"

[[peer]]
name = "edge"
public_key = "$client_key"
services = ["*"]
origins = ["0.0.0.0/0", "::/0"]
END
cat >"$scratch/client.toml" <<END
server = "10.99.0.2:4600"
server_public_key = "$server_key"
private_key = "client.key"
control = "off"
END
# service NAME PROTOCOL PORT BACKEND EDGE
service() {
    cat >>"$scratch/server.toml" <<END

[[service]]
name = "$1"
protocol = "$2"
backends = ["$4:$3"]
origin = "transparent"
END
    cat >>"$scratch/client.toml" <<END

[[forward]]
listen = "$5:$3"
protocol = "$2"
service = "$1"
END
}
service minecraft tcp 25565 127.0.0.1 203.0.113.1
service minecraft6 tcp 25565 "[::1]" "[2001:db8:a::1]"
service bedrock udp 19132 127.0.0.1 203.0.113.1
service bedrock6 udp 19132 "[::1]" "[2001:db8:a::1]"

start game backends python3 -B "$here/who.py" backends
wait_for ready backends
start game server "$bin/fairlead-server" --config "$scratch/server.toml"
wait_for " ready " server
start edge client "$bin/fairlead-client" --config "$scratch/client.toml"
wait_for session-up client

inside player python3 -B "$here/who.py" players || fail "a backend saw somebody else"
echo "transparent: ok"
