# Sourced by the build.sh of each component written in C, which then calls `build` for each of its worlds.
# Needs clang and wasm-ld 19 (Debian: apt-get install clang-19 lld-19) and the dependencies of this repository (npm ci).
# CLANG names another compiler; other versions give other bytes.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[1]}")"
clang=${CLANG:-clang-19}
node=$(ls ../../node_modules/node-*/bin/node 2>/dev/null | head -1)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

build() { # <world>: from <world>.c and wit/ to <world>.wasm and <world>.wasm.sha256
  "$clang" --target=wasm32-unknown-unknown -std=c23 -Wall -Wextra -Werror -Oz -mbulk-memory -nostdlib -ffreestanding \
    -Wl,--no-entry,--strip-all,--stack-first,-z,stack-size=8192 -o "$work/core.wasm" "$1.c"
  "${node:-node}" ../wrap.mjs "$work/core.wasm" wit "$1" "$1.wasm"
}
