"""``python -m data_prep show``: a data set to pictures and a page."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from tqdm import tqdm

from data_prep import arguments
from data_prep.errors import DataError, ExitCode
from data_prep.show.coco_input import read_splits
from data_prep.show.gallery import write_gallery
from data_prep.show.samples import choose

EPILOG = """\
makes: index.html (opens from disk, no network: arrow keys leaf, filters by split and class), tiles/*.png with image,
masks and boxes side by side, contact_sheet_NN.png, TRACKING.json.
exit codes: 0 done; 2 wrong input; 3 disk, memory or a missing package. After an error --out is as it was.
"""


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Register the command."""
    parser = arguments.add_command(
        subparsers,
        'show',
        run,
        help='look at a data set: image, masks and boxes of random tiles, with a page to leaf through',
        description='Draw image, instance masks and boxes of random or named tiles side by side.',
        epilog=EPILOG,
    )
    add = parser.add_argument
    add('dataset', nargs='+', type=Path, metavar='DATASET', help="data sets' folders or COCO .json files")
    add('--out', type=Path, required=True, metavar='FOLDER', help='folder to make')
    add('--overwrite', action='store_true', help='replace what an earlier run of this command made there')
    add('--images', type=Path, metavar='DIR', help='folder of images (default: where data sets keep them)')
    add('--split', type=arguments.names, default=(), metavar='A,B', help='only these splits (default: all)')
    add('--classes', type=arguments.names, default=(), metavar='A,B', help='only tiles that show one of these')
    add('--tiles', type=arguments.names, default=(), metavar='A,B', help='these tiles by name, none by chance')
    add('--n', type=arguments.number(int, 1, 10_000), default=24, metavar='N', help='tiles (default: %(default)s)')
    add('--seed', type=arguments.number(int, 0, 2**63), default=0, metavar='N',
        help='of the choice (default: %(default)s)')  # fmt: skip
    add('--max-side', type=arguments.number(int, 64, 4096), default=640, metavar='PX',
        help='longer side of a panel at most; smaller tiles are magnified (default: %(default)s)')  # fmt: skip
    add('--columns', type=arguments.number(int, 1, 8), default=2, metavar='N',
        help='tiles side by side on a contact sheet (default: %(default)s)')  # fmt: skip
    add('--json', action='store_true', help='print the counts as one line of JSON')


def run(args: argparse.Namespace) -> ExitCode:
    """Make the folder and say what is in it."""
    if args.images is not None and not args.images.is_dir():
        raise DataError(f'--images {args.images} is not a folder; name the one that file_name starts from')
    splits = read_splits(args.dataset, args.split)
    samples = choose(splits, args.n, args.seed, tiles=args.tiles, classes=args.classes)
    with tqdm(total=len(samples), desc='tiles', unit='tile', disable=None, leave=False) as bar:
        made = write_gallery(
            samples,
            args.out,
            images=args.images,
            max_side=args.max_side,
            columns=args.columns,
            overwrite=args.overwrite,
            on_tile=bar.update,
        )
    plural = 's' * (made['sheets'] != 1)
    text = (f'{made["out"]}/index.html: {made["tiles"]} tiles, {made["annotations"]} annotations; '
            f'{made["sheets"]} contact sheet{plural}')  # fmt: skip
    print(json.dumps(made) if args.json else text)
    return ExitCode.DONE
