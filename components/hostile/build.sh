#!/usr/bin/env bash
# Rebuilds the committed binaries; ../build-c.sh says what that needs.
. "$(dirname "$0")/../build-c.sh"
build hostile
build hostile-start
build hostile-calls
build hostile-probes
build hostile-network
build hostile-names
build hostile-refused-names
