#!/usr/bin/env bash
# Stands in as CXX while onedl-mmcv is built: its 78 C++ files are compiled as three, in a twentieth of the time.
#
# Nearly all of a plain build is spent on parsing torch's headers once per file and on debug information. Here one
# member of each group (the leader) is compiled as a generated file that includes the whole group, and every other
# member becomes an empty object, so that the build system and the link line need not know. Whatever is no member of a
# group (links, other packages, other folders of mmcv) goes to the real compiler, ${REAL_CXX:-c++}, untouched.
set -euo pipefail

read -ra real_cxx <<< "${REAL_CXX:-c++}"  # may hold a launcher, as in 'ccache g++'
args=("$@") source_at='' object_at=''
for ((i = 0; i < $#; i++)); do
  case ${args[i]} in
    */mmcv/ops/csrc/pytorch/*.cpp) source_at=$i ;;
    -o) object_at=$((i + 1)) ;;
  esac
done
[[ $source_at && $object_at ]] || exec "${real_cxx[@]}" "$@"
source=$(realpath "${args[source_at]}") object=${args[object_at]}
folder=$(dirname "$source")

compile() { # SOURCE OBJECT [FLAG...]: the command line as it came, with another source and object
  local command=("${args[@]}")
  command[object_at]=$2
  # -x: /dev/null stands in as the source of an empty object
  command=("${command[@]:0:source_at}" -x c++ "$1" "${command[@]:source_at + 1}")
  "${real_cxx[@]}" "${command[@]}" -g0 -w "${@:3}"
}

case $source in
  # Bindings gain nothing from optimisation, and this file takes longest to optimise.
  */csrc/pytorch/pybind.cpp) compile "$source" "$object" -O1; exit ;;
  */csrc/pytorch/cpu/*.cpp) leader=$folder/nms.cpp members=("$folder"/*.cpp) ;;
  */csrc/pytorch/*/*) exec "${real_cxx[@]}" "$@" ;;
  *)
    leader=$folder/info.cpp members=()
    # contour_expand.cpp says `using namespace std`, which must not leak into the others: it comes last.
    for member in "$folder"/*.cpp; do
      case $member in */pybind.cpp | */contour_expand.cpp) ;; *) members+=("$member") ;; esac
    done
    members+=("$folder/contour_expand.cpp")
    ;;
esac
if [[ $source != "$leader" ]]; then
  compile /dev/null "$object"
  exit
fi

# The headers come first, so that no renaming macro below ever reaches into them.
joined=$object.joined.cpp
{
  printf '#include <ATen/ATen.h>\n#include <ATen/TensorUtils.h>\n#include "pytorch_cpp_helper.hpp"\n'
  for member in "${members[@]}"; do
    name=$(basename "$member" .cpp)
    if [[ $member == */cpu/*_align*.cpp ]]; then
      for clash in PreCalc add bilinear_interpolate_gradient; do printf '#define %s %s_%s\n' $clash $clash "$name"; done
    fi
    printf '#include "%s"\n' "$member"
    printf '#undef %s\n' PreCalc add bilinear_interpolate_gradient min max  # the last two are psamask.cpp's
  done
} > "$joined"
if ! compile "$joined" "$object" 2> "$object.joined.log"; then
  # No disk or memory left is no reason to try twenty times more.
  if ! grep -E ':[0-9]+:[0-9]+: (fatal )?error: ' "$object.joined.log" | grep -qv 'No space left'; then
    cat "$object.joined.log" >&2
    exit 1
  fi
  echo "joined_cxx: the group of $(basename "$leader") does not compile joined, it follows file by file:" >&2
  head -n 5 "$object.joined.log" >&2
  parts=()
  for member in "${members[@]}"; do
    parts+=("$object.$(basename "$member").o")
    compile "$member" "${parts[-1]}"
  done
  "${real_cxx[@]}" -r -nostdlib -o "$object" "${parts[@]}"
fi
