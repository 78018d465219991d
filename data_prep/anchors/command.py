"""``python -m data_prep anchors``: anchors by k-means on the boxes of a COCO file, as MMDetection takes them."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np

from data_prep import arguments
from data_prep.anchors.boxes import Sizes, mean_best_iou, read_sizes
from data_prep.anchors.clustering import cluster, grid, grid_sizes
from data_prep.errors import DataError, ExitCode
from data_prep.labels.strict_json import write_json

STRIDES = (4, 8, 16, 32, 64)  # MMDetection's with a feature pyramid
SCALE, RATIOS = 8, (0.5, 1.0, 2.0)  # MMDetection's default: sides of 8 strides
EPILOG = """\
Distance is 1 - IoU of boxes on one centre (Redmon and Farhadi 2016). fit: mean over boxes of the IoU with the best
anchor. Three sets of as many anchors are compared: MMDetection's default, sizes of k-means as they are
(YOLOAnchorGenerator), and the nearest that AnchorGenerator can say: one side by level, the same ratios on all.
Into a config: model = dict(rpn_head=dict(anchor_generator=dict(_delete_=True, ...))), with the line that is printed.
exit codes: 0 done; 1 done, but they fit no better than the default; 2 wrong input; 3 disk, memory, package.
"""


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Register the command."""
    parser = arguments.add_command(
        subparsers,
        'anchors',
        run,
        help='anchors that fit the boxes of a COCO file, by k-means',
        description='Find anchors that fit the boxes of a COCO file, by k-means with 1 - IoU as distance.',
        epilog=EPILOG,
    )
    add = parser.add_argument
    add('coco', type=Path, metavar='COCO.json', help='whose boxes; crowds do not count')
    add('--image-size', type=_size, metavar='W,H', help='px into which images are fitted (default: as they are)')
    add('--per-level', type=arguments.number(int, 1, 32), default=len(RATIOS), metavar='N',
        help=f'anchors on each of the levels with strides {STRIDES} (default: %(default)s)')  # fmt: skip
    add('--seed', type=int, default=0, help='of k-means (default: %(default)s)')
    add('--out', type=Path, metavar='FILE.json', help='also write it there, replacing what is there')
    add('--json', action='store_true', help='print everything as one line of JSON')


def _size(text: str) -> tuple[int, int]:
    parts = text.split(',')
    if len(parts) != 2 or not all(part.strip().isdigit() and int(part) > 0 for part in parts):
        raise argparse.ArgumentTypeError(f'must be width and height in px, such as 2048,1024; got {text!r}')
    return int(parts[0]), int(parts[1])


def run(args: argparse.Namespace) -> ExitCode:
    """Fit, print, and write where asked to."""
    if args.out is not None and not args.out.parent.is_dir():
        raise DataError(f'--out {args.out} must be a file in a folder that exists; make {args.out.parent}')
    sizes = read_sizes(args.coco, args.image_size)
    found = fit(sizes, args.per_level, args.seed)
    if args.out is not None:
        write_json(args.out, found, indent=1)
    print(json.dumps(found) if args.json else _text(found))
    return ExitCode.DONE if found['fit']['kmeans'] > found['fit']['default'] else ExitCode.LOOK


def fit(sizes: Sizes, per_level: int, seed: int) -> dict[str, Any]:
    """Fit anchors and compare them with MMDetection's.

    Args:
        sizes: (N, 2) width, height in px of the network's input.
        per_level: Anchors on each level.
        seed: Of k-means.

    Returns:
        `boxes` and `anchors`, their numbers; `sizes_wh`; `fit` by set; and the arguments of the two generators.

    Raises:
        DataError: If there are fewer different boxes than anchors.
    """
    count = per_level * len(STRIDES)
    found = cluster(sizes, count, seed)
    if len(found) < count:
        raise DataError(f'{count} anchors need as many different boxes; there are {len(found)}; lower --per-level')
    sides, ratios = grid(sizes, found, len(STRIDES))
    explicit = np.round(found, 1)
    sides, ratios = np.round(sides, 1), np.round(ratios, 3)
    default = grid_sizes(SCALE * np.array(STRIDES, float), np.array(_default_ratios(per_level)))
    sets = {'default': default, 'kmeans': explicit, 'kmeans_grid': grid_sizes(sides, ratios)}
    levels = explicit.reshape(len(STRIDES), per_level, 2)
    return {
        'boxes': len(sizes),
        'anchors': count,
        'sizes_wh': explicit.tolist(),
        'fit': {name: round(mean_best_iou(sizes, anchors), 4) for name, anchors in sets.items()},
        'anchor_generator': {
            'type': 'AnchorGenerator',
            'strides': list(STRIDES),
            'base_sizes': sides.tolist(),
            'scales': [1.0],
            'ratios': ratios.tolist(),
        },
        'explicit_generator': {
            'type': 'YOLOAnchorGenerator',
            'strides': list(STRIDES),
            'base_sizes': [[tuple(size) for size in level] for level in levels.tolist()],
        },
    }


def _default_ratios(per_level: int) -> list[float]:
    """MMDetection's three, or as many evenly spread (in the logarithm) over their range."""
    return list(RATIOS) if per_level == len(RATIOS) else np.geomspace(0.5, 2, per_level).tolist()


def _text(found: dict[str, Any]) -> str:
    fits = found['fit']
    lines = [f'{found["boxes"]} boxes, {found["anchors"]} anchors; mean best IoU:',
             f"  {fits['default']:.4f}  MMDetection's default",
             f'  {fits["kmeans"]:.4f}  k-means',
             f'  {fits["kmeans_grid"]:.4f}  k-means, one side by level and the same ratios on all',
             'sizes, width x height: ' + ', '.join(f'{w:g} x {h:g}' for w, h in found['sizes_wh'])]  # fmt: skip
    for key in ('anchor_generator', 'explicit_generator'):
        arguments_ = ', '.join(f'{name}={value!r}' for name, value in found[key].items())
        lines.append(f'anchor_generator=dict(_delete_=True, {arguments_})')
    return '\n'.join(lines)
