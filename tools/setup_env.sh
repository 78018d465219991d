#!/usr/bin/env bash
# usage: python=$(bash tools/setup_env.sh)
# Sets up all that this project needs. Progress goes to stderr, the interpreter's path is the only line on stdout. Where
# everything is there it only checks, in a few seconds. Exit code 3 when it fails.
#
# Uses the activated environment (virtualenv, or conda but for its base); without one it makes .venv in the repository.
#   REUSE_ENV=1  use whatever `python` is on PATH instead
#   TORCH=...    what to install where torch cannot be imported (default torch==2.13.0); without a GPU a CPU build saves
#                gigabytes: TORCH='torch==2.13.0 --index-url <the index with CPU builds>'
# CUDA operators are built when torch has CUDA, its nvcc is there, and so is a card or TORCH_CUDA_ARCH_LIST.
# CXX, MAX_JOBS and pip's own variables work as ever.
set -Eeuo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/fallen-trees

say() { printf '[%4d s] %s\n' "$SECONDS" "$*" >&2; }
fail() { echo "setup_env: $*" >&2; exit 3; }
pip() { "$python" -m pip --disable-pip-version-check --no-input "$@"; }

clean_up() {
  local status=$?
  [[ -z $job ]] || kill -- "-$job" 2> /dev/null || true
  rm -rf "$work"
  if ((status == 0)) || [[ ! -s $log ]]; then rm -f "$log"; fi
}

