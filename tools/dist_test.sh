#!/usr/bin/env bash
# usage: bash tools/dist_test.sh CONFIG CHECKPOINT GPUS [test.py's flags...]
# Tests with GPUS processes; see dist_train.sh.
set -euo pipefail
[[ $# -ge 3 ]] || { sed -n '2s/^# //p' "$0" >&2; exit 2; }
config=$1 checkpoint=$2 gpus=$3
source "$(dirname "${BASH_SOURCE[0]}")/torchrun.sh"
torchrun 0 "$gpus" "$tools/test.py" "$config" "$checkpoint" --launcher pytorch "${@:4}"
