#!/usr/bin/env bash
# Installs what building and testing need: with apt-get when run as root, else it says what to run.
# Does nothing, quickly, when everything is there.
set -u

build="libc-ares-dev libsodium-dev zlib1g-dev pkg-config make"
# curl and iperf3 drive the programs, tcpdump looks at them, the Go and Python packages are the
# reference implementations that Fairlead's KCP and Noise are held against.
tests="iproute2 nftables curl iperf3 tcpdump python3 python3-venv python3-yaml golang-go \
golang-github-xtaci-kcp-dev"

# The models are checked with SPIN, which makes a C program of each.
models="spin gcc libc6-dev"

case "${1:-}" in
--build-only) want=$build ;;
--models) want=$models ;;
*) want="$build $tests $models binutils" ;;
esac

missing=""
for package in $want; do
    dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'install ok installed' ||
        missing="$missing $package"
done

if [ "${1:-}" != --models ] && ! command -v swift >/dev/null; then
    echo "Swift 6.2 or later is missing: see https://www.swift.org/install/linux/" >&2
    exit 1
fi
[ -n "$missing" ] || exit 0

install="apt-get install --yes --no-install-recommends$missing"
if ! command -v apt-get >/dev/null; then
    echo "This is not Debian or Ubuntu. Install the counterparts of:$missing" >&2
    exit 1
fi
if [ "$(id -u)" -ne 0 ]; then
    echo "Missing packages. Run:" >&2
    echo "    sudo apt-get update && sudo $install" >&2
    exit 1
fi
echo "installing:$missing"
export DEBIAN_FRONTEND=noninteractive
# shellcheck disable=SC2086 # One word per package.
if ! $install >/dev/null 2>&1; then
    # A fresh machine has no lists yet, or old ones: no error until that has been mended.
    echo "updating the package lists"
    # shellcheck disable=SC2086
    apt-get update >/dev/null && $install >/dev/null
fi
