#!/usr/bin/env bash
# Runs every test there is and adds up what each part says it did.
#
#   contrib/run-tests.sh              all parts
#   contrib/run-tests.sh PART…        only these: build unit engine purity hardening monitoring
#                                     model simulation budgets interop namespaces attacks
#                                     return-path fuzz sanitize
#
# Says when a part begins, every half minute what it has done, and how long it took.
# Ends with `tests: P passed, F failed, S skipped` and exits 0 only if F is 0. A part that crashes,
# runs out of time, or ends without its own count is one failure. Full logs: .build/test-logs/.
set -u
cd "$(dirname "$0")/.." || exit 1
logs=.build/test-logs
mkdir -p "$logs"
# A crash in a test must end it, not stop to write a backtrace for minutes.
export SWIFT_BACKTRACE=${SWIFT_BACKTRACE:-enable=no}

passed=0
failed=0
skipped=0
begun=$SECONDS

# add P F S NAME
add() {
    passed=$((passed + $1))
    failed=$((failed + $2))
    skipped=$((skipped + $3))
    printf '%-12s %5d passed %5d failed %5d skipped %6d s\n' \
        "$4" "$1" "$2" "$3" $((SECONDS - begun))
}

# What a part is doing, every half minute, until it is killed: a long part is no hung part.
tell() {
    local part=$1 start=$SECONDS
    exec 2>/dev/null
    while sleep 30; do
        echo "$part: $((SECONDS - start)) s so far, $(cat "$logs/$part".log 2>/dev/null |
            grep -ciE ' passed|^ok') done"
    done
}

# fail NAME WHY LOG: a part that did not get as far as counting.
fail() {
    echo "--- $1: $2; the end of $3:"
    [ ! -e "$3" ] || tail -n 30 "$3"
    add 0 1 0 "$1"
}

# run SECONDS LOG COMMAND…: the command's output goes to the log.
run() {
    local seconds=$1 log=$2
    shift 2
    timeout --kill-after=10 "$seconds" "$@" >"$log" 2>&1 </dev/null
}

# A build is one test: that it succeeds, and that every import is a declared dependency.
part_build() {
    local log=$logs/build.log
    if run 1800 "$log" swift build --build-tests --explicit-target-dependency-import-check error &&
        run 1800 "$logs/release.log" swift build -c release; then
        add 1 0 0 build
        return 0
    fi
    [ -s "$logs/release.log" ] && log=$logs/release.log
    fail build "does not build" "$log"
    return 1
}

# Counts verdict lines and holds them against the total that the test library itself prints.
part_unit() {
    local log=$logs/unit.log status total verdict p f s
    run 1800 "$log" swift test --disable-xctest
    status=$?
    # The symbols before the words differ between terminals and pipes; the words do not.
    p=$(grep -cE '^[^[:alnum:]]* *Test [^ ].* passed after [0-9.]+ seconds\.?$' "$log")
    f=$(grep -cE '^[^[:alnum:]]* *Test [^ ].* failed after [0-9.]+ seconds( with .*)?\.?$' "$log")
    s=$(grep -cE '^[^[:alnum:]]* *Test [^ ].* skipped' "$log")
    p=$((p - $(grep -cE 'Test run with .* passed after' "$log")))
    f=$((f - $(grep -cE 'Test run with .* failed after' "$log")))
    verdict=$(grep -E 'Test run with [0-9]+ tests?' "$log" | tail -n 1)
    total=$(printf '%s' "$verdict" | sed -nE 's/.*Test run with ([0-9]+) tests?.*/\1/p')
    if [ -z "$total" ]; then
        fail unit "no total (exit status $status)" "$log"
        return 1
    fi
    if [ "$f" -gt 0 ]; then
        grep -E 'recorded an issue|^↳|^  ' "$log" | head -n 60
    fi
    add "$p" "$f" "$s" unit
    [ "$s" -eq 0 ] || grep -E '^[^[:alnum:]]* *Test [^ ].* skipped' "$log" | sed 's/^/    /'
    # Skipped tests may or may not be in the total, so both are right.
    if [ $((p + f)) -ne "$total" ] && [ $((p + f + s)) -ne "$total" ]; then
        fail unit "counted $p + $f + $s, but the run says $total" "$log"
    elif [ "$status" -ne 0 ] && [ "$f" -eq 0 ]; then
        fail unit "no test failed, yet the exit status is $status" "$log"
    fi
}