compiled() { # ' (12 of 78 files)' while operators are compiled
  local plan
  plan=$(find "$work" -name build.ninja -print -quit)
  [[ -z $plan ]] || echo " ($(find "${plan%/*}" -name '*.o' | wc -l) of $(grep -c '^build .*compile ' "$plan") files)"
}

step() { # TITLE COMMAND...: its output goes to the log; a line every 10 s says that it is alive
  local ticks=0 status=0
  say "$1"
  set -m  # a process group of its own: stopping this script stops the compilers too
  "${@:2}" >> "$log" 2>&1 < /dev/null &
  job=$!
  set +m
  while kill -0 "$job" 2> /dev/null; do
    sleep 0.2 || true
    ((++ticks % 50)) || say "  ... still at it$(compiled)"
  done
  wait "$job" || status=$?
  job=''
  ((status == 0)) || fail "'$1' failed: $(cause) (log: $log)"
}

cause() { # of a failure, out of the log
  if grep '^needs: ' "$log" | tail -n 1 | sed 's/://' | grep .; then :
  elif grep -qE 'No space left on device|Disk quota exceeded' "$log"; then
    echo "the disk is full: ${TMPDIR:-/tmp}, $cache or $root"
  elif grep -qE 'Killed signal|MemoryError|out of memory' "$log"; then
    echo "out of memory: try again with MAX_JOBS=1"
  elif grep -qE '(NewConnection|NameResolution|ConnectTimeout|ReadTimeout|Proxy|SSL)Error' "$log"; then
    echo "no network: pip does not reach its package index ('pip config list' shows which)"
  else
    grep -iE 'error|fail|ensurepip' "$log" | tail -n 1 | cut -c 1-200
  fi
}

supported() { "$1" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 13))' &> /dev/null; }

make_venv() {
  local base
  for base in python3 python3.12 python3.11 ''; do supported "$base" && break; done
  [[ $base ]] || fail "needs Python 3.11 or 3.12, python3 is '$(python3 -V 2>&1 || true)': install or activate one"
  step "new environment in .venv ($("$base" -V))" "$base" -m venv --clear "$root/.venv"
}

choose_python() { # sets $python
  if [[ ${REUSE_ENV:-0} == 1 ]]; then python=$(command -v python) || fail 'REUSE_ENV=1, and no python is on PATH'
  elif [[ ${VIRTUAL_ENV:-} ]]; then python=$VIRTUAL_ENV/bin/python
  elif [[ ${CONDA_PREFIX:-} && ${CONDA_DEFAULT_ENV:-base} != base ]]; then python=$CONDA_PREFIX/bin/python
  else
    python=$root/.venv/bin/python
    "$python" -m pip --version &> /dev/null || make_venv
  fi
  supported "$python" || fail "needs Python 3.11 or 3.12, $python is '$("$python" -V 2>&1 || true)'"
  python=$("$python" -c 'import sys; print(sys.executable)')
  pip --version &> /dev/null || fail "$python has no pip: run '$python -m ensurepip'"
  export PATH=${python%/*}:$PATH  # the build of mmcv looks for ninja there
}

look() { # sets $operators, $key, $lacking, $versions
  { read -r operators key && read -r lacking && read -r versions; } \
    < <(exec 9>&-; "$python" -P "$root/tools/env_state.py" 2>> "$log" || true) || lacking=stack  # a bad extension died
  operators=${operators:-none}
}

install_packages() { # with the stack when that is lacking
  local files=() file upstream mmcv wheels version
  for file in "$root"/requirements/*.txt; do
    [[ $file == */train.txt ]] || files+=(-r "$file")
  done
  if [[ $lacking == *stack* ]]; then
    upstream=$(pip list --format=freeze | grep -E '^(mmcv|mmcv-full|mmcv-lite|mmengine|mmdet)=' | xargs || true)
    [[ -z $upstream ]] || fail "$python has $upstream, whose import names our stack shares: use another environment"
    mmcv=$(sed -n 's/^\(onedl-mmcv==[^ ]*\).*/\1/p' "$root/requirements/train.txt")
    # With a checksum of how it is built: a wheel from before a change there is not taken again.
    wheels=$cache/wheels/$key-${mmcv/==/-}-$(cat "$root"/tools/{mmcv_wheel,joined_cxx}.sh | cksum | cut -d ' ' -f 1)
    step "$mmcv with operators for $operators" \
      bash "$root/tools/mmcv_wheel.sh" "$python" "$mmcv" "$operators" "$wheels" "$work"
    step 'removing the onedl-mmcv that is there, if any' pip uninstall --yes onedl-mmcv
    files+=(-r "$root/requirements/train.txt" "$wheels"/*.whl)
  fi
  step 'packages' pip install --no-build-isolation "${files[@]}"
  if ! "$python" -c 'import cv2' 2>> "$log"; then
    version=$("$python" -c 'from importlib.metadata import version; print(version("opencv-python"))')
    step 'opencv lacks system libraries (libGL): removing it' pip uninstall --yes opencv-python opencv-python-headless
    step 'opencv-python-headless' pip install --no-deps "opencv-python-headless==$version"
  fi
  step 'our own packages, in place' pip install --no-deps --no-build-isolation -e "$root"
  look
}

(($# == 0)) || { echo 'usage: bash tools/setup_env.sh (no arguments)' >&2; exit 2; }
job='' work=$(mktemp -d) log=$work.log
trap clean_up EXIT
trap 'fail "line $LINENO ended with $? (log: $log)"' ERR
trap 'exit 130' INT
trap 'exit 143' TERM
: > "$log"
mkdir -p "$cache" 2> /dev/null && [[ -w $cache ]] || cache=$work
exec 9> "$cache/lock"
flock -n 9 || { say 'another set-up is running, waiting for it'; flock 9; }

choose_python
say "checking $python"
look
if [[ $lacking ]]; then
  read -ra torch <<< "${TORCH:-torch==2.13.0}"
  [[ $operators != none ]] || step "${torch[0]}" pip install "${torch[@]}"
  step 'build tools' pip install -r "$root/requirements/build.txt"
  look
  [[ $operators != none ]] || fail "torch is installed and cannot be imported: $(cause) (log: $log)"
  install_packages
  if [[ $lacking == *stack* && -d $cache/wheels ]]; then
    say 'the operators do not work here, building them anew'
    rm -rf "$cache/wheels/$key"*
    install_packages
  fi
  [[ -z $lacking ]] || fail "still lacking at the end: $lacking: $(cause) (log: $log)"
fi
say "$versions"
echo "$python"
