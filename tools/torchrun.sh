# Sourced by dist_train.sh and dist_test.sh: finds the interpreter and starts PyTorch's launcher with it.
tools=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
python=${PYTHON:-python}
if [[ -z ${PYTHON:-}${VIRTUAL_ENV:-}${CONDA_PREFIX:-} && -x $tools/../.venv/bin/python ]]; then
  python=$tools/../.venv/bin/python
fi

torchrun() { # PROCESSES COMMAND...
  local processes=$1 where=(--standalone)
  if [[ ${NNODES:-1} != 1 ]]; then
    where=(--nnodes="$NNODES" --node-rank="${NODE_RANK:-0}" --master-addr="${MASTER_ADDR:?the address of node 0}"
      --master-port="${PORT:-29500}")
  elif [[ ${PORT:-} ]]; then
    where=(--master-addr=127.0.0.1 --master-port="$PORT")
  fi
  # The launcher would give each process a single thread.
  export OMP_NUM_THREADS=${OMP_NUM_THREADS:-$((($(nproc) + processes - 1) / processes))}
  exec "$python" -m torch.distributed.run "${where[@]}" --nproc-per-node="$processes" "${@:2}"
}