# counted NAME SECONDS COMMAND…: a part that ends with `NAME: P passed, F failed, S skipped`.
counted() {
    local name=$1 log=$logs/$1.log status line p f s
    if ! command -v "$3" >/dev/null; then
        fail "$name" "$3 does not exist" /dev/null
        return 1
    fi
    run "$2" "$log" "${@:3}"
    status=$?
    line=$(grep -E "^$name: [0-9]+ passed, [0-9]+ failed, [0-9]+ skipped" "$log" | tail -n 1)
    if [ -z "$line" ]; then
        fail "$name" "no count (exit status $status)" "$log"
        return 1
    fi
    read -r p f s <<<"$(printf '%s' "$line" | grep -oE '[0-9]+ (passed|failed|skipped)' |
        grep -oE '^[0-9]+' | tr '\n' ' ')"
    [ "$f" -eq 0 ] || tail -n 60 "$log"
    add "$p" "$f" "$s" "$name"
    [ "$s" -eq 0 ] || grep -E '^skip' "$log" | sed 's/^/    /'
    if [ "$status" -ne 0 ] && [ "$f" -eq 0 ]; then
        fail "$name" "nothing failed, yet the exit status is $status" "$log"
    fi
}

part_engine() { counted engine 600 contrib/check-engine.sh; }
part_purity() { counted purity 300 contrib/check-purity.sh; }
part_hardening() { counted hardening 120 contrib/check-hardening.sh; }
part_monitoring() { counted monitoring 120 contrib/check-monitoring.sh; }
part_model() { counted model 300 contrib/models/run.sh; }
part_simulation() {
    counted simulation 900 .build/release/testkit soak --seeds "${SEEDS:-2000}"
}
part_budgets() { counted budgets 300 .build/release/testkit budgets; }
part_interop() { counted interop 900 Tests/Interop/run.sh; }
part_namespaces() { counted namespaces 1800 Tests/Namespaces/run.sh; }
part_attacks() { counted attacks 300 Tests/Attacks/run.sh; }
# What is kept, and five seconds of new inputs for every target; the build is the most of it.
part_fuzz() { SECONDS_EACH=5 counted fuzz 900 contrib/fuzz.sh; }
# The fuzzer's kept inputs are run by the part before. Two builds are the most of it.
part_sanitize() {
    SEEDS=${SANITIZE_SEEDS:-20} counted sanitize 2400 contrib/sanitize.sh thread address simulation
}
part_return-path() { counted return-path 300 Tests/Namespaces/origin_routes.py; }

if [ $# -eq 0 ]; then
    set -- build unit engine purity hardening monitoring model simulation budgets interop \
        namespaces attacks return-path fuzz sanitize
fi
for part in "$@"; do
    if ! declare -F "part_$part" >/dev/null; then
        echo "no such part: $part" >&2
        exit 2
    fi
    begun=$SECONDS
    echo "$part: begun"
    tell "$part" &
    teller=$!
    "part_$part"
    status=$?
    # Its sleep ends by itself, but must not hold this script's output open until then.
    pkill -P "$teller" 2>/dev/null
    kill "$teller" 2>/dev/null
    wait "$teller" 2>/dev/null
    [ "$status" -eq 0 ] || [ "$part" != build ] || break
done

echo "tests: $passed passed, $failed failed, $skipped skipped"
[ "$failed" -eq 0 ]
