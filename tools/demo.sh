#!/usr/bin/env bash
# usage: bash tools/demo.sh [--quick]
# Sets the environment up, then: drawn scenes -> tiles -> training -> COCO metrics -> pictures -> map -> its scores and a page,
# in work_dirs/demo.
# --quick goes the whole way in a few minutes, with a model too young to find much.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
out=$root/work_dirs/demo config=$root/configs/m2f_trees_demo.py
scenes=6 size=2560 trees=90-130 options=()
case ${1:-} in
  --quick) scenes=3 size=512 trees=5-8 options=(train_cfg.max_iters=20 train_cfg.val_interval=20) ;;
  '') ;;
  *) sed -n '2s/^# //p' "$0" >&2; exit 2 ;;
esac

test=$(printf 'synth_%02d' $((scenes - 1))) val=$(printf 'synth_%02d' $((scenes - 2)))

python=$(bash "$root/tools/setup_env.sh")
say() { printf '\n[%4d s] %s\n' "$SECONDS" "$*"; }
rm -rf "$out"

say "drawing $scenes scenes"
"$python" -m data_prep synth --out "$out/scenes" --scenes "$scenes" --size "$size" --trees "$trees" \
  --difficulty easy --seed 0 --jobs 2
say 'cutting tiles'
# A 128 px tile shows most trunks in part, and what is not labelled would be learnt as ground: keep parts from 10 % on.
"$python" -m data_prep tile "$out/scenes" --out "$out/data" --tile-size 128 --overlap 0.25 --min-visible 0.1 \
  --empty-share 0.1 --val "$val" --test "$test" || (($? == 1))
say 'training'
# Two processes on two cores do 1.3 times as much as two threads of one.
PYTHON=$python bash "$root/tools/dist_train.sh" "$config" 2 --work-dir "$out" \
  --cfg-options data_root="$out/data" "${options[@]}"
say 'testing on a scene never seen'
best=$(ls "$out"/best_coco_segm_mAP_iter_*.pth)
"$python" "$root/tools/test.py" "$config" "$best" --work-dir "$out" --show-dir "$out/vis" \
  --cfg-options data_root="$out/data" "${options[@]}"
data=(--cfg-options data_root="$out/data" "${options[@]}")
say 'choosing on the validation scene how pieces of trees are joined'
"$python" -m tree_map tune "$config" "$best" "$out/scenes/$val.tif" --truth "$out/scenes/truth" "${data[@]}" || (($? == 1))
say 'mapping the scene never seen'
"$python" "$root/tools/predict.py" "$config" "$best" "$out/scenes/$test.tif" --out "$out/map.gpkg"
say 'scoring whole trees there'
"$python" "$root/tools/test_scenes.py" "$config" "$best" --scenes "$out/scenes/$test.tif" --truth "$out/scenes/truth" \
  --work-dir "$out/whole_trees" --report --card "$out/MODEL_CARD.md" "${data[@]}" || (($? == 1))
say "done: $out/map.gpkg for QGIS, $out/whole_trees/report.html to look at, $out/MODEL_CARD.md, pictures in $out/vis"
"$python" -c "import json, sys; print('segm AP50 of tiles', json.load(open(sys.argv[1]))['coco/segm_mAP_50'])" "$out/metrics.json"
