#!/usr/bin/env bash
# Rebuilds the committed binaries; ../build-c.sh says what that needs.
. "$(dirname "$0")/../build-c.sh"
build echo
build echo-streams
build tiny
