#!/usr/bin/env bash
# Builds the programs of a release into .build-release/release and prints their SHA-256. With the
# same sources, toolchain and libraries they are nearly the same in whatever folder: the order of
# some instructions may differ (docs/SECURITY.md, "Programs as built").
set -eu
cd "$(dirname "$0")/.."
flags=(
    # Names of files are relative to this folder, in debug information and in messages.
    -Xswiftc -file-prefix-map -Xswiftc "$PWD=." -Xcc "-ffile-prefix-map=$PWD=."
    # Neither names of caches, which are hashes of paths, nor hashes of the compiler's options.
    -Xswiftc -Xfrontend -Xswiftc -no-clang-module-breadcrumbs
    -Xswiftc -Xfrontend -Xswiftc -disable-incremental-llvm-codegen
)
# Some instructions are put in the order of addresses in the compiler's memory. Without this, one
# module differed from run to run; with it, only within whole builds. Some containers forbid it.
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
