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
from data_prep.errors import ExitCode
from data_prep.imagery.stretch import MODES
from data_prep.tile.dataset import build_dataset
from data_prep.tile.known_split import read_known_split
from data_prep.tile.records import MadeDataset, report
from data_prep.tile.scene_arguments import add_labels, add_resolution, add_scenes_table, scene_settings
from data_prep.tile.scene_tiles import TileRule
from data_prep.tile.settings import Settings
from data_prep.tile.tile_files import SUFFIXES, FileRule

EPILOG = """\
labels: LabelMe .json, GeoJSON, GeoPackage or Shapefile with the raster's name, beside it or in the --labels folder.
exit codes: 0 done; 1 done, but labels were dropped or a split shows no object; 2 wrong input; 3 disk, memory, package.
A run that ends in an error leaves --out as it was. One that is stopped, or finds the disk full, goes on where it was
when it is started again; until then its work lies beside --out in .NAME.partial, which may be deleted.
"""


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Register the command."""
    parser = arguments.add_command(
        subparsers,
        'tile',
        run,
        help='cut rasters with polygon labels into tiles and COCO files',
        description='Cut large rasters with polygon labels into tiles and COCO files for train, val and test.',
        epilog=EPILOG,
    )
    parser.add_argument('scenes', nargs='*', type=Path, metavar='SCENES', help='folders (searched flat) or rasters')
    add_scenes_table(parser)
    parser.add_argument('--out', type=Path, required=True, metavar='FOLDER', help='data set to make')
    parser.add_argument('--overwrite', action='store_true', help='replace an older data set, once the new one is done')
    parser.add_argument('--json', action='store_true', help='print the counts as one line of JSON')
    add_labels(parser.add_argument_group('labels'))
    _add_tiles(parser.add_argument_group('tiles'))
    _add_files(parser.add_argument_group('files'))
    _add_split(parser.add_argument_group('split'))
    _add_workers(parser.add_argument_group('workers'))


def _add_tiles(group: argparse._ArgumentGroup) -> None:
    add, rule, share = group.add_argument, TileRule(), arguments.number(float, 0, 1)
    add('--tile-size', type=arguments.number(int, 16, 16384), default=rule.tile_size, metavar='PX',
        help='side of a tile (default: %(default)s)')  # fmt: skip
    add_resolution(group)
    add('--overlap', type=arguments.number(float, 0, 0.95), default=rule.overlap, metavar='SHARE',
        help='share of a train tile that the next one sees again (default: %(default)s); '
        'val and test tiles never overlap')  # fmt: skip
    add('--min-visible', type=share, metavar='SHARE',
        help='share of an object\'s area from which on its part in a tile counts as the object '
        f'(default: {rule.min_visible} where --partial asks for one)')  # fmt: skip
    add('--partial', choices=('drop', 'crowd', 'keep'),
        help='parts below --min-visible: left out, regions to ignore (iscrowd 1), or objects like others '
        f'(default: {rule.partial}; drop where --min-visible is given)')  # fmt: skip
    add('--border', choices=('auto', 'pad', 'shift'), default=rule.border,
        help='the last tile of a row or column reaches past the edge, filled with 0, or is shifted back inside '
        '(default: auto = shift in train, pad in val and test)')  # fmt: skip
    add('--empty-share', type=share, default=Settings.empty_share, metavar='SHARE',
        help='most tiles without an object among the train tiles (default: %(default)s); '
        'val and test keep all')  # fmt: skip
    add('--max-nodata', type=share, default=rule.max_nodata, metavar='SHARE',
        help='drop tiles without an object where more than this share has no data, padding included '
        '(default: %(default)s); tiles without any data always go')  # fmt: skip
    add('--bands', type=arguments.bands, default=(), metavar='1,2,3',
        help='three bands, or one for grey (default: 1,2,3; 1 where the raster has one band); '
        'any with --pixels none, and with zstd (default: all)')  # fmt: skip
    add('--stretch', choices=MODES, default=Settings.stretch,
        help='to 8 bits, once per scene (default: auto = uint8 unchanged, else percentiles 2-98; '
        'min-max: from the least to the greatest value)')  # fmt: skip


def _add_files(group: argparse._ArgumentGroup) -> None:
    add, rule = group.add_argument, FileRule()
    add('--pixels', choices=tuple(SUFFIXES), default=rule.pixels,
        help='png and jpeg: 8 bits, three bands; zstd: GeoTIFF of any type and number of bands, as in the scene unless '
        '--stretch says otherwise; none: no images, tiles are read from the scenes (default: %(default)s)')  # fmt: skip
    add('--quality', type=arguments.number(int, 1, 100), default=rule.quality, metavar='N',
        help='of jpeg (default: %(default)s)')  # fmt: skip
    add('--segmentation', choices=('polygon', 'rle'), default=rule.segmentation,
        help='outlines as polygons (those with holes as RLE), or all as RLE (default: %(default)s)')  # fmt: skip
    add('--masks', action='store_true',
        help="write masks/SPLIT/NAME.png, 16 bits: 0 background, n the tile's n-th annotation")  # fmt: skip
    add('--previews', action='store_true', help='write previews/SPLIT/NAME.jpg, small, with boxes')


def _add_workers(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    add('--jobs', type=arguments.number(int, 1, 1024), default=1, metavar='N',
        help='processes (default: %(default)s); the files are the same for any number')  # fmt: skip
    add('--scheduler', metavar='ADDRESS',
        help='Dask scheduler whose workers do the work instead, such as tcp://host:8786; they must see the same files '
        'and have this package')  # fmt: skip


def _add_split(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    add('--split-by', choices=('scene', 'blocks'),
        help='whole scenes, or blocks inside each scene (default: scene from 3 scenes on, else blocks)')  # fmt: skip
    add('--split', type=arguments.ratios, metavar='0.8,0.1,0.1',
        help='shares of train, val and test (default: 0.8,0.1,0.1), of whole scenes and, as far as they allow, of '
        'objects; 0 leaves a split empty')  # fmt: skip
    add('--val', type=arguments.names, default=(), metavar='NAME,..',
        help='scenes for validation, by name; with --val or --test, all scenes not named train')  # fmt: skip
    add('--test', type=arguments.names, default=(), metavar='NAME,..', help='scenes for the test, by name')
    add('--kfold', type=arguments.number(int, 2, 1000), metavar='K',
        help='cross-validation by scene, besides those of --test: annotations/fold_{0..K-1} '
        'over the same tiles')  # fmt: skip
    add('--split-info', type=Path, metavar='FILE',
        help='repeat the split of an older data set from its split_info.json, scenes or blocks')  # fmt: skip
    add('--seed', type=arguments.number(int, 0, 2**63), default=Settings.seed, metavar='N',
        help='of the split and of the choice of tiles without an object (default: %(default)s)')  # fmt: skip


def run(args: argparse.Namespace) -> ExitCode:
    """Make the data set and say what it holds."""
    settings = _settings(args)
    with tqdm(desc='tiles', unit='tile', disable=None, leave=False) as bar:  # disable=None: quiet without a terminal

        def progress(total: int) -> Callable[[int], object]:
            bar.reset(total)
            return bar.update

        made = build_dataset(
            args.scenes,
            args.out,
            settings,
            labels=args.labels,
            scenes_table=args.scenes_table,
            overwrite=args.overwrite,
            jobs=args.jobs,
            scheduler=args.scheduler,
            progress=progress,
            note=lambda text: bar.write(f'note: {text}', file=sys.stderr),
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
    counts = made.counts()
    empty = [name for name in counts if name.split('/')[-1] in asked and not counts[name]['annotations']]
    lines = [f'{split} shows no object; choose another --split or --seed' for split in empty]
    if totals['dropped']:
        lines.append(f'{totals["dropped"]} of the labels could not be used; {out}/report.json says which and why')
    return lines


def _tile_rule(args: argparse.Namespace) -> TileRule:
    default, stated = TileRule(), args.min_visible is not None
    min_visible = args.min_visible if stated else default.min_visible
    partial = args.partial or ('drop' if stated else default.partial)
    return TileRule(args.tile_size, args.overlap, min_visible, args.max_nodata, args.border, partial)


def _settings(args: argparse.Namespace) -> Settings:
    return Settings(
        rule=_tile_rule(args),
        files=FileRule(args.pixels, args.quality, args.segmentation, args.masks, args.previews),
        **scene_settings(args),
        empty_share=args.empty_share,
        split_by=args.split_by,
        kfold=args.kfold,
        known_split=read_known_split(args.split_info) if args.split_info else None,
        ratios=args.split,
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
    wide = max(map(len, made.counts()))
    for split, counts in made.counts().items():
        lines.append(f'  {split:{wide}} {counts["tiles"]:6} tiles ({counts["empty_tiles"]} without an object), '
                     f'{counts["annotations"]} annotations of {counts["objects"]} objects')  # fmt: skip
    lines.append(f'  {totals["repaired"]} polygons repaired, {totals["dropped"]} dropped, {totals["skipped"]} skipped, '
                 f'{totals["objects_in_no_tile"]} objects in no tile: see report.json')  # fmt: skip
    return '\n'.join(lines)
