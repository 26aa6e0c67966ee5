#!/bin/bash
# A comparison on several machines over ssh with GNU parallel:
#
#   examples/cluster/parallel.sh recipes/embedded.toml comparison --sshlogin 1/node1,1/node2
#   minift compare --recipe recipes/embedded.toml --out comparison --collect
#
# The machines share the folder. Without --sshlogin, it runs on this machine; --jobs sets how many trainings run at
# once. A training that was killed continues from its last checkpoint when the script runs again.
set -euo pipefail
recipe="$1" out="$2"
shift 2
minift="${MINIFT:-minift}"
"$minift" compare --recipe "$recipe" --list |
    parallel --workdir . --retries 2 "$@" \
        "$minift" compare --recipe "$recipe" --out "$out" --cell {} ${DEVICE:+--device "$DEVICE"}
