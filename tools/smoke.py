"""Can a recipe learn a few tiles by heart? `python tools/smoke.py CONFIG`; minutes, before hours.

Ends with 0 if it learns, 2 if it does not, with the likely cause, and 1 if the time was too short to tell.
Curves, pictures and numbers are in work_dirs/smoke/CONFIG.
"""

import argparse
import os
import sys
from pathlib import Path

# Before torch starts its threads: see fallen_trees.cpu.
os.environ.setdefault('OMP_WAIT_POLICY', 'PASSIVE')

from mmengine.config import DictAction

from fallen_trees.checks.smoke_test.smoke import smoke
from fallen_trees.cpu import keep_freed_memory
from fallen_trees.derive.config import REPOSITORY, derive
from fallen_trees.errors import ConfigError, one_line_errors
from fallen_trees.launch import load_config
from fallen_trees.start_weights import settle_start_weights


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config', help='config file')
    parser.add_argument('--tiles', type=int, default=10, help='training tiles to learn by heart; default 10')
    parser.add_argument('--minutes', type=float, default=10, help='time for training; default 10')
    parser.add_argument('--seed', type=int, default=0, help='which tiles, and all else that is random; default 0')
    parser.add_argument('--work-dir', help='folder for the results; default work_dirs/smoke/CONFIG of the repository')
    parser.add_argument('--cfg-options', nargs='+', action=DictAction, help='override settings, as in tools/train.py')
    parser.set_defaults(launcher='none', local_rank=0)
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> int:
    """Run the command; returns the exit code."""
    args = parse_args(argv)
    with one_line_errors():
        if args.tiles < 1 or args.minutes <= 0:
            raise ConfigError(f'--tiles and --minutes must be above 0; got {args.tiles} and {args.minutes}.')
        args.work_dir = args.work_dir or str(REPOSITORY / 'work_dirs' / 'smoke' / Path(args.config).stem)
        notes = [keep_freed_memory()]
        cfg = load_config(args)
        notes += derive(cfg, ('train',))
        notes += settle_start_weights(cfg)
        for note in filter(None, notes):
            print(note, flush=True)
        outcome = smoke(
            cfg, Path(args.work_dir), args.tiles, args.minutes, args.seed, lambda line: print(line, flush=True)
        )
    print(f'{outcome.answer}: {outcome.why}')
    print(f'curves.png, smoke.json and pictures/ are in {args.work_dir}')
    return int(outcome.answer.exit_code)


if __name__ == '__main__':
    sys.exit(main())
