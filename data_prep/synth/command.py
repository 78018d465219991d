"""``python -m data_prep synth``: scenes of windthrow with exact ground truth."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from tqdm import tqdm

from data_prep import arguments
from data_prep.errors import DataError, ExitCode
from data_prep.synth.settings import DIFFICULTIES, Options
from data_prep.synth.writing import TRUTH, write_scene

EPILOG = """\
writes, for each scene: synth_NN.tif (GeoTIFF, EPSG:32633), synth_NN.json (LabelMe, what a person would draw) and
truth/synth_NN.gpkg (layers outlines, visible, centrelines, with length, diameters, volume and azimuth of every tree).
A tree is labelled if at least 30 % of it, and 60 pixels, can be seen; the GeoPackage holds all.
Scenes as large as those of a survey: --size 4444-9915x3259-5394. The same seed gives the same bytes, and the first
scenes are the same however many are asked for.
"""
SIDE = (128, 60_000)


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Register the command."""
    parser = subparsers.add_parser(
        'synth',
        help='draw scenes of windthrow with exact ground truth',
        description='Draw scenes of windthrow seen from a drone, with labels and exact ground truth.',
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(run=run)
    add, default = parser.add_argument, Options()
    add('--out', type=Path, required=True, metavar='FOLDER', help='folder for the scenes; made if it is absent')
    add('--scenes', type=arguments.number(int, 1, 9999), default=default.scenes, metavar='N',
        help='how many (default: %(default)s)')  # fmt: skip
    add(
        '--seed', type=arguments.number(int, 0, 2**63), default=default.seed, metavar='N', help='(default: %(default)s)'
    )
    add('--size', type=size, default=(default.width_px, default.height_px), metavar='PX',
        help='1024, 1536x1024, or ranges as 1024-1536x1024 (default: 1024-1536x1024-1536)')  # fmt: skip
    add('--gsd', type=metres, default=default.gsd_m, metavar='M',
        help='metres per pixel, 0.02 to 0.1, or a range as 0.03-0.08 (default: 0.05)')  # fmt: skip
    add('--trees', type=trees, metavar='MIN-MAX',
        help='fallen trees in a scene (default: 11-140, and at most 14-40 a megapixel of 5 cm)')  # fmt: skip
    add('--difficulty', choices=tuple(DIFFICULTIES), default=default.difficulty, help='(default: %(default)s)')
    add('--overwrite', action='store_true', help='replace scenes of the same names')
    add('--json', action='store_true', help='print the counts as one line of JSON')


def span(text: str, kind: type[int] | type[float], low: float, high: float) -> tuple:
    """Two numbers with a hyphen between, or one for both."""
    first, _, last = text.partition('-')
    parse = arguments.number(kind, low, high)
    bounds = parse(first), parse(last or first)
    if bounds[0] > bounds[1]:
        raise argparse.ArgumentTypeError(f'must rise; got {text!r}')
    return bounds


def size(text: str) -> tuple[tuple[int, int], tuple[int, int]]:
    """Argument type for width and height."""
    width, _, height = text.partition('x')
    return span(width, int, *SIDE), span(height or width, int, *SIDE)


def metres(text: str) -> tuple[float, float]:
    """Argument type for the side of a pixel."""
    return span(text, float, 0.02, 0.1)


def trees(text: str) -> tuple[int, int]:
    """Argument type for the number of trees."""
    return span(text, int, 0, 100_000)


def run(args: argparse.Namespace) -> ExitCode:
    """Draw the scenes and say what they hold."""
    options = Options(args.scenes, args.seed, *args.size, args.gsd, args.trees, args.difficulty)
    there = next(args.out.glob('synth_*.tif'), None) if args.out.is_dir() else None
    if there and not args.overwrite:
        raise DataError(f'--out {args.out} holds {there.name}; choose another folder, or pass --overwrite')
    if args.out.exists() and not args.out.is_dir():
        raise DataError(f'--out {args.out} must be a folder; a file is there; choose another name')
    (args.out / TRUTH).mkdir(parents=True, exist_ok=True)
    bar = tqdm(range(options.scenes), desc='scenes', unit='scene', disable=None, leave=False)
    written = [write_scene(args.out, options, index) for index in bar]
    fallen, labelled = sum(scene.trees for scene in written), sum(scene.labelled for scene in written)
    counts = dict(out=str(args.out), scenes=len(written), trees=fallen, labelled=labelled)
    text = f'{args.out}: {len(written)} scenes, {fallen} fallen trees, {labelled} of them labelled'
    print(json.dumps(counts) if args.json else text)
    return ExitCode.DONE
