#!/usr/bin/env bash
# Builds the programs of a release into .build-release/release and prints their SHA-256: the same
# bytes in whatever folder, from the same sources, with the same toolchain at the same place and the
# same libraries.
set -eu
cd "$(dirname "$0")/.."
flags=(
    # Names of files are relative to this folder, in debug information and in messages.
    -Xswiftc -file-prefix-map -Xswiftc "$PWD=." -Xcc "-ffile-prefix-map=$PWD=."
    # Neither names of caches, which are hashes of paths, nor hashes of the compiler's options.
    -Xswiftc -Xfrontend -Xswiftc -no-clang-module-breadcrumbs
    -Xswiftc -Xfrontend -Xswiftc -disable-incremental-llvm-codegen
)
# Some instructions are put in the order of addresses in the compiler's memory, so that two runs in
# one folder could differ. Some containers do not allow to fix those.
fixed=(setarch -R)
if ! "${fixed[@]}" true 2>/dev/null; then
    echo "note: addresses stay random (setarch -R is not allowed): builds may differ" >&2
    fixed=()
fi
programs=(fairlead fairlead-client fairlead-server)
for program in "${programs[@]}"; do
    "${fixed[@]}" swift build -c release --scratch-path "$PWD/.build-release" "${flags[@]}" \
        --product "$program"
done
cd .build-release/release
sha256sum "${programs[@]}"
