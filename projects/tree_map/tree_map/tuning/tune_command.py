"""``python -m tree_map tune CONFIG CHECKPOINT SCENES --truth LABELS``: settings for whole scenes."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from data_prep import arguments
from data_prep.errors import DataError, ExitCode
from data_prep.labels.label_map import read_label_map
from tree_map.scoring.score_command import add_labels

if TYPE_CHECKING:
    from tree_map.mapper import Seen, TreeMapper
    from tree_map.tuning.search import Best

LOWEST = 0.05  # score that the pieces begin at
EPILOG = """\
Looks at the scenes once, from a score of 0.05 on, then tries score thresholds and settings of joining for the best F1
of whole trees at IoU 0.5. Both are written into CHECKPOINT, weights untouched, and tools/predict.py goes by them.
Scenes of training and of the test split are refused. Finished windows are kept: the same command goes on, and later
runs on the same scenes look at nothing again (--work-dir holds them; delete it when all is tuned).
exit codes: 0 done; 1 done, with notes to look at; 2 wrong input; 3 disk, memory, package.
"""


def add_command(subparsers: argparse._SubParsersAction) -> None:
    """Register the command."""
    parser = arguments.add_command(
        subparsers,
        'tune',
        run,
        help='choose score threshold and joining on validation scenes',
        description='Choose score threshold and joining on validation scenes, and store both in the checkpoint.',
        epilog=EPILOG,
    )
    number, add = arguments.number, parser.add_argument
    add('config', help='config file that the checkpoint was trained with')
    add('checkpoint', type=Path, help='checkpoint file')
    add('scenes', nargs='+', metavar='SCENE', help='rasters of validation scenes, or folders of them')
    add('--truth', type=Path, required=True, metavar='PATH', help='label file, or folder of files named as the scenes')
    add('--any-scene', action='store_true', help='take scenes of training and of the test split too')
    add('--dry-run', action='store_true', help='say what is best and store nothing')
    add('--out', type=Path, metavar='FILE', help='write the tuned checkpoint there, and leave the other as it is')
    add('--work-dir', type=Path, metavar='DIR', help='for finished windows; default: .CHECKPOINT.tune beside it')
    add('--json', action='store_true', help='print the result as JSON')
    add('--tta', action='store_true', help='look at each window from eight sides')
    add('--batch-size', type=number(int, 1, 4096), help='windows at once; default 2 on the CPU, 8 on a GPU')
    add('--device', help='such as cpu or cuda:1; default: a GPU where there is one')
    add('--amp', action='store_true', help='half precision')
    add('--cfg-options', nargs='+', metavar='KEY=VALUE', help='override settings of the config')
    add('--trust-checkpoint', action='store_true', help='read a checkpoint that holds more than weights')
    add_labels(parser)


def run(args: argparse.Namespace) -> ExitCode:
    """Tune a checkpoint."""
    os.environ.setdefault('OMP_WAIT_POLICY', 'PASSIVE')  # before torch starts its threads
    with contextlib.redirect_stdout(sys.stderr):  # MMDetection prints while it is imported
        from tree_map.command import find_scenes
        from tree_map.predicting.model import annotation_files
        from tree_map.tuning.splits import require_validation

    began = time.monotonic()
    if not args.truth.exists():
        raise DataError(
            f'--truth {args.truth} does not exist; name a label file, or a folder of files named as the scenes'
        )
    if args.out is not None and not args.out.parent.is_dir():
        raise DataError(f'--out {args.out} must lie in a folder that is there')
    scenes, mapper, notes = find_scenes(args.scenes), _mapper(args), []
    if not args.any_scene:
        notes += require_validation(scenes, annotation_files(mapper.model.cfg))
    best = _tuned(args, mapper, scenes, notes)
    target = None if args.dry_run else _store(args, mapper, scenes, best)
    for line in notes:
        _say(f'note: {line}')
    made = {**asdict(best), 'scenes': list(scenes), 'stored': target and str(target), 'notes': notes}
    seconds = round(time.monotonic() - began, 1)
    print(json.dumps({**made, 'seconds': seconds}) if args.json else text(best, target, seconds))
    return ExitCode.LOOK if notes else ExitCode.DONE


def _mapper(args: argparse.Namespace) -> TreeMapper:
    from tree_map.mapper import Options, TreeMapper
    from tree_map.predicting.model import dict_of
    from tree_map.predicting.scene import Wishes

    return TreeMapper(
        args.config,
        args.checkpoint,
        device=args.device,
        amp=args.amp,
        score_thr=LOWEST,
        cfg_options=dict_of(args.cfg_options),
        trust_checkpoint=args.trust_checkpoint,
        options=Options(wishes=Wishes(gsd_of_scene_m=args.gsd_of_scene), tta=args.tta, batch_size=args.batch_size),
        say=_say,
    )


def _tuned(args: argparse.Namespace, mapper: TreeMapper, scenes: Mapping[str, Path], notes: list[str]) -> Best:
    """Look at the scenes, read their labels, and search."""
    from tree_map.predicting.journal import parts_folder
    from tree_map.tuning.search import search
    from tree_map.tuning.trials import Trials

    folder = args.work_dir or args.checkpoint.with_name(f'.{args.checkpoint.name}.tune')
    folder.mkdir(parents=True, exist_ok=True)
    with parts_folder(folder / 'scenes') as parts:
        seen = {name: mapper.look(path, parts / name) for name, path in scenes.items()}
    for name, item in seen.items():
        notes += [f'{name}, window {number} was not read: {why}' for number, why in item.unreadable.items()]
    labelled = _labelled(args, mapper, seen, folder, notes)
    if len(labelled) < len(scenes):
        raise DataError(f'every scene must have labels; {notes[-1]}')
    if not sum(len(scene.truth) for scene in labelled):
        raise DataError(f'no tree is labelled in {args.truth} on these scenes; nothing can be chosen')
    trials = Trials([seen[scene.name] for scene in labelled], labelled, mapper.model.classes)
    start = max(mapper.model.chosen_thr, LOWEST)
    return search(trials.of, start, LOWEST, _say)


def _labelled(
    args: argparse.Namespace, mapper: TreeMapper, seen: Mapping[str, Seen], folder: Path, notes: list[str]
) -> list:
    """The scenes with their labels, by way of the maps as they are made so far."""
    from tree_map.joining import join
    from tree_map.joining.below import sure_ones
    from tree_map.scoring.reading import read_scenes
    from tree_map.writing import write_map

    maps = []
    for name, item in seen.items():
        trees = join(sure_ones(item.pieces, mapper.model.chosen_thr), mapper.joining(item))
        maps.append(folder / f'{name}.gpkg')
        write_map(mapper.made_of(item, trees, score_thr=mapper.model.chosen_thr), maps[-1])
    return read_scenes(
        maps,
        args.truth,
        layer=args.layer,
        label_field=args.label_field,
        label_map=read_label_map(args.label_map) if args.label_map is not None else None,
        classes=args.classes,
        skip_other_labels=args.skip_other_labels,
        gsd_of_scene=args.gsd_of_scene,
        note=notes.append,
    )


def _store(args: argparse.Namespace, mapper: TreeMapper, scenes: Mapping[str, Path], best: Best) -> Path:
    """Write the checkpoint with what was found."""
    from tree_map.predicting.model import store_settings
    from tree_map.tuning.stored import SceneSettings

    before = mapper.model.tuned.checkpoint_sha256 if mapper.model.tuned else mapper.model.sha256
    settings = SceneSettings(best.score_thr, best.joining, tuple(scenes), round(best.f1, 4), before)
    target = args.out or args.checkpoint
    store_settings(args.checkpoint, settings, target, trust_checkpoint=args.trust_checkpoint)
    return target


def text(best: Best, target: Path | None, seconds: float) -> str:
    """What was found, in a few lines."""
    joining = ', '.join(f'{name} {value:g}' for name, value in best.joining.items()) or 'as by default'
    lines = [
        f'score threshold {best.score_thr:.3f}, joining {joining}: F1 {best.f1:.4f}; as the checkpoint was: '
        f'{best.default_f1:.4f}; {seconds:.0f} s',
        f'thresholds from {best.flat_from:.2f} to {best.flat_to:.2f} cost at most 0.01 of F1',
    ]
    for name, costs in best.joining_costs.items():
        low, high = ('end of the list' if cost is None else f'{cost:.4f}' for cost in costs)
        lines.append(f'{name}: the next value below costs {low}, above {high}')
    lines.append(f'stored in {target}' if target else 'nothing is stored')
    return '\n'.join(lines)


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
