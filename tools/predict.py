"""Map fallen trees: `python tools/predict.py CONFIG CHECKPOINT SCENE... --out map.gpkg`.

One file for all scenes, or a folder for a map of each; photos that lie nowhere come out drawn, with COCO or LabelMe. A
run that was stopped goes on with the same command. Exit codes: 0 done, 1 some windows could not be read, 2 wrong input,
3 the machine failed, 130 and 143 stopped by a signal.
"""

import argparse
import contextlib
import os
import re
import sys

# Before torch starts its threads (see fallen_trees.cpu) and before GDAL starts.
os.environ.setdefault('OMP_WAIT_POLICY', 'PASSIVE')

from data_prep.__main__ import SAFE_GDAL

os.environ.update(SAFE_GDAL)

with contextlib.redirect_stdout(sys.stderr):  # MMDetection prints while it is imported; --json owns stdout
    from mmengine.config import DictAction

    from data_prep.arguments import bands, number
    from data_prep.imagery.stretch import MODES
    from fallen_trees.resume.launched import ends_said
    from tree_map.command import ending, run

BYTES = {'': 1 << 30, 'K': 1 << 10, 'M': 1 << 20, 'G': 1 << 30}


def memory(text: str) -> int:
    """Argument type for an amount of memory; without a unit it counts in GB."""
    found = re.fullmatch(r'(\d+(?:\.\d+)?)\s*([KMG]?)I?B?', text.strip().upper())
    if not found or not float(found[1]):
        raise argparse.ArgumentTypeError(f'must be an amount such as 4G or 900M; got {text!r}')
    return int(float(found[1]) * BYTES[found[2]])


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Parse the flags."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n\n')[0])
    add = parser.add_argument
    add('config', help='config file that the checkpoint was trained with')
    add('checkpoint', help='checkpoint file')
    add('scenes', nargs='+', metavar='SCENE', help='GeoTIFF, PNG or JPEG, or a folder of them')
    add('--out', required=True, help='map.gpkg, .geojson, .csv or .json (COCO) for all scenes, or a folder')
    add('--overwrite', action='store_true', help='replace an older map')
    add('--format', choices=('coco', 'labelme'), default='coco', help='of photos; default %(default)s')
    add('--json', action='store_true', help='print the summary as JSON')
    group = parser.add_argument_group('what the network sees; the default is what it was trained on')
    add = group.add_argument
    add('--window', type=number(int, 32, 16384), metavar='PX', help='side of a window, in pixels of that size')
    add('--overlap', type=number(float, 0, 0.95), metavar='SHARE', help='of a window that the next one sees again')
    add('--gsd', type=number(float, 1e-4, 1e3), metavar='METRES', help='side of a pixel; scenes are resampled to it')
    add('--scale', type=number(float, 0.02, 16), help='pixels per scene pixel, in place of --gsd')
    add('--bands', type=bands, metavar='1,2,3', help='bands of the scene, from 1')
    add('--stretch', choices=MODES, help='how other numbers become 8 bits')
    add('--gsd-of-scene', type=number(float, 1e-4, 1e3), metavar='METRES', help='pixel of a scene that does not say')
    add('--score-thr', type=number(float, 0, 1), help='trees below are left out; default: chosen by validation')
    add('--tta', action='store_true', help='look at each window from eight sides')
    group = parser.add_argument_group('how it runs')
    add = group.add_argument
    add('--batch-size', type=number(int, 1, 4096), help='windows at once; default 2 on the CPU, 8 on a GPU')
    add('--device', help='such as cpu or cuda:1; default: a GPU where there is one')
    add('--amp', action='store_true', help='half precision')
    add('--max-ram', type=memory, metavar='4G', help='stay below this much memory')
    add('--workers', type=number(int, 0, 256), default=2, help='threads that read ahead; default %(default)s')
    add('--cell-size', type=number(float, 1, 1e5), default=100.0, metavar='METRES', help='of the cells with sums')
    add('--launcher', choices=('none', 'pytorch'), default='none', help='pytorch: started by torchrun')
    add('--local_rank', '--local-rank', type=int, default=0, help='set by the launcher')
    add('--cfg-options', nargs='+', action=DictAction, help='override settings of the config, as key=value')
    add('--trust-checkpoint', action='store_true', help='read a checkpoint that holds more than weights')
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> int:
    """Run the command; returns the exit code."""
    args = parse_args(argv)
    with ending():
        return int(run(args))


if __name__ == '__main__':
    with ends_said():
        sys.exit(main())
