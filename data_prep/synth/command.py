"""``python -m data_prep synth``: scenes of windthrow with exact ground truth."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from tqdm import tqdm

from data_prep import arguments
from data_prep.errors import ExitCode
from data_prep.synth import folder
from data_prep.synth.drawing import draw
from data_prep.synth.settings import DIFFICULTIES, Options

EPILOG = """\
writes, for each scene: synth_NN.tif (GeoTIFF, EPSG:32633), synth_NN.json (LabelMe, what a person would draw) and
truth/synth_NN.gpkg (layers outlines, visible, centrelines, with length, diameters, volume and azimuth of every tree).
A tree is labelled if at least 30 % of it, and 60 pixels, can be seen; the GeoPackage holds all.
Scenes are as large as those of a survey and take half a minute each; --size 1536 draws small ones. The same seed gives
the same bytes, and the first scenes are the same however many are asked for; so a run that was stopped is finished by
running it again, and scenes are added with a greater --scenes.
"""
SIDE = (128, 60_000)


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Register the command."""
    parser = arguments.add_command(
        subparsers,
        'synth',
        run,
        help='draw scenes of windthrow with exact ground truth',
        description='Draw scenes of windthrow seen from a drone, with labels and exact ground truth.',
        epilog=EPILOG,
    )
    add, default = parser.add_argument, Options()
    usual = 'x'.join(f'{low}-{high}' for low, high in (default.width_px, default.height_px))
    add('--out', type=Path, required=True, metavar='FOLDER', help='folder for the scenes; made if it is absent')
    add('--scenes', type=arguments.number(int, 1, 9999), default=default.scenes, metavar='N',
        help='how many (default: %(default)s)')  # fmt: skip
    add(
        '--seed', type=arguments.number(int, 0, 2**63), default=default.seed, metavar='N', help='(default: %(default)s)'
    )
    add('--size', type=size, default=(default.width_px, default.height_px), metavar='PX',
        help=f'1024, 1536x1024, or ranges as 1024-1536x1024 (default: {usual})')  # fmt: skip
    add('--gsd', type=metres, default=default.gsd_m, metavar='M',
        help='metres per pixel, 0.02 to 0.1, or a range as 0.03-0.08 (default: 0.05)')  # fmt: skip
    add('--trees', type=trees, metavar='MIN-MAX',
        help='fallen trees in a scene (default: 11-140, and at most 5-16 a megapixel of 5 cm)')  # fmt: skip
    add('--difficulty', choices=tuple(DIFFICULTIES), default=default.difficulty, help='(default: %(default)s)')
    add('--jobs', type=arguments.number(int, 1, 256), default=1, metavar='N',
        help='scenes drawn at a time, each in a process of its own; the same bytes (default: %(default)s)')  # fmt: skip
    add('--overwrite', action='store_true', help='remove all scenes in the folder first, whatever their options')
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
    """Draw the scenes that are not there and say what all of them hold."""
    options = Options(args.scenes, args.seed, *args.size, args.gsd, args.trees, args.difficulty)
    with folder.opened(args.out, options, overwrite=args.overwrite):
        found = {index: folder.finished(args.out, index) for index in range(options.scenes)}
        missing = [index for index, scene in found.items() if scene is None]
        there = options.scenes - len(missing)
        with tqdm(total=options.scenes, initial=there, desc='scenes', unit='scene', disable=None, leave=False) as bar:
            written = found | draw(args.out, options, missing, args.jobs, bar.update)
    fallen, labelled = (sum(getattr(scene, what) for scene in written.values()) for what in ('trees', 'labelled'))
    counts = dict(out=str(args.out), scenes=len(written), trees=fallen, labelled=labelled)
    kept = f' ({there} of the scenes were there)' if there else ''
    text = f'{args.out}: {len(written)} scenes, {fallen} fallen trees, {labelled} of them labelled{kept}'
    print(json.dumps(counts) if args.json else text)
    return ExitCode.DONE
