#!/usr/bin/env bash
# Proves the engine usable by others: a package of its own depends on this repository by URL and
# version, builds the product FairleadEngine, and runs the two programs of examples/engine. Before
# that the articles about them are made of the debug build's symbols, and no link in them is dead.
#
# What is committed is what is checked. Ends with `engine: P passed, F failed, S skipped`.
set -u
cd "$(dirname "$0")/.." || exit 1
passed=0
failed=0
skipped=0
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

# check NAME COMMAND…
check() {
    local name=$1
    shift
    if "$@" >"$scratch/log" 2>&1; then
        echo "ok   $name"
        passed=$((passed + 1))
    else
        echo "FAIL $name"
        tail -n 30 "$scratch/log"
        failed=$((failed + 1))
    fi
}

if [ -d .build/debug/Modules ]; then
    check "the articles, and every symbol they name" contrib/build-docs.sh "$scratch/docs"
else
    echo "skip the articles: no debug build"
    skipped=$((skipped + 1))
fi

consumer() {
    # A version and not a branch, because SwiftPM lets nobody depend on unsafe flags by version.
    git clone --quiet . "$scratch/fairlead" &&
        git -C "$scratch/fairlead" tag 0.1.0 &&
        cp -r examples/engine "$scratch/consumer" && rm -rf "$scratch/consumer/.build" &&
        FAIRLEAD_URL=file://$scratch/fairlead swift build --package-path "$scratch/consumer"
}
# program NAME WORDS: runs it; its output has to hold these words.
program() {
    "$scratch/consumer/.build/debug/$1" | tee "$scratch/told"
    grep -q "$2" "$scratch/told"
}

check "a package that depends on the engine by version" consumer
check "two engines in memory" program InMemory "1000000 bytes came back"
check "an engine in an event loop" program EventLoop "10 datagrams came back"

echo "engine: $passed passed, $failed failed, $skipped skipped"
[ "$failed" -eq 0 ]
