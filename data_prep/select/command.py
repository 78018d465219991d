"""``python -m data_prep select``: keep the most informative images of a COCO file."""

from __future__ import annotations

import argparse
import json
import math
import sys
from pathlib import Path
from typing import Any

from tqdm import tqdm

from data_prep import arguments
from data_prep.check.structure import shown
from data_prep.errors import DataError, ExitCode
from data_prep.select.scores import DEFAULT_WEIGHTS, Weights
from data_prep.select.splitting import split_files
from data_prep.select.subset import KEY, Selection, select_images

EPILOG = """\
score = w0 CDS/max(CDS) + w1 RCS/max(RCS) + w2 ICS/max(ICS), weights divided by their sum, maxima over all images.
CDS: number of classes in the image. RCS: sum over these classes of (images in all) / (images with the class).
ICS: 1 / (images in the image's sub-folder). Equal scores go by file name.
--out keeps ids, order and all categories; each image gains "selection": rank, score, cds, rcs, ics.
--split shares the chosen out image by image: frames of one drive may be in several splits, which the last line counts.
exit codes: 0 done; 1 done, but a class has no image left; 2 wrong input; 3 disk, memory, package.
"""
SHOWN = 20  # rows of the table on the terminal


def weights(text: str) -> Weights:
    """Argument type for three weights, none below 0 and not all 0."""
    try:
        values = tuple(float(item) for item in text.split(','))
    except ValueError:
        values = ()
    if len(values) != 3 or not all(math.isfinite(v) and v >= 0 for v in values) or not 0 < sum(values) < math.inf:
        raise argparse.ArgumentTypeError(
            f'must be three weights from 0, not all 0, such as 0.4,0.4,0.2; got {text!r}'
        )  # fmt: skip
    return values


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Register the command."""
    parser = arguments.add_command(
        subparsers,
        'select',
        run,
        help='keep the most informative images of a COCO file',
        description='Keep the N most informative images of a COCO file: many classes, rare ones, small sub-folders.',
        epilog=EPILOG,
    )
    add = parser.add_argument
    add('coco', type=Path, metavar='COCO.json', help='COCO file to choose from')
    add('--n', type=arguments.number(int, 1, 2**31), required=True, metavar='N', help='images to keep')
    add('--out', type=Path, required=True, metavar='OUT.json', help='COCO file to write')
    add('--weights', type=weights, default=DEFAULT_WEIGHTS, metavar='A,B,C',
        help='of CDS, RCS and ICS (default: 0.4,0.4,0.2)')  # fmt: skip
    add('--balance', choices=('folder', 'scene'), default='folder',
        help='sub-folder of an image: that of file_name, or the key scene of tiles (default: %(default)s)')  # fmt: skip
    add(
        '--copy-images',
        type=Path,
        metavar='FOLDER',
        help='folder for copies of the chosen image files; same files that are there stay',
    )
    add('--images', type=Path, metavar='FOLDER',
        help='where the image files lie, for --copy-images (default: looked for beside the COCO file)')  # fmt: skip
    add('--split', type=arguments.ratios, metavar='TRAIN,VAL,TEST',
        help='share the chosen out into OUT_train.json, OUT_val.json and OUT_test.json besides')  # fmt: skip
    add('--seed', type=arguments.number(int, 0, 2**31), default=0, metavar='N', help='of --split (default: 0)')
    add('--overwrite', action='store_true', help='replace OUT.json where it exists')
    add('--json', action='store_true', help='print the chosen images with their scores as one line of JSON')


def run(args: argparse.Namespace) -> ExitCode:
    """Choose, write, and print the scores."""
    if args.images is not None and args.copy_images is None:
        raise DataError('--images says where --copy-images finds the files; pass both or neither')
    total = args.n if args.copy_images else 0
    with tqdm(desc='copied', unit='file', total=total, disable=None if total else True, leave=False) as bar:
        selection = select_images(
            args.coco,
            args.out,
            args.n,
            weights=args.weights,
            balance=args.balance,
            images=args.images,
            copy_to=args.copy_images,
            overwrite=args.overwrite,
            shares=args.split,
            seed=args.seed,
            progress=bar.update,
        )
    print(json.dumps(_counts(args.out, selection)) if args.json else _text(args.out, selection))
    if selection.lost_classes:
        print(f'warning: no chosen image shows {", ".join(map(repr, selection.lost_classes))}; '
              'raise --n or the second weight', file=sys.stderr)  # fmt: skip
        return ExitCode.LOOK
    return ExitCode.DONE


def _counts(out: Path, selection: Selection) -> dict[str, Any]:
    return {
        'out': str(out),
        'images': len(selection.images),
        'of': selection.total,
        'annotations': selection.annotations,
        'lost_classes': selection.lost_classes,
        **({'split': selection.split, 'shared_folders': selection.shared_folders} if selection.split else {}),
        'scores': [{'file_name': image['file_name'], 'id': image['id'], **image[KEY]} for image in selection.images],
    }


def _text(out: Path, selection: Selection) -> str:
    lines = [
        f'{out}: {len(selection.images)} of {selection.total} images, {selection.annotations} annotations',
        f'  {"rank":>6} {"score":>7} {"CDS":>4} {"RCS":>9} {"ICS":>8}  file_name',
    ]
    for image in selection.images[:SHOWN]:
        key = image[KEY]
        lines.append(f'  {key["rank"]:6} {key["score"]:7.4f} {key["cds"]:4} {key["rcs"]:9.3f} {key["ics"]:8.5f}  '
                     f'{shown(image["file_name"])}')  # fmt: skip
    if len(selection.images) > SHOWN:
        lines.append(f'  ... {len(selection.images) - SHOWN} more in {out}')
    if selection.split:
        counts = ', '.join(
            f'{path.name} {count}' for path, count in zip(split_files(out), selection.split, strict=True)
        )
        lines.append(f'  split: {counts} images; {selection.shared_folders} sub-folders are in more than one of them')
    return '\n'.join(lines)
