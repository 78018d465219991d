"""``python -m tree_map review``: the map as files to correct, and corrected files back as labels to train on."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from data_prep import arguments
from data_prep.__main__ import fail
from data_prep.errors import DataError, ExitCode

EPILOG = """\
examples:
  python -m tree_map review map.gpkg --out review                     LabelMe files, the scenes where they were
  python -m tree_map review map.gpkg --out review --tiles 2048        crops of large scenes, as the network saw them
  python -m tree_map review --back review --out labels                corrected: label files, and changes.csv
  python -m tree_map review --back edited.gpkg --against map.gpkg --out labels               edited in QGIS
  python -m tree_map review --back instances_default.json --against review --out labels      a COCO export of CVAT
exit codes: 0 done; 1 done, but something is listed to look at; 2 wrong input; 3 disk, memory, package.
"""
SHOWN = 20  # lines to look at


def add_command(subparsers: argparse._SubParsersAction) -> None:
    """Register the command."""
    parser = arguments.add_command(
        subparsers,
        'review',
        run,
        help='write the map for correction in LabelMe or CVAT, and take it back as labels',
        description='Write found trees for people to correct, or take corrected ones back as labels to train on.',
        epilog=EPILOG,
    )
    add, share = parser.add_argument, arguments.number(float, 0, 1)
    add('maps', nargs='*', type=Path, metavar='MAP', help='maps (.gpkg, COCO .json) to correct')
    add('--out', type=Path, required=True, metavar='FOLDER', help='folder of the files to correct, or of the labels')
    add('--json', action='store_true', help='print what was done as one line of JSON')
    there = parser.add_argument_group('to the people')
    there.add_argument('--scenes', nargs='+', type=Path, default=[], metavar='PATH',
        help='rasters of the map, or their folders (default: where they were when it was made)')  # fmt: skip
    there.add_argument('--format', choices=('labelme', 'coco'), default='labelme',
        help='a file a picture, or one for all (default: %(default)s)')  # fmt: skip
    there.add_argument('--score-thr', type=share, default=0.0, metavar='T', help='leave out trees with a lower score')
    there.add_argument('--tiles', type=arguments.number(int, 256, 16384), metavar='PX',
        help='pictures of this side in place of the scenes, which may be too large, or not have 8 bits')  # fmt: skip
    there.add_argument('--order', choices=('map', 'uncertain'), default='map',
        help='of the trees in review.csv and in each file (default: %(default)s)')  # fmt: skip
    back = parser.add_argument_group('and back')
    back.add_argument('--back', type=Path, metavar='PATH', help='corrected: the folder, a COCO .json, or a .gpkg')
    back.add_argument('--against', type=Path, metavar='PATH',
        help='compared with: the folder of the review, or the map (default: the folder in --back)')  # fmt: skip
    back.add_argument('--classes', type=arguments.names, default=(), metavar='A,B',
        help='labels to allow besides the classes of the map')  # fmt: skip
    back.add_argument('--tolerance', type=arguments.number(float, 0, 10), default=0.01, metavar='PX',
        help='an outline that moved less was rounded, not edited (default: %(default)s)')  # fmt: skip


def run(args: argparse.Namespace) -> ExitCode:
    """Go there or back."""
    if bool(args.maps) == bool(args.back):
        raise DataError('review takes maps to correct, or --back with what was corrected; see --help')
    return _give_back(args) if args.back else _fill(args)


def _fill(args: argparse.Namespace) -> ExitCode:
    from tree_map.reviewing.filling import Filling, fill
    from tree_map.reviewing.map_reading import numbered, read_maps
    from tree_map.reviewing.rasters import find_rasters

    maps = [numbered(scene_map, path) for path in args.maps for scene_map in read_maps(path)]
    how = Filling(args.format, args.score_thr, args.tiles, args.order == 'uncertain')
    review, notes = fill(maps, find_rasters(maps, args.scenes, args.maps[0].parent), args.out, how)
    trees = sum(len(scene.trees) for scene in review.scenes)
    if args.json:
        print(json.dumps({'out': str(args.out), 'scenes': [scene.name for scene in review.scenes], 'trees': trees,
                          'files': len(review.sheets), 'notes': notes}))  # fmt: skip
    else:
        pictures = f'{len(review.sheets)} picture{"s" * (len(review.sheets) != 1)}'
        print(f'{args.out}: {trees} trees on {pictures}; what is doubtful stands in {args.out / "review.csv"}')
    _look(notes)
    return ExitCode.DONE


def _give_back(args: argparse.Namespace) -> ExitCode:
    from tree_map.reviewing.folder import Review, found_scene, read_review
    from tree_map.reviewing.map_reading import numbered, read_maps
    from tree_map.reviewing.returning import Wrong, give_back

    against = args.against or args.back
    if not against.exists():
        raise DataError(f'{against} does not exist; name a folder of the review command, or a map')
    if args.against is None and not args.back.is_dir():
        raise DataError(f'--back {args.back} is a file: pass --against with the map or the folder of the review that '
                        f'it was made from, so that changes can be told')  # fmt: skip
    if against.is_dir():
        review, base = read_review(against), against
    else:
        review, base = (
            Review('map', [found_scene(numbered(item, against)) for item in read_maps(against)], []),
            against.parent,
        )
    try:
        done = give_back(args.back, review, base, args.out, classes=args.classes, tolerance_px=args.tolerance)
    except Wrong as wrong:
        for line in wrong.lines:
            fail(ExitCode.BAD_INPUT, line)
        return ExitCode.BAD_INPUT
    to_look = [*(f'left out: {line}' for line in done.left_out), *done.notes()]
    counts = done.counts()
    if args.json:
        print(json.dumps({'out': str(args.out), 'files': [str(path) for path in done.files], **counts,
                          'look': to_look}))  # fmt: skip
    else:
        said = ', '.join(f'{number} {kind}' for kind, number in counts.items())
        print(f'{args.out}: {said}; all of them stand in {args.out / "changes.csv"}')
    _look(to_look)
    return ExitCode.LOOK if to_look else ExitCode.DONE


def _look(lines: list[str]) -> None:
    for line in lines[:SHOWN]:
        print(f'note: {line}', file=sys.stderr)
    if len(lines) > SHOWN:
        print(f'note: {len(lines) - SHOWN} more; --json lists all', file=sys.stderr)
