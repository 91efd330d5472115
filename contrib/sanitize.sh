#!/usr/bin/env bash
# Runs what there is under the compiler's sanitizers.
#
#   contrib/sanitize.sh               all parts
#   contrib/sanitize.sh PART…         only these:
#       thread        the unit tests of whatever has threads, under ThreadSanitizer
#       address       all unit tests under AddressSanitizer
#       simulation    SEEDS histories (default 50) under AddressSanitizer
#       corpus        the inputs kept for the fuzzer, under AddressSanitizer
#
# Exclusivity is checked in all of them. Each sanitizer first has to see faults made on purpose
# (Tests/Sanitize). Builds go to .build-tsan, .build-asan and .build-fuzz, reports of whatever
# process to `told` there. Ends with `sanitize: ok`, or with what failed; before it,
# `sanitize: P passed, F failed, S skipped`.
set -u
cd "$(dirname "$0")/.." || exit 1
root=$PWD
# A crash must end the process, not stop it to write a backtrace for minutes.
export SWIFT_BACKTRACE=enable=no
passed=0
failed=0
skipped=0
faults=()

fail() {
    failed=$((failed + 1))
    faults+=("$1")
    echo "FAIL $1"
}

# tell NAME COUNTS BEGUN: what there is more than at the beginning.
tell() {
    local p f s
    IFS=: read -r p f s <<<"$2"
    printf '%-12s %5d passed %5d failed %5d skipped %6d s\n' "$1" $((passed - p)) \
        $((failed - f)) $((skipped - s)) $((SECONDS - $3))
}

# build SANITIZER: everything, in debug, into $scratch. Each sanitizer is built once.
build() {
    scratch=$root/.build-${1:0:1}san
    export ASAN_OPTIONS=log_path=$scratch/reports/report
    export TSAN_OPTIONS=log_path=$scratch/reports/report
    export LSAN_OPTIONS=suppressions=$root/Tests/Sanitize/leaks.txt:print_suppressions=0
    [ "${built:-}" != "$1" ] || return 0
    local begun=$SECONDS
    mkdir -p "$scratch/reports" "$scratch/told"
    rm -f "$scratch"/reports/* "$scratch"/told/*
    if ! FAIRLEAD_SANITIZE=$1 swift build --build-tests --sanitize "$1" \
        --scratch-path "$scratch" >"$scratch/build.log" 2>&1 </dev/null; then
        grep -E 'error' "$scratch/build.log" | sort -u | head -20
        fail "$1: does not build"
        return 1
    fi
    built=$1
    printf '%-12s built in %d s\n' "$1" $((SECONDS - begun))
    prove "$1"
}

# prove SANITIZER: it sees what it should, and nothing else.
prove() {
    case $1 in
    address) fault heap heap-use-after-free && fault exclusivity 'Fatal access conflict' ;;
    thread) fault threads 'race' && fault lock '' && fault exclusivity 'Fatal access conflict' ;;
    esac
}

# fault NAME PATTERN: the fault is reported in these words; without words, it is none.
fault() {
    local log=$scratch/fault.log
    # Bash would say that it was aborted.
    { "$scratch/debug/fairlead-faults" "$1" >"$log" 2>&1; } 2>/dev/null
    local status=$?
    cat "$scratch"/reports/* >>"$log" 2>/dev/null
    rm -f "$scratch"/reports/*
    if [ -n "$2" ] && [ "$status" -ne 0 ] && grep -qE "$2" "$log"; then
        passed=$((passed + 1))
    elif [ -z "$2" ] && [ "$status" -eq 0 ]; then
        passed=$((passed + 1))
    else
        head -n 20 "$log"
        fail "the fault '$1' was not judged right (exit status $status)"
        return 1
    fi
}

# reports NAME: each file is a process with something to say.
reports() {
    local file told
    for file in "$scratch"/reports/*; do
        [ -e "$file" ] || continue
        told=$scratch/told/$(basename "$file")
        mv "$file" "$told"
        head -n 20 "$told"
        fail "$1: $(grep -m 1 '^SUMMARY' "$told" || echo 'no summary'), see $told"
    done
}

# units NAME MODULE…: unit tests, a process for each module, which says what it is stuck in. Their
# own program is run, because `swift test` leaves it behind when its time is over.
units() {
    local name=$1 begun=$SECONDS module before=$passed:$failed:$skipped
    export scratch
    printf '%s\n' "${@:2}" | xargs -P "${JOBS:-$(nproc)}" -I{} bash -c '
        timeout --kill-after=10 600 "$scratch/debug/fairleadPackageTests.xctest" \
            --testing-library swift-testing --filter "^{}\\." >"$scratch/{}.log" 2>&1 </dev/null
        echo "exit status $?" >>"$scratch/{}.log"'
    for module in "${@:2}"; do judge "$module"; done
    reports "$name"
    tell "$name" "$before" "$begun"
}

# judge MODULE: counts verdict lines.
judge() {
    local log=$scratch/$1.log p f s
    # The symbols before the words differ between terminals and pipes; the words do not.
    p=$(grep -cE '^[^[:alnum:]]* *Test [^ ].* passed after [0-9.]+ seconds\.?$' "$log")
    f=$(grep -cE '^[^[:alnum:]]* *Test [^ ].* failed after [0-9.]+ seconds( with .*)?\.?$' "$log")
    s=$(grep -cE '^[^[:alnum:]]* *Test [^ ].* skipped' "$log")
    p=$((p - $(grep -cE 'Test run with .* passed after' "$log")))
    f=$((f - $(grep -cE 'Test run with .* failed after' "$log")))
    passed=$((passed + p))
    skipped=$((skipped + s))
    grep -E '^[^[:alnum:]]* *Test [^ ].* skipped' "$log" | sed -E 's/^[^[:alnum:]]*/skip /'
    if [ "$f" -gt 0 ]; then
        grep -E 'recorded an issue|^↳' "$log" | head -n 40
        failed=$((failed + f - 1))
        fail "$1: $f tests"
    elif ! grep -qE 'Test run with [0-9]+ tests?' "$log" || [ "$p" -eq 0 ]; then
        tail -n 20 "$log"
        fail "$1: did not end: $(tail -n 1 "$log")"
    elif ! grep -q '^exit status 0$' "$log" && [ -z "$(ls "$scratch/reports")" ]; then
        tail -n 20 "$log"
        fail "$1: no test failed, yet $(tail -n 1 "$log")"
    fi
}

