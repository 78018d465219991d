"""``python -m tree_map score PRED... TRUTH``: how good maps are, as a table and as ``metrics.json``."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from data_prep import arguments
from data_prep.errors import DataError, ExitCode
from data_prep.labels.label_map import read_label_map
from data_prep.labels.strict_json import write_json
from tree_map.scoring.found_maps import FoundScene, read_maps, threshold_of
from tree_map.scoring.reading import read_scenes
from tree_map.scoring.scored_scene import ScoredScene
from tree_map.scoring.scores import Score, Scores, ScoreSettings, score

EPILOG = """\
maps: .gpkg, .geojson or COCO .json that tools/predict.py wrote.
labels: LabelMe .json, GeoJSON, GeoPackage, Shapefile or COCO; a file, or a folder with files named as the scenes.
AP looks at all trees of a map, and one that was cut at a score has no full curve: tools/test_scenes.py makes a map that
has, and scores it. What each figure means stands in docs/metrics.md.
exit codes: 0 done; 1 done, with notes to look at; 2 wrong input; 3 disk, memory, package.
"""
SURE = 0.05  # a map that begins above it has no full curve


def add_command(subparsers: argparse._SubParsersAction) -> None:
    """Register the command."""
    parser = arguments.add_command(
        subparsers,
        'score',
        run,
        help='score maps against labelled trees',
        description='Score maps of fallen trees against labelled ones.',
        epilog=EPILOG,
    )
    add_inputs(parser)
    add_settings(parser.add_argument_group('how'))
    parser.add_argument('--out', type=Path, metavar='FILE', help='write all figures as JSON, such as metrics.json')
    parser.add_argument('--json', action='store_true', help='print that JSON instead of the table')


def add_inputs(parser: argparse.ArgumentParser) -> None:
    """Add what names maps and labels; ``scenes_of`` reads them."""
    parser.add_argument('maps', nargs='+', type=Path, metavar='PRED', help='map of one scene or more')
    parser.add_argument('truth', type=Path, metavar='TRUTH', help='label file, or folder of label files')
    add_rasters(add_labels(parser))


def add_labels(parser: argparse.ArgumentParser) -> argparse._ArgumentGroup:
    """Add how labels are read; returns the group."""
    group, number = parser.add_argument_group('labels'), arguments.number
    add = group.add_argument
    add('--layer', metavar='NAME', help='of a GeoPackage with several (default: visible, trees or outlines)')
    add('--label-field', default='label', metavar='NAME', help='field of vector files with the class (default: label)')
    add('--label-map', metavar='MAP', help="rename labels: 'a=b,c=d', or a .json or .csv file; an empty name drops")
    add('--classes', type=arguments.names, default=(), metavar='A,B', help='to score (default: all that are mapped)')
    add('--skip-other-labels', action='store_true', help='pass over other labels instead of refusing them')
    add('--gsd-of-scene', type=number(float, 1e-4, 1e3), metavar='METRES', help='pixel of scenes without a CRS')
    return group


def add_rasters(group: argparse._ArgumentGroup) -> None:
    """Add where the rasters of maps lie."""
    group.add_argument('--scenes', nargs='+', type=Path, default=(), metavar='PATH',
                       help='rasters, or folders of them, where they do not lie where the maps say')  # fmt: skip


def add_settings(group: argparse._ArgumentGroup) -> None:
    """Add how it is scored; ``settings_of`` reads it."""
    add, number, default = group.add_argument, arguments.number, ScoreSettings()
    add('--score-thr', type=number(float, 0, 1), help='least score of a tree, AP aside (default: that of the map)')
    add('--iou-thr', type=number(float, 0.01, 1), default=default.iou_thr, metavar='IOU',
        help='least overlap of a found tree and its label (default: %(default)s)')  # fmt: skip
    add('--tolerance', type=number(float, 0, 100), default=default.tolerance_m, metavar='METRES',
        help='how far a centreline may lie from the labelled one (default: %(default)s)')  # fmt: skip
    add('--border', type=number(float, 0, 100), default=default.border_m, metavar='METRES',
        help='how far a border may lie from the labelled one (default: %(default)s)')  # fmt: skip
    add('--replicates', type=number(int, 0, 100000), default=default.replicates, metavar='N',
        help='draws of the bootstrap; 0: no intervals (default: %(default)s)')  # fmt: skip
    add('--block-m', type=number(float, 1, 1e5), default=default.block_m, metavar='METRES',
        help='side of the blocks that are drawn with fewer than 8 scenes (default: %(default)s)')  # fmt: skip
    add('--seed', type=number(int, 0, 2**63), default=default.seed, metavar='N', help='of the draws (default: 0)')


def scenes_of(args: argparse.Namespace, maps: Sequence[FoundScene], notes: list[str]) -> list[ScoredScene]:
    """Read what ``add_inputs`` names; notes are added to the list."""
    return read_scenes(
        maps,
        args.truth,
        scenes=args.scenes,
        layer=args.layer,
        label_field=args.label_field,
        label_map=read_label_map(args.label_map) if args.label_map is not None else None,
        classes=args.classes,
        skip_other_labels=args.skip_other_labels,
        gsd_of_scene=args.gsd_of_scene,
        note=notes.append,
    )


def settings_of(args: argparse.Namespace, maps: Sequence[FoundScene]) -> ScoreSettings:
    """What ``add_settings`` says; the threshold is that of the maps where none is given."""
    return ScoreSettings(
        score_thr=threshold_of(maps) if args.score_thr is None else args.score_thr,
        iou_thr=args.iou_thr,
        tolerance_m=args.tolerance,
        border_m=args.border,
        replicates=args.replicates,
        seed=args.seed,
        block_m=args.block_m,
    )


def run(args: argparse.Namespace) -> ExitCode:
    """Score maps and say how good they are."""
    if args.out is not None and (args.out.is_dir() or not args.out.parent.is_dir()):
        raise DataError(f'--out {args.out} must be a file in a folder that is there; choose another name')
    maps, notes = read_maps(args.maps), []
    scenes = scenes_of(args, maps, notes)
    made = score(scenes, settings_of(args, maps))
    made = replace(made, notes=(*notes, *made.notes))
    content = made.to_json()
    if args.out is not None:
        write_json(args.out, content, indent=1)
    print(json.dumps(content, allow_nan=False) if args.json else text(made))
    if threshold_of(maps) > SURE:
        _say(f'these maps hold no tree below {threshold_of(maps):.3g}, so AP is that of a cut list; for the '
             'whole curve score the checkpoint with tools/test_scenes.py')  # fmt: skip
    for line in (*notes, *made.notes):
        _say(line)
    return ExitCode.LOOK if notes else ExitCode.DONE


def _say(line: str) -> None:
    print(f'note: {line}', file=sys.stderr)


def text(made: Scores) -> str:
    """The figures as a table."""
    level, width = f'{made.settings.level:.0%}', max(len(item.name) for item in made.figures)
    labelled, found = (sum(scene[key] for scene in made.scenes) for key in ('labelled', 'found'))
    basis = f'{made.units.count} {made.units.kind}{"s" * (made.units.count != 1)}'
    lines = [
        f'{len(made.scenes)} scene{"s" * (len(made.scenes) != 1)}, {labelled} labelled trees, {found} found at '
        f'{made.settings.score_thr:.3g} or above; {level} intervals over {basis}'
    ]
    return os.linesep.join([*lines, *(_row(item, width) for item in made.figures)])


def _row(item: Score, width: int) -> str:
    if not np.isfinite(item.value):
        return f'{item.name:<{width}}         -'
    ends = f'  [{item.low:.3f}, {item.high:.3f}]' if np.isfinite(item.low) else ''
    return f'{item.name:<{width}}  {item.value:8.3f}{ends}{" " * bool(item.unit)}{item.unit}'
