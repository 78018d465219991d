"""Test a checkpoint on whole scenes: `python tools/test_scenes.py CONFIG CHECKPOINT --scenes S.tif --truth S.json`.

Writes `map.gpkg` (trees from a score of 0.05 on, for the curve of AP), `metrics.json` and, as asked, a report and the
scores in a model card. A run that was stopped goes on with the same command. Exit codes: 0 done, 1 done with notes to
look at, 2 wrong input, 3 the machine failed, 130 and 143 stopped by a signal.
"""

import argparse
import contextlib
import os
import sys
from pathlib import Path

# Before torch starts its threads (see fallen_trees.cpu) and before GDAL starts.
os.environ.setdefault('OMP_WAIT_POLICY', 'PASSIVE')

from data_prep.__main__ import SAFE_GDAL

os.environ.update(SAFE_GDAL)

with contextlib.redirect_stdout(sys.stderr):  # MMDetection prints while it is imported
    from mmengine.config import DictAction

    from data_prep.arguments import number
    from fallen_trees.card.scene_scores import fill_scores
    from fallen_trees.derive.config import REPOSITORY
    from fallen_trees.resume.launched import ends_said
    from tree_map.command import ending
    from tree_map.mapper import Options, TreeMapper
    from tree_map.predicting.scene import Wishes
    from tree_map.scene_test import LOWEST, prepare, run_test
    from tree_map.scoring.score_command import add_labels, add_settings, text


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Parse the flags."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n\n')[0])
    add = parser.add_argument
    add('config', help='config file that the checkpoint was trained with')
    add('checkpoint', help='checkpoint file')
    add('--scenes', required=True, nargs='+', metavar='SCENE', help='rasters, or folders of them')
    add('--truth', required=True, type=Path, metavar='PATH', help='label file, or folder of files named as the scenes')
    add('--work-dir', type=Path, help='where it is written; default work_dirs/CONFIG_scenes of the repository')
    add('--report', action='store_true', help='write report.html besides')
    add('--card', type=Path, metavar='MODEL_CARD.md', help='write the scores into this model card')
    add('--tta', action='store_true', help='look at each window from eight sides')
    add('--batch-size', type=number(int, 1, 4096), help='windows at once; default 2 on the CPU, 8 on a GPU')
    add('--device', help='such as cpu or cuda:1; default: a GPU where there is one')
    add('--amp', action='store_true', help='half precision')
    add('--cfg-options', nargs='+', action=DictAction, help='override settings of the config, as key=value')
    add('--trust-checkpoint', action='store_true', help='read a checkpoint that holds more than weights')
    add_labels(parser)
    add_settings(parser.add_argument_group("how it is scored; the threshold is the checkpoint's"))
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> int:
    """Run the command; returns the exit code."""
    args = parse_args(argv)
    args.work_dir = args.work_dir or REPOSITORY / 'work_dirs' / f'{Path(args.config).stem}_scenes'
    with ending():
        say = lambda line: print(line, file=sys.stderr, flush=True)  # noqa: E731
        scenes = prepare(args)
        mapper = TreeMapper(
            args.config,
            args.checkpoint,
            device=args.device,
            amp=args.amp,
            score_thr=LOWEST,
            cfg_options=args.cfg_options,
            trust_checkpoint=args.trust_checkpoint,
            options=Options(wishes=Wishes(gsd_of_scene_m=args.gsd_of_scene), tta=args.tta, batch_size=args.batch_size),
            say=say,
        )
        scores, notes = run_test(mapper, scenes, args, say)
        print(text(scores))
        if args.card:
            fill_scores(args.card, scores.to_json(), sys.argv[1:] if argv is None else argv)
    return 1 if notes else 0


if __name__ == '__main__':
    with ends_said():
        sys.exit(main())
