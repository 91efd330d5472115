#!/usr/bin/env bash
# The engine's reference and articles as a website, by DocC, out of the debug build's symbols.
#
#   contrib/build-docs.sh [FOLDER]    default .build/documentation; look at it with any web server
#
# A link that leads nowhere is an error.
set -eu
cd "$(dirname "$0")/.."
folder=${1:-.build/documentation}
graphs=$(mktemp -d)
trap 'rm -rf "$graphs"' EXIT
swift-symbolgraph-extract -module-name Session -minimum-access-level public \
    -target "$(uname -m)-unknown-linux-gnu" -I .build/debug/Modules -I Sources/CSodium \
    -I Sources/CZlib -Xcc -fmodule-map-file=.build/debug/CGalois.build/module.modulemap \
    -output-dir "$graphs"
rm -rf "$folder"
docc convert Sources/Session/Session.docc --additional-symbol-graph-dir "$graphs" \
    --fallback-bundle-identifier org.fairlead.Session --warnings-as-errors --output-dir "$folder"
echo "docs: $folder"
