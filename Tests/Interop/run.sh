#!/usr/bin/env bash
# Runs our end against other implementations of the same protocols, over loopback only.
#
#   Tests/Interop/run.sh [PART ...]     parts are the part-*.sh files beside this one; default: all
#
# A part is sourced with these words: pass NAME; fail NAME REASON; skip NAME REASON;
# need_apt PACKAGE...; need_pip PACKAGE... (both try to install what is missing and say whether
# it is there); build TARGET (builds an executable of the package and prints its path).
# `$python` runs the Python that need_pip installs into, `$scratch` is a folder that goes away.
# Ends with `interop: P passed, F failed, S skipped`; exit 0 only if F is 0.
set -u
cd "$(dirname "$0")/../.."
here=Tests/Interop
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
passed=0 failed=0 skipped=0
python=python3

pass() { passed=$((passed + 1)); echo "$1: pass"; }
fail() { failed=$((failed + 1)); echo "$1: fail: $2"; }
skip() { skipped=$((skipped + 1)); echo "$1: skipped: $2"; }

as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"; else sudo -n "$@"; fi
}

need_apt() {
    local package missing=()
    for package in "$@"; do
        dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' \
            || missing+=("$package")
    done
    [ ${#missing[@]} = 0 ] && return 0
    as_root apt-get install -y -q "${missing[@]}" >"$scratch/apt.log" 2>&1 && return 0
    { as_root apt-get update -q && as_root apt-get install -y -q "${missing[@]}"; } \
        >"$scratch/apt.log" 2>&1
}

# A package is there when its module can be imported: need_pip PACKAGE[=MODULE]...
need_pip() {
    local item package module missing=()
    for item in "$@"; do
        package=${item%%=*} module=${item##*=}
        "$python" -c "import $module" 2>/dev/null || missing+=("$package")
    done
    [ ${#missing[@]} = 0 ] && return 0
    # Debian's own Python takes no packages from elsewhere, so they go into a folder of our own.
    local folder=.build/interop-python
    "$python" -m venv "$folder" >"$scratch/venv.log" 2>&1 \
        || { need_apt python3-venv && "$python" -m venv "$folder"; } >"$scratch/venv.log" 2>&1 \
        || return 1
    python=$folder/bin/python
    for item in "$@"; do
        "$python" -c "import ${item##*=}" 2>/dev/null \
            || "$python" -m pip install -q "${item%%=*}" >>"$scratch/pip.log" 2>&1 || return 1
    done
}

build() {
    swift build --product "$1" >"$scratch/build.log" 2>&1 \
        || { tail -5 "$scratch/build.log" >&2; return 1; }
    echo "$(swift build --show-bin-path 2>/dev/null)/$1"
}

[ -x .build/interop-python/bin/python ] && python=.build/interop-python/bin/python
[ $# -gt 0 ] || set -- $(ls "$here"/part-*.sh | sed 's/.*part-//; s/\.sh$//')
for part in "$@"; do
    . "$here/part-$part.sh"
done
echo "interop: $passed passed, $failed failed, $skipped skipped"
[ "$failed" = 0 ]
