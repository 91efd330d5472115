#!/usr/bin/env bash
# Fuzzes whatever a stranger or a peer can send, with libFuzzer and AddressSanitizer.
#
#   contrib/fuzz.sh                   60 seconds for every target
#   SECONDS_EACH=5 contrib/fuzz.sh    another time; 0 runs nothing but what is kept
#   TARGET=acks contrib/fuzz.sh       one target (a list works too)
#   JOBS=1 contrib/fuzz.sh            how many targets at once; as many as processors otherwise
#   contrib/fuzz.sh --faults          plants each fault of Tests/Fuzz/faults in a copy of the tree
#                                     and says how long its target takes to find it
#
# First every input kept in Tests/Fuzz/crashes and Tests/Fuzz/corpus is run, then new ones. A new
# crash is written to Tests/Fuzz/crashes/<target>/: keep it there once the fault is mended. New
# inputs that reach new code go to .build-fuzz/corpus/<target>/. Ends with `fuzz: ok`, or with what
# failed; before it, `fuzz: P passed, F failed, S skipped` counts two tests a target.
set -u
cd "$(dirname "$0")/.." || exit 1
root=$PWD
scratch=$root/.build-fuzz
program=$scratch/release/fairlead-fuzz
each=${SECONDS_EACH:-60}
# The limits: 20 seconds for one input, 2 GiB, and no slow start with short inputs.
limits=(-timeout=20 -rss_limit_mb=2048 -max_len=4096 -len_control=0)
mkdir -p "$scratch"
shopt -s nullglob

# Optimised, yet with every check and every assertion. Says what is wrong if it does not build.
# The compiler heeds the last -sanitize only, so that both have to be in one.
build() {
    FAIRLEAD_FUZZ=1 swift build --scratch-path "$scratch" -c release \
        --sanitize address --sanitize fuzzer \
        -Xswiftc -sanitize=address,fuzzer -Xcc -fsanitize=fuzzer-no-link \
        -Xswiftc -enable-testing -Xswiftc -enforce-exclusivity=checked \
        -Xswiftc -assert-config -Xswiftc Debug --product fairlead-fuzz \
        >"$scratch/build.log" 2>&1 && isInstrumented && return 0
    grep -E 'error' "$scratch/build.log" | sort -u | head -20
    return 1
}

# Whether the program tells the fuzzer where it has been; without that, it tries at random.
isInstrumented() {
    local count
    count=$(run acks -runs=0 2>&1 | sed -nE 's/.*\(([0-9]+) inline 8-bit counters.*/\1/p')
    [ "${count:-0}" -gt 20000 ] && return 0
    echo "error: the code is not instrumented: ${count:-no} places" >>"$scratch/build.log"
    return 1
}

# run TARGET ARGUMENT…: the program, which fills new memory by itself (Tests/Fuzz/CFuzzer).
run() {
    ASAN_OPTIONS=max_malloc_fill_size=0:quarantine_size_mb=16:malloc_context_size=4:detect_leaks=0 \
        SWIFT_BACKTRACE=enable=no FUZZ_TARGET=$1 "$program" "${limits[@]}" "${@:2}"
}

# fuzz TARGET SECONDS LOG FOLDER…: new inputs; crashes go where `crashes` says.
fuzz() {
    run "$1" -artifact_prefix="$crashes/" -max_total_time="$2" -print_final_stats=1 "${@:4}" \
        >"$3" 2>&1
}

# What a log says of a failure.
reason() { grep -aE '^oracle:|Fatal error|ERROR:|^SUMMARY|Test unit written' "$1" | head -8; }

# judge TARGET: both tests of a target; two lines of verdict for the log.
judge() {
    local target=$1 log=$scratch/$1-kept.log status=0 input runs
    local crashes=Tests/Fuzz/crashes/$target
    local kept=(Tests/Fuzz/corpus/"$target"/* "$crashes"/*)
    mkdir -p "$scratch/corpus/$target" Tests/Fuzz/corpus/"$target"
    : >"$log"
    if [ "${#kept[@]}" -gt 0 ] && ! run "$target" "${kept[@]}" >"$log" 2>&1; then
        status=1
        # One by one: an input that crashes hides the next.
        for input in "${kept[@]}"; do
            run "$target" "$input" >"$log.one" 2>&1 ||
                echo "$input: $(reason "$log.one" | head -1)"
        done
    fi
    echo "verdict $status $target (kept inputs)"
    [ "$each" -gt 0 ] || return 0
    log=$scratch/$target.log
    status=0
    mkdir -p "$crashes"
    fuzz "$target" "$each" "$log" "$scratch/corpus/$target" Tests/Fuzz/corpus/"$target" \
        "$crashes" || status=1
    rmdir "$crashes" 2>/dev/null
    [ "$status" -eq 0 ] || reason "$log"
    runs=$(sed -nE 's/^stat::number_of_executed_units: *([0-9]+)/\1/p' "$log")
    printf '%-14s %9s executions in %s s, %s kept inputs\n' "$target" "${runs:-0}" "$each" \
        "${#kept[@]}"
    echo "verdict $status $target"
}

# Plants each fault and lets its target look for it, without what is kept as crashes.
find_faults() {
    local copy=$scratch/planted patch target name begin missed=0
    for patch in "$root"/Tests/Fuzz/faults/*.patch; do
        name=$(basename "$patch" .patch)
        target=${name%%-*}
        mkdir -p "$copy"
        rm -rf "$copy/Sources" "$copy/Tests"
        cp -a Package.swift Package.resolved Sources Tests "$copy/"
        if ! patch -s -d "$copy" -p1 <"$patch"; then
            echo "$name: the patch does not fit any more"
            missed=1
            continue
        fi
        scratch=$copy/.build-fuzz
        program=$scratch/release/fairlead-fuzz
        crashes=$scratch/found
        rm -rf "$scratch/seen"
        mkdir -p "$crashes" "$scratch/seen"
        if ! (cd "$copy" && build); then
            missed=1
            continue
        fi
        begin=$(date +%s%N)
        if fuzz "$target" "$each" "$scratch/$name.log" "$scratch/seen" \
            "$root/Tests/Fuzz/corpus/$target"; then
            echo "$name: not found by $target in $each s"
            missed=1
        else
            printf '%s: found after %d.%d s: %s\n' "$name" \
                $((($(date +%s%N) - begin) / 1000000000)) \
                $((($(date +%s%N) - begin) / 100000000 % 10)) \
                "$(reason "$scratch/$name.log" | head -1)"
        fi
    done
    [ "$missed" -eq 0 ] && echo "faults: ok"
    return "$missed"
}

case "${1:-}" in
--faults) find_faults && exit 0 || exit 1 ;;
--judge) judge "$2" && exit 0 ;;
esac

if ! build; then
    echo "fuzz: 0 passed, 1 failed, 0 skipped"
    echo "fuzz: does not build"
    exit 1
fi
report=$scratch/report.log
# shellcheck disable=SC2086 # One word per target.
printf '%s\n' ${TARGET:-$("$program" 2>/dev/null)} |
    xargs -P "${JOBS:-$(nproc)}" -I{} contrib/fuzz.sh --judge {} | tee "$report" |
    grep --line-buffered -v '^verdict 0'

passed=$(grep -c '^verdict 0' "$report")
failed=$(grep -c '^verdict 1' "$report")
echo "fuzz: $passed passed, $failed failed, 0 skipped"
if [ "$failed" -gt 0 ] || [ "$passed" -eq 0 ]; then
    sed -n "s|^verdict 1 |fuzz: failed: |p" "$report"
    exit 1
fi
echo "fuzz: ok"
