#!/usr/bin/env bash
# Builds a release twice, in folders with names of different lengths, and compares the programs byte
# for byte. What is compared is what git knows of, as it lies here, committed or not.
#
#   contrib/check-reproducible.sh                    builds, then compares
#   contrib/check-reproducible.sh --compare A B      only compares two folders of programs
#
# Builds are in .build-reproducible, and begun anew each time. Ends with `reproducible: ok`, or with
# what differs; before it, `reproducible: P passed, F failed, S skipped`.
set -u
cd "$(dirname "$0")/.." || exit 1
copies=.build-reproducible
programs=(fairlead fairlead-client fairlead-server)
passed=0
failed=0

# differences A B: the sections of two programs that are not equal, with the first words of each.
differences() {
    local section name
    local -a parts
    parts=("$(mktemp)" "$(mktemp)")
    readelf -SW "$1" | grep -oE '\] \.[A-Za-z0-9_.]+' | cut -c3- | while read -r section; do
        for name in 0 1; do
            objcopy -O binary --only-section="$section" --set-section-flags "$section=alloc" \
                "${@:name+1:1}" "${parts[name]}" 2>/dev/null || : >"${parts[name]}"
        done
        cmp -s "${parts[@]}" && continue
        echo "  $section differs"
        diff <(strings -a "${parts[0]}") <(strings -a "${parts[1]}") | grep '^[<>]' | head -4
    done
    rm -f "${parts[@]}"
}

compare() {
    local program
    for program in "${programs[@]}"; do
        if cmp "$1/$program" "$2/$program"; then
            passed=$((passed + 1))
        else
            failed=$((failed + 1))
            [ ! -e "$1/$program" ] || [ ! -e "$2/$program" ] ||
                differences "$1/$program" "$2/$program"
        fi
    done
}

# build FOLDER: a copy of the tree there, with times of its own, and a release of it.
build() {
    mkdir -p "$1"
    git ls-files -z --cached --others --exclude-standard | tar c --null -T - | tar xm -C "$1"
    "$1/contrib/release.sh" >"$1.log" 2>&1 && return
    echo "does not build in $1:"
    tail -n 20 "$1.log"
    return 1
}

if [ "${1:-}" = --compare ]; then
    compare "$2" "$3"
else
    rm -rf "$copies"
    mkdir -p "$copies"
    first=$copies/a
    second=$copies/another/folder
    if build "$first" && build "$second"; then
        compare "$first/.build-release/release" "$second/.build-release/release"
        (cd "$first/.build-release/release" && sha256sum "${programs[@]}")
    else
        failed=1
    fi
fi
echo "reproducible: $passed passed, $failed failed, 0 skipped"
[ "$failed" -eq 0 ] || exit 1
echo "reproducible: ok"
