# Sourced by dist_train.sh and dist_test.sh: finds the interpreter and starts PyTorch's launcher with it.
tools=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
python=${PYTHON:-python}
if [[ -z ${PYTHON:-}${VIRTUAL_ENV:-}${CONDA_PREFIX:-} && -x $tools/../.venv/bin/python ]]; then
  python=$tools/../.venv/bin/python
fi

torchrun() { # RESTARTS PROCESSES COMMAND...
  # On one machine they meet at 127.0.0.1: its own name may lead nowhere (containers, laptops), and they would wait for it.
  local restarts=$1 processes=$2 here=--local-addr=127.0.0.1 where
  where=(--standalone "$here")
  if [[ ${NNODES:-1} != 1 ]]; then
    where=(--nnodes="$NNODES" --node-rank="${NODE_RANK:-0}" --master-addr="${MASTER_ADDR:?the address of node 0}"
      --master-port="${PORT:-29500}")
    restarts=0 # each machine would restart its own processes only, and they would not find the others
  elif [[ ${PORT:-} ]]; then
    where=("$here" --rdzv-backend=c10d --rdzv-endpoint="127.0.0.1:$PORT" --rdzv-id="$PORT")
  fi
  # The launcher would give each process a single thread.
  export OMP_NUM_THREADS=${OMP_NUM_THREADS:-$((($(nproc) + processes - 1) / processes))}
  exec "$python" "$tools/torchrun.py" "${where[@]}" --max-restarts="$restarts" --nproc-per-node="$processes" "${@:3}"
}