# counted NAME LINE COMMAND…: a command that ends with `LINE: P passed, F failed, S skipped`.
counted() {
    local name=$1 log=$scratch/$1.log begun=$SECONDS status p f s before=$passed:$failed:$skipped
    timeout --kill-after=10 1800 "${@:3}" >"$log" 2>&1 </dev/null
    status=$?
    read -r p f s <<<"$(sed -nE \
        "s/^$2: ([0-9]+) passed, ([0-9]+) failed, ([0-9]+) skipped.*/\1 \2 \3/p" "$log" | tail -1)"
    passed=$((passed + ${p:-0}))
    skipped=$((skipped + ${s:-0}))
    if [ "$status" -ne 0 ] || [ "${p:-0}" -eq 0 ] || [ "${f:-1}" -ne 0 ]; then
        tail -n 20 "$log"
        fail "$name: ${f:-no count of} failures, exit status $status"
    fi
    reports "$name"
    tell "$name" "$before" "$begun"
}

# Whatever has threads; the rest never sees a second one.
part_thread() {
    build thread && units thread RuntimeTests ReturnPathTests LinuxIOTests AdminTests
}

# All but the tests of the tree, which read files. The longest come first.
part_address() {
    local modules
    build address || return
    modules=$(find Tests -mindepth 1 -maxdepth 1 -name '*Tests' ! -name TidyTests -printf '%f\n' |
        sort -r)
    # shellcheck disable=SC2086 # One word per module.
    units address $modules
}

part_simulation() {
    build address &&
        counted simulation simulation "$scratch/debug/testkit" soak --seeds "${SEEDS:-50}"
}

part_corpus() {
    scratch=$root/.build-fuzz
    mkdir -p "$scratch/reports"
    SECONDS_EACH=0 counted corpus fuzz contrib/fuzz.sh
}

[ $# -gt 0 ] || set -- thread address simulation corpus
for part in "$@"; do
    if ! declare -F "part_$part" >/dev/null; then
        echo "no such part: $part" >&2
        exit 2
    fi
    "part_$part"
done

echo "sanitize: $passed passed, $failed failed, $skipped skipped"
if [ "$failed" -gt 0 ] || [ "$passed" -eq 0 ]; then
    printf 'sanitize: failed: %s\n' "${faults[@]}"
    exit 1
fi
echo "sanitize: ok"
