#!/usr/bin/env bash
# Proves the pure modules pure: their object code may refer to the Swift runtime and standard
# library, to mem*, to each other and to their one C library. A clock, randomness, a task, a print
# or anything of the C library beyond that is a failure.
#
#   contrib/check-purity.sh                       self-test, then every pure module there is
#   contrib/check-purity.sh --objects NAME FILE…  only these object files, as module NAME
#
# BUILD names the folder with the release objects (default .build/release). Ends with
# `purity: P passed, F failed, S skipped`.
set -u
cd "$(dirname "$0")/.." || exit 1
build=${BUILD:-.build/release}
modules="Primitives Balancing Compression Erasure KCP Netem Origin Recovery Sealing Session \
Simulation"

nm=$(command -v llvm-nm || command -v nm) || { echo "no nm: install binutils"; exit 1; }

# Mangled Swift names begin with $s and the module: length and name, or one letter for the standard
# library's own (`s`, `S…`), or `So` for what the importer made of C declarations.
ours=$(for module in $modules; do printf '%s%s|' "${#module}" "$module"; done)
allowed="^_?\\\$s(${ours}s|S|[a-z]{1,2}\$|B[a-z]|y)|^_?_?swift_|^_swift|^__swift"
# Descriptors of associated types begin with the name of the type, not of a module.
allowed="$allowed|^\\\$s.*([PY]|S[A-Za-z])Tl\$"
allowed="$allowed|^symbolic |^(memcpy|memmove|memset|memcmp|bcmp)\$"
# Memory and wide division, which the compiler calls by itself.
allowed="$allowed|^(malloc|free|malloc_usable_size|posix_memalign|__u?(div|mod)ti3)\$"
allowed="$allowed|^(__stack_chk_fail|_GLOBAL_OFFSET_TABLE_|\\.TOC\\.)\$"
# Of what that lets through, what reaches for time, chance, threads, or the outside.
banned='ContinuousClock|SuspendingClock|SystemRandomNumberGenerator|swift_stdlib_random'
banned="$banned|^swift_task|^swift_async|^\\\$sSc|_Concurrency|10Foundation|8Dispatch|5Glibc"
banned="$banned|^\\\$ss5print|readLine|11CommandLine|^\\\$ss13_stdoutStream"

# What each module may take from its C library.
library() {
    case $1 in
        Sealing) echo '^(sodium_|crypto_)' ;;
        Compression) echo '^(deflate|inflate|zlib|compress|uncompress|adler32|crc32)' ;;
        Erasure) echo '^CGalois_' ;;
        *) echo '^$' ;;
    esac
}

# outside NAME FILE…: prints the symbols that these objects of NAME must not refer to.
outside() {
    local name=$1 used defined
    shift
    used=$("$nm" -u "$@" | awk '$1 ~ /^[UwvV]$/ { print $2 }' | sort -u) || return 1
    # One object of a module may refer to another.
    defined=$("$nm" --defined-only "$@" | awk 'NF == 3 { print $3 }' | sort -u)
    used=$(comm -23 <(printf '%s\n' "$used") <(printf '%s\n' "$defined"))
    printf '%s\n' "$used" | grep -Ev "$allowed" | grep -Ev "$(library "$name")"
    printf '%s\n' "$used" | grep -E "$banned"
    return 0
}

# objects NAME: its object files, those of deleted sources left out.
objects() {
    local object source
    for object in "$build/$1.build/"*.o; do
        [ -e "$object" ] || continue
        source=$(basename "$object" .o)
        case $source in
            *.swift) [ -n "$(find "Sources/$1" -name "$source" -print -quit)" ] || continue ;;
        esac
        printf '%s\n' "$object"
    done
}

passed=0
failed=0
skipped=0

if [ "${1:-}" = --objects ]; then
    bad=$(outside "$2" "${@:3}")
    [ -z "$bad" ] && exit 0
    printf '%s reaches outside:\n%s\n' "$2" "$bad"
    exit 1
fi

# The check is worth what it catches: each of these must be refused, and the last one accepted.
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
plant() {
    local verdict=accepted
    printf '%s\n' "$3" >"$scratch/Planted.swift"
    if ! swiftc -swift-version 6 -O -parse-as-library -module-name Netem -emit-object \
        -o "$scratch/Planted.o" "$scratch/Planted.swift" >"$scratch/log" 2>&1; then
        echo "self-test $1: does not compile"
        cat "$scratch/log"
        failed=$((failed + 1))
        return
    fi
    [ -z "$(outside Netem "$scratch/Planted.o")" ] || verdict=refused
    if [ "$verdict" = "$2" ]; then
        passed=$((passed + 1))
    else
        echo "self-test $1: $verdict, must be $2"
        failed=$((failed + 1))
    fi
}
plant clock refused 'public func f() -> ContinuousClock.Instant { ContinuousClock().now }'
plant chance refused 'public func f(_ a: [Int]) -> Int? { a.randomElement() }'
plant task refused 'public func f() { Task { await Task.yield() } }'
plant print refused 'public func f() { print("hello") }'
plant libc refused 'import Glibc
public func f() -> Int32 { getpid() }'
plant foundation refused 'import Foundation
public func f() -> String { Date().description }'
plant nothing accepted 'public final class C { public var a: [UInt64] = []; public init() {}
public func f(_ b: [String: Int]) -> Int { a.append(UInt64(b.count)); return b["x"] ?? a.count } }'

for module in $modules; do
    if [ ! -d "Sources/$module" ]; then
        continue
    fi
    mapfile -t files < <(objects "$module")
    if [ ${#files[@]} -eq 0 ]; then
        echo "$module: no objects under $build; run swift build -c release first"
        failed=$((failed + 1))
        continue
    fi
    bad=$(outside "$module" "${files[@]}")
    if [ -z "$bad" ]; then
        passed=$((passed + 1))
    else
        printf '%s reaches outside:\n%s\n' "$module" "$(printf '%s\n' "$bad" | sort -u)"
        failed=$((failed + 1))
    fi
done

echo "purity: $passed passed, $failed failed, $skipped skipped"
[ "$failed" -eq 0 ]
