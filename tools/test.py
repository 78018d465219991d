"""Test a model: `python tools/test.py CONFIG CHECKPOINT`, with MMDetection's flags.

Prints COCO's box and mask figures and writes them to `metrics.json` in the work dir.
"""

import argparse
import os
import sys
from pathlib import Path

# Before torch starts its threads: see fallen_trees.cpu.
os.environ.setdefault('OMP_WAIT_POLICY', 'PASSIVE')

from mmdet.engine.hooks.utils import trigger_visualization_hook
from mmengine.config import Config
from mmengine.runner import Runner

from fallen_trees.checkpoint_reader import trusting
from fallen_trees.dump_results import DumpRleResults
from fallen_trees.errors import ConfigError, one_line_errors
from fallen_trees.launch import add_common_flags, load_config
from fallen_trees.testing import score


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Parse MMDetection's test flags."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('config', help='config file')
    parser.add_argument('checkpoint', help='checkpoint file')
    parser.add_argument('--out', help='write the predictions to this pickle file')
    parser.add_argument('--show', action='store_true', help='show each picture in a window')
    parser.add_argument('--show-dir', help='write a picture of each tile, truth beside prediction, to this folder')
    parser.add_argument('--wait-time', type=float, default=2, help='seconds between two pictures of --show')
    parser.add_argument('--tta', action='store_true', help='test-time augmentation (boxes only in MMDetection)')
    add_common_flags(parser)
    return parser.parse_args(argv)


def check_flags(args: argparse.Namespace) -> None:
    """Refuse what cannot work before anything is loaded."""
    if args.out and not args.out.endswith(('.pkl', '.pickle')):
        raise ConfigError(f'--out must end in .pkl or .pickle; got {args.out}.')
    if args.tta:
        raise ConfigError('--tta: MMDetection merges boxes only, and these models predict masks; leave it away.')
    if args.show_dir:
        # Absolute, or MMDetection would put it under a dated folder, once more for every picture.
        args.show_dir = str(Path(args.show_dir).resolve())


def main(argv: list[str] | None = None) -> int:
    """Run the command; returns the exit code."""
    args = parse_args(argv)

    def change(cfg: Config) -> Config:
        return trigger_visualization_hook(cfg, args) if args.show or args.show_dir else cfg

    def on_runner(runner: Runner) -> None:
        if args.out:
            runner.test_evaluator.metrics.append(DumpRleResults(out_file_path=args.out))

    with one_line_errors(), trusting(args.trust_checkpoint):
        check_flags(args)
        score(load_config(args), args.checkpoint, change=change, on_runner=on_runner)
    return 0


if __name__ == '__main__':
    sys.exit(main())
