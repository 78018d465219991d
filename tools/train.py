"""Train a model: `python tools/train.py CONFIG`, with MMDetection's flags."""

import argparse
import os
import sys

# Before torch starts its threads: see fallen_trees.cpu.
os.environ.setdefault('OMP_WAIT_POLICY', 'PASSIVE')

from fallen_trees.checkpoint_reader import trusting
from fallen_trees.errors import one_line_errors
from fallen_trees.launch import add_common_flags, load_config
from fallen_trees.resume.interrupt_hook import RunInterrupted
from fallen_trees.resume.launched import ends_said
from fallen_trees.training import Flags, run_training


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Parse MMDetection's training flags."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('config', help='config file')
    parser.add_argument('--amp', action='store_true', help='mixed precision: bfloat16, or float16 on cards without it')
    parser.add_argument('--auto-scale-lr', action='store_true', help='scale the learning rate with the batch size')
    parser.add_argument(
        '--resume',
        nargs='?',
        const='auto',
        help='continue: from the given checkpoint, or without one from the newest good one in the work dir',
    )
    parser.add_argument('--resume-anyway', action='store_true', help='continue although settings of the run changed')
    add_common_flags(parser)
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> int:
    """Run the command; returns the exit code."""
    args = parse_args(argv)
    flags = Flags(args.amp, args.auto_scale_lr, args.resume, args.resume_anyway)
    with one_line_errors(), trusting(args.trust_checkpoint):
        try:
            run_training(load_config(args), flags)
        except RunInterrupted as stop:
            return 128 + stop.signum
    return 0


if __name__ == '__main__':
    with ends_said():
        sys.exit(main())
