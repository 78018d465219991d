"""``python -m data_prep convert``: label files from one format to another."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from tqdm import tqdm

from data_prep import arguments
from data_prep.convert.converting import FORMATS, Converted, convert_labels
from data_prep.errors import ExitCode

SHOWN = 10  # lines about what was lost, on stderr; --json has all

EPILOG = """\
inputs: LabelMe, COCO, GeoJSON, GeoPackage, Shapefile, told by content; folders of them; folders laid out as Roboflow
(train/_annotations.coco.json), Cityscapes or IDD (gtFine/SPLIT/CITY/*_gtFine_polygons.json), or as tile writes them.
examples:
  python -m data_prep convert scene.json --to gpkg --out scene.gpkg            LabelMe, with scene.tif beside it
  python -m data_prep convert crowns.gpkg --raster scene.tif --to labelme --out scene.json
  python -m data_prep convert photos --to roboflow --split 0.8,0.1,0.1 --out data/photos       LabelMe, to train on
  python -m data_prep convert cityscapes --to coco --out cityscapes/annotations
exit codes: 0 done; 1 done, but something could not be carried over; 2 wrong input; 3 disk, memory, package.
After 2 nothing has been written.
"""


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Register the command."""
    parser = arguments.add_command(
        subparsers,
        'convert',
        run,
        help='convert label files: LabelMe, COCO, GeoJSON, GeoPackage, Roboflow; Cityscapes and IDD in',
        description='Convert label files from one format to another, as they were drawn.',
        epilog=EPILOG,
    )
    add = parser.add_argument
    add('inputs', nargs='+', type=Path, metavar='INPUT', help='label files, or folders that hold them')
    add('--to', required=True, choices=FORMATS, help='format to write')
    add('--out', type=Path, required=True, metavar='PATH',
        help='file to write (.json, .geojson, .gpkg), or a folder for one file an image or a split')  # fmt: skip
    add('--raster', type=Path, metavar='FILE', help='image of the one input (default: by name beside the labels)')
    add('--images', type=Path, metavar='FOLDER', help='folder of the images, found by name')
    add('--label-field', default='label', metavar='NAME',
        help='field of vector files with the class, read or written (default: label)')  # fmt: skip
    add('--classes', type=arguments.names, default=(), metavar='A,B',
        help='classes to keep, in the order of their COCO ids (default: all; of Cityscapes and IDD, those they '
        'evaluate)')  # fmt: skip
    add(
        '--no-clip',
        action='store_true',
        help='keep polygons of Cityscapes and IDD whole where later ones lie over them',
    )
    add('--split', type=arguments.ratios, metavar='0.8,0.1,0.1',
        help='share whole images out to train, val, test; 0 leaves one away (default: as the input says)')  # fmt: skip
    add('--seed', type=int, default=0, help='of --split (default: %(default)s)')
    add('--overwrite', action='store_true', help='replace files that exist')
    add('--json', action='store_true', help='print what was done as one line of JSON')


def run(args: argparse.Namespace) -> ExitCode:
    """Convert and say what could not be carried over."""
    with tqdm(unit='file', disable=None, leave=False) as bar:  # disable=None: quiet without a terminal

        def progress(what: str, total: int) -> Callable[[], object]:
            bar.set_description(what)
            bar.reset(total)
            return bar.update

        done = convert_labels(
            args.inputs,
            args.to,
            args.out,
            raster=args.raster,
            images=args.images,
            label_field=args.label_field,
            classes=args.classes,
            clip=not args.no_clip,
            split=args.split,
            seed=args.seed,
            overwrite=args.overwrite,
            progress=progress,
        )
    print(json.dumps(_summary(args, done)) if args.json else _text(args, done))
    _say(done)
    return ExitCode.LOOK if done.lost or done.warnings else ExitCode.DONE


def _summary(args: argparse.Namespace, done: Converted) -> dict[str, object]:
    return {**asdict(done), 'files': [str(path) for path in done.files], 'out': str(args.out), 'to': args.to}


def _text(args: argparse.Namespace, done: Converted) -> str:
    return f'{done.objects} objects on {done.images} images to {len(done.files)} files, {args.out}'


def _say(done: Converted) -> None:
    for note in done.notes:
        print(f'note: {note}', file=sys.stderr)
    for warning in done.warnings:
        print(f'warning: {warning}', file=sys.stderr)
    for lost in done.lost[:SHOWN]:
        print(f'warning: {lost.file}, feature {lost.feature} is left out: {lost.reason}', file=sys.stderr)
    if len(done.lost) > SHOWN:
        print(f'warning: {len(done.lost) - SHOWN} more are left out; --json lists all', file=sys.stderr)
