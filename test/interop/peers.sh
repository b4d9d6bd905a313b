#!/usr/bin/env bash
# Builds the programs of others that the tests in this folder drive Trellis with, each in its pinned version, from its package
# registry: wash, a wasmCloud host, wadm and capability providers. Once; what is there is left alone. It takes up to two hours on two cores,
# needs Rust (rustup.rs), protoc (Debian: protobuf-compiler) and about 12 GB while it builds, and keeps 700 MB.
#
#   test/interop/peers.sh            builds what is missing
#   test/interop/peers.sh --check    says what is there, and ends with 1 if something is missing
#   test/interop/peers.sh --clean    removes what is only needed for building
#
# They are kept in $TRELLIS_TEST_PEERS, by default ~/.cache/trellis-peers. Their versions are those of peer-programs.ts.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
peers=${TRELLIS_TEST_PEERS:-${XDG_CACHE_HOME:-$HOME/.cache}/trellis-peers}

# name version program, and what `cargo install` takes
rows() {
  echo "wash 0.43.0 wash wash --version 0.43.0"
  echo "wasmcloud 1.9.2 wasmcloud_host --path peers/wasmcloud-host"
  echo "wadm 0.21.1 wadm --path peers/wadm"
  echo "providers 1.9.2 http_server --path peers/providers"
}

mode=${1:-build}
missing=0
while read -r name version program what; do
  to=$peers/$name-$version
  if [ -x "$to/bin/$program" ]; then
    echo "$name $version  in $to"
    continue
  fi
  missing=$((missing + 1))
  case $mode in
    build)
      command -v cargo >/dev/null || { echo "cargo is missing: install Rust from https://rustup.rs" >&2; exit 1; }
      command -v protoc >/dev/null || { echo "protoc is missing (Debian: apt-get install protobuf-compiler)" >&2; exit 1; }
      mkdir -p "$peers"
      log=$peers/$name-build.log
      echo "$name $version  is being built, which takes minutes; its log is $log"
      started=$SECONDS
      # Unoptimised and without debug information: built in a fraction of the time, and fast enough for tests.
      # shellcheck disable=SC2086 # words are meant to be apart
      if ! CARGO_INCREMENTAL=0 CARGO_PROFILE_DEV_DEBUG=0 CARGO_PROFILE_DEV_BUILD_OVERRIDE_DEBUG=0 CARGO_TARGET_DIR=$peers/target \
        nice cargo install $what --locked --debug --root "$to" >"$log" 2>&1; then
        tail -n 30 "$log" >&2
        echo "$name $version  could not be built" >&2
        exit 1
      fi
      echo "$name $version  built in $(((SECONDS - started) / 60)) min: $to"
      missing=$((missing - 1))
      ;;
    *) echo "$name $version  MISSING: $to/bin/$program" ;;
  esac
done < <(rows)

case $mode in
  --clean) rm -rf "$peers/target" ;;
esac
[ "$missing" -eq 0 ]
