#!/usr/bin/env bash
# Reads the release programs as the kernel and the loader will: tables of the linker read-only
# (RELRO) and filled at the start (BIND_NOW), stack and data not executable, code not writable and
# without relocations, loadable at any address; the C objects with stack guards and marked jumps.
#
# BUILD names the folder (default .build/release). Ends with
# `hardening: P passed, F failed, S skipped`; a run path is printed, not judged.
set -u
cd "$(dirname "$0")/.." || exit 1
build=${BUILD:-.build/release}
readelf=$(command -v readelf || command -v llvm-readelf) || {
    echo "no readelf: install binutils"
    echo "hardening: 0 passed, 1 failed, 0 skipped"
    exit 1
}
passed=0
failed=0

# check NAME COMMAND…: the command decides.
check() {
    if "${@:2}"; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        echo "FAIL $1"
    fi
}

has() { grep -qE -- "$2" <<<"$1"; }
lacks() { ! has "$1" "$2"; }

# program PATH: what the headers and the dynamic section of one program say.
program() {
    local segments dynamic name
    name=$(basename "$1")
    if ! [ -f "$1" ]; then
        check "$name is not built" false
        return
    fi
    segments=$("$readelf" -lW "$1" 2>/dev/null)
    dynamic=$("$readelf" -dW "$1" 2>/dev/null)
    check "$name: GNU_RELRO" has "$segments" 'GNU_RELRO'
    check "$name: BIND_NOW" has "$dynamic" 'BIND_NOW|FLAGS_1.*NOW'
    check "$name: a stack header that is not executable" has "$segments" 'GNU_STACK .* RW +0x'
    check "$name: no segment writable and executable" lacks "$segments" ' RWE '
    check "$name: no relocations in code" lacks "$dynamic" 'TEXTREL'
    check "$name: position independent" has "$("$readelf" -hW "$1")" 'Type: +DYN'
    sed -nE "s/.*\((RUNPATH|RPATH)\).*\[(.*)\]/note $name: \1 \2/p" <<<"$dynamic"
}

# object PATH: what the compiler put into one C object.
object() {
    local name notes
    name=$(basename "$(dirname "$1")")/$(basename "$1")
    case "$("$readelf" -hW "$1")" in
    *X86-64*)
        notes=$("$readelf" -nW "$1" 2>/dev/null)
        check "$name: marked jumps and shadow stack (CET)" has "$notes" 'IBT.*SHSTK'
        ;;
    *AArch64*)
        notes=$("$readelf" -nW "$1" 2>/dev/null)
        check "$name: marked jumps and signed returns" has "$notes" 'BTI.*PAC'
        ;;
    esac
}

for name in fairlead fairlead-client fairlead-server; do program "$build/$name"; done
objects=$(find -L "$build"/CGalois.build "$build"/CLinuxShims.build "$build"/CLab.build \
    -name '*.o' 2>/dev/null)
check "C objects are there" test -n "$objects"
for path in $objects; do object "$path"; done
# One function of these has an array on its stack, so that a guard must be called for.
guards=$(for path in $objects; do "$readelf" -sW "$path"; done)
check "the C objects guard their stacks" has "$guards" '__stack_chk_fail'

echo "hardening: $passed passed, $failed failed, 0 skipped"
[ "$failed" -eq 0 ]
