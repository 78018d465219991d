#!/usr/bin/env bash
# usage: bash tools/dist_train.sh CONFIG GPUS [train.py's flags...]
# Trains with GPUS processes on this machine; several machines: NNODES, NODE_RANK, MASTER_ADDR, PORT as in MMDetection.
# Without a CUDA device the processes run on the CPU and talk through gloo. When one of them dies, all are started again
# and go on from the newest good checkpoint, MAX_RESTARTS times (3; on several machines 0).
set -euo pipefail
[[ $# -ge 2 ]] || { sed -n '2s/^# //p' "$0" >&2; exit 2; }
config=$1 gpus=$2
source "$(dirname "${BASH_SOURCE[0]}")/torchrun.sh"
torchrun "${MAX_RESTARTS:-3}" "$gpus" "$tools/train.py" "$config" --launcher pytorch "${@:3}"
