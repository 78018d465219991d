"""``python -m data_prep tile``: scenes to tiles and COCO files."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tqdm import tqdm

from data_prep import arguments
from data_prep.errors import DataError, ExitCode
from data_prep.tile.dataset import build_dataset
from data_prep.tile.records import MadeDataset, report
from data_prep.tile.scene_tiles import TileRule
from data_prep.tile.settings import Settings

EPILOG = """\
labels: LabelMe .json, GeoJSON, GeoPackage or Shapefile with the raster's name, beside it or in the --labels folder.
exit codes: 0 done; 1 done, but labels were dropped or a split shows no object; 2 wrong input; 3 disk, memory, package.
A run that ends in an error leaves --out as it was.
"""


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Register the command."""
    parser = subparsers.add_parser(
        'tile',
        help='cut rasters with polygon labels into tiles and COCO files',
        description='Cut large rasters with polygon labels into tiles and COCO files for train, val and test.',
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(run=run)
    parser.add_argument('scenes', nargs='+', type=Path, metavar='SCENES', help='folders (searched flat) or rasters')
    parser.add_argument('--out', type=Path, required=True, metavar='FOLDER', help='data set to make')
    parser.add_argument('--overwrite', action='store_true', help='replace an older data set, once the new one is done')
    parser.add_argument('--json', action='store_true', help='print the counts as one line of JSON')
    _add_labels(parser.add_argument_group('labels'))
    _add_tiles(parser.add_argument_group('tiles'))
    _add_split(parser.add_argument_group('split'))


def _add_labels(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    add('--labels', type=Path, metavar='PATH', help='label file (of one raster) or folder of label files')
    add('--label-field', default='label', metavar='NAME', help='field of vector files with the class (default: label)')
    add('--classes', type=arguments.names, default=(), metavar='A,B',
        help='classes in the order of their ids (default: all labels found, sorted)')  # fmt: skip
    add('--skip-other-labels', action='store_true', help='pass over labels not in --classes instead of refusing them')
    add('--unlabelled', choices=('error', 'empty'), default='error',
        help='what a raster without a label file means (default: error; empty: it shows no object)')  # fmt: skip


def _add_tiles(group: argparse._ArgumentGroup) -> None:
    add, rule, share = group.add_argument, TileRule(), arguments.number(float, 0, 1)
    add('--tile-size', type=arguments.number(int, 16, 16384), default=rule.tile_size, metavar='PX',
        help='side of a tile (default: %(default)s)')  # fmt: skip
    add('--overlap', type=arguments.number(float, 0, 0.95), default=rule.overlap, metavar='SHARE',
        help='share of a train tile that the next one sees again (default: %(default)s); '
        'val and test tiles never overlap')  # fmt: skip
    add('--min-visible', type=share, default=rule.min_visible, metavar='SHARE',
        help='keep an object in a tile from this share of its area on (default: %(default)s)')  # fmt: skip
    add('--empty-share', type=share, default=Settings.empty_share, metavar='SHARE',
        help='most tiles without an object among the train tiles (default: %(default)s); '
        'val and test keep all')  # fmt: skip
    add('--max-nodata', type=share, default=rule.max_nodata, metavar='SHARE',
        help='drop tiles without an object where more than this share has no data, padding included '
        '(default: %(default)s); tiles without any data always go')  # fmt: skip
    add('--bands', type=arguments.bands, default=(), metavar='1,2,3',
        help='three bands, or one for grey (default: 1,2,3; 1 where the raster has one band)')  # fmt: skip
    add('--stretch', choices=('auto', 'p2-p98', 'none'), default=Settings.stretch,
        help='to 8 bits, once per scene (default: auto = uint8 unchanged, else percentiles 2-98)')  # fmt: skip


def _add_split(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    add('--split-by', choices=('scene', 'blocks'),
        help='whole scenes, or blocks inside each scene (default: scene from 3 scenes on, else blocks)')  # fmt: skip
    add('--split', type=arguments.ratios, metavar='0.8,0.1,0.1',
        help='shares of train, val and test (default: 0.8,0.1,0.1); 0 leaves a split empty')  # fmt: skip
    add('--val', type=arguments.names, default=(), metavar='NAME,..',
        help='scenes for validation, by name; with --val or --test, all scenes not named train')  # fmt: skip
    add('--test', type=arguments.names, default=(), metavar='NAME,..', help='scenes for the test, by name')
    add('--seed', type=arguments.number(int, 0, 2**63), default=Settings.seed, metavar='N',
        help='of the split and of the choice of tiles without an object (default: %(default)s)')  # fmt: skip


def run(args: argparse.Namespace) -> ExitCode:
    """Make the data set and say what it holds."""
    settings = _settings(args)
    with tqdm(desc='tiles', unit='tile', disable=None, leave=False) as bar:  # disable=None: quiet without a terminal

        def progress(total: int) -> Callable[[], object]:
            bar.reset(total)
            return bar.update

        made = build_dataset(
            args.scenes, args.out, settings, labels=args.labels, overwrite=args.overwrite, progress=progress
        )
    totals = report(made)['totals']
    print(json.dumps(_counts(args.out, made, totals)) if args.json else _text(args.out, made, totals))
    warnings = _warnings(args.out, made, totals)
    for warning in warnings:
        print(f'warning: {warning}', file=sys.stderr)
    return ExitCode.LOOK if warnings else ExitCode.DONE


def _warnings(out: Path, made: MadeDataset, totals: dict[str, int]) -> list[str]:
    """What is worth a look: it ends the command with exit code 1."""
    asked = {region.split for job in made.jobs for region in job.regions}
    empty = [split for split, counts in made.counts().items() if split in asked and not counts['annotations']]
    lines = [f'{split} shows no object; choose another --split or --seed' for split in empty]
    if totals['dropped']:
        lines.append(f'{totals["dropped"]} of the labels could not be used; {out}/report.json says which and why')
    return lines


def _settings(args: argparse.Namespace) -> Settings:
    if args.split and (args.val or args.test):
        raise DataError('--split shares scenes out and --val, --test name them; pass one or the other')
    return Settings(
        rule=TileRule(args.tile_size, args.overlap, args.min_visible, args.max_nodata),
        label_field=args.label_field,
        classes=args.classes,
        skip_other_labels=args.skip_other_labels,
        unlabelled=args.unlabelled,
        empty_share=args.empty_share,
        split_by=args.split_by,
        ratios=args.split or Settings.ratios,
        val=args.val,
        test=args.test,
        bands=args.bands,
        stretch=args.stretch,
        seed=args.seed,
    )


def _guards(made: MadeDataset) -> dict[str, list[int]]:
    """Widths of the guard bands in pixels, by scene."""
    return {job.keys['scene']: [region.guard_px for region in job.regions[:-1]] for job in made.jobs}


def _counts(out: Path, made: MadeDataset, totals: dict[str, int]) -> dict[str, Any]:
    return {
        'out': str(out),
        'split_by': made.split_by,
        'guards_px': _guards(made) if made.split_by == 'blocks' else {},
        'classes': list(made.classes),
        'splits': made.counts(),
        'totals': totals,
    }


def _text(out: Path, made: MadeDataset, totals: dict[str, int]) -> str:
    scenes = len(made.loaded)
    lines = [f'{out}: {scenes} scene{"s" * (scenes != 1)}, {totals["objects"]} objects, split by {made.split_by}']
    if made.split_by == 'blocks':
        guards = '; '.join(f'{scene} {", ".join(map(str, widths))}' for scene, widths in _guards(made).items())
        lines.append(f'  guard bands (px): {guards}')
    for split, counts in made.counts().items():
        lines.append(f'  {split:5} {counts["tiles"]:6} tiles ({counts["empty_tiles"]} without an object), '
                     f'{counts["annotations"]} annotations of {counts["objects"]} objects')  # fmt: skip
    lines.append(f'  {totals["repaired"]} polygons repaired, {totals["dropped"]} dropped, {totals["skipped"]} skipped, '
                 f'{totals["objects_in_no_tile"]} objects in no tile: see report.json')  # fmt: skip
    return '\n'.join(lines)
