#!/usr/bin/env bash
# usage: mmcv_wheel.sh PYTHON REQUIREMENT OPERATORS FOLDER [WORK]
# Leaves in FOLDER one wheel of REQUIREMENT (onedl-mmcv==2.3.6) with operators compiled against PYTHON's torch, for
# OPERATORS: cpu, or cu130-sm9.0 (CUDA version and cards, several with commas). Does nothing when it is there. Builds in
# WORK. Part of tools/setup_env.sh, which knows what to ask for.
set -euo pipefail
python=$1 requirement=$2 operators=$3 folder=$4 work=${5:-$(mktemp -d)}

has_operators() { # WHEEL: not all have, since without torch mmcv builds one that has none and says nothing
  "$python" - "$1" <<< '
import sys, zipfile
wheel = zipfile.ZipFile(sys.argv[1])
sys.exit(wheel.testzip() is not None or not any(name.startswith("mmcv/_ext.") for name in wheel.namelist()))'
}
needs() { echo "needs: $*" >&2; exit 3; }
build() {
  rm -rf "$work/wheel"
  TMPDIR=$work "$python" -m pip wheel --no-deps --no-build-isolation --no-cache-dir --no-binary onedl-mmcv \
    --wheel-dir "$work/wheel" "$requirement"
}

for wheel in "$folder"/*.whl; do
  [[ ! -e $wheel ]] || { has_operators "$wheel" && exit; }
  rm -f "$wheel"
done

read -ra compiler <<< "${CXX:-c++}"
type "${compiler[0]}" &> /dev/null || needs "a C++ compiler: on Debian and Ubuntu 'apt-get install g++'"
include=$("$python" -c 'import sysconfig; print(sysconfig.get_paths()["include"])')
(($(df -Pk "$work" | awk 'END {print $4}') > 300000)) || needs "300 MB free in TMPDIR (${TMPDIR:-/tmp})"
[[ -e $include/Python.h ]] || needs "$include/Python.h: on Debian and Ubuntu 'apt-get install python3-dev'"

if [[ $operators == cpu ]]; then
  export FORCE_CUDA=0 CUDA_VISIBLE_DEVICES=''  # a visible card means CUDA to mmcv, with or without nvcc
else
  archs=${operators#*-sm}
  export FORCE_CUDA=1 TORCH_CUDA_ARCH_LIST=${archs//,/;}
fi
jobs=$(nproc) memory=$(awk '/MemAvailable/ {print int($2 / 2e6)}' /proc/meminfo)  # one compiler takes up to 2 GB
export MAX_JOBS=${MAX_JOBS:-$((memory < 1 ? 1 : memory < jobs ? memory : jobs))}
ln -sf "$(dirname "$(realpath "$0")")/joined_cxx.sh" "$work/c++"  # CXX is split at spaces, which a path may hold

REAL_CXX=${compiler[*]} CXX=$work/c++ build || build  # joined 45 s on two cores, file by file 20 minutes
wheel=$(echo "$work"/wheel/*.whl)
has_operators "$wheel"
mkdir -p "$folder"
cp "$wheel" "$folder/.half-$$"
mv "$folder/.half-$$" "$folder/${wheel##*/}"  # a killed copy never stands under a wheel's name
