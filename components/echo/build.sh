#!/usr/bin/env bash
# Rebuilds the committed binaries. Needs clang and wasm-ld 19 (Debian: apt-get install clang-19 lld-19) and the
# dependencies of this repository (npm ci). CLANG names another compiler; other versions give other bytes.
set -euo pipefail
cd "$(dirname "$0")"
clang=${CLANG:-clang-19}
node=$(ls ../../node_modules/node-*/bin/node 2>/dev/null | head -1)
core=$(mktemp -d)
trap 'rm -rf "$core"' EXIT

build() { # <world>: from <world>.c and wit/<world>.wit to <world>.wasm
  "$clang" --target=wasm32-unknown-unknown -std=c23 -Wall -Wextra -Werror -Oz -mbulk-memory -nostdlib -ffreestanding \
    -Wl,--no-entry,--strip-all,--stack-first,-z,stack-size=8192 -o "$core/core.wasm" "$1.c"
  "${node:-node}" ../wrap.mjs "$core/core.wasm" "wit/$1.wit" "$1" "$1.wasm"
}

build echo
build echo-streams
