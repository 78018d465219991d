#!/usr/bin/env bash
# usage: bash tools/run_tests.sh [PYTEST_ARGUMENT...]
# Sets the environment up and runs the test suite from the repository root, without what takes long or breaks things.
# All of it: bash tools/run_tests.sh -m ''; in one process: -n 0
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

python=$(bash tools/setup_env.sh)

# glibc gives every large block back to the kernel and takes it anew, zeroed page by page, for every tensor: keep it.
export MALLOC_MMAP_THRESHOLD_=17179869184 MALLOC_TRIM_THRESHOLD_=17179869184 MALLOC_TOP_PAD_=268435456
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1}  # pytest-xdist's processes share the cores
cores=$(env -u OMP_NUM_THREADS nproc)  # which it would follow
exec "$python" -m pytest -n $((cores < 4 ? cores : 4)) -m 'not slow and not chaos' "$@"
