"""Tune a config: `python tools/sweep.py configs/sweeps/NAME.py --trials 40`, again to go on after any stop.

Every trial trains in a process of its own, in work_dirs/sweeps/STUDY/trial_NNNN. After each, the results beside them
are brought up to date. More workers join by the same command, on other machines with --storage. Exit codes: 0 done; 1
some trials failed (listed); 2 wrong input; 3 the storage fails; 130 and 143 stopped, with checkpoints saved.
"""

import argparse
import os
import sys
from pathlib import Path

# Before torch starts its threads: see fallen_trees.cpu.
os.environ.setdefault('OMP_WAIT_POLICY', 'PASSIVE')
# Python looks for modules beside a script first, where `sweep` would be this file.
sys.path[:] = [folder for folder in sys.path if Path(folder or '.').resolve() != Path(__file__).resolve().parent]

from fallen_trees.derive.config import REPOSITORY
from fallen_trees.errors import one_line_errors
from fallen_trees.trial import TrialTraining
from sweep.command import HEARTBEAT_S, one_line_endings, run, settle


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('file', help='sweep file')
    parser.add_argument('--trials', type=int, help='trainings of the whole study, all workers together')
    parser.add_argument('--study', help="name of the study; default the file's")
    parser.add_argument('--storage', metavar='URL', help='postgresql://... for several machines; default SQLite')
    parser.add_argument(
        '--workers', type=int, default=1, help='trials at a time on this machine; one GPU each, in turn'
    )
    parser.add_argument('--sampler', help='tpe, random, grid, cmaes or gp; default: what the file says, or tpe')
    parser.add_argument('--pruner', help='none, median, sha or hyperband; default: what the file says, or sha')
    parser.add_argument('--seed', type=int, help='of the sampler')
    parser.add_argument('--work-dir', help='folder of the study; default work_dirs/sweeps/STUDY of the repository')
    parser.add_argument(
        '--heartbeat', type=int, default=HEARTBEAT_S, metavar='SECONDS', help='between signs of life of a trial'
    )
    parser.add_argument('--dry-run', action='store_true', help='check everything and print what would run')
    parser.add_argument('--results-only', action='store_true', help='write the results anew, and run nothing')
    return parser.parse_args(argv)


def say(line: str) -> None:
    """Print a line at once."""
    print(line, flush=True)


def main(argv: list[str] | None = None) -> int:
    """Run the command; returns the exit code."""
    args = parse_args(argv)
    with one_line_endings(), one_line_errors():
        sweep_file = settle(args)
        (objective, direction), *_ = sweep_file.objectives
        training = TrialTraining(
            sweep_file.base, sweep_file.options, objective, direction, sweep_file.tool, args.workers
        )  # fmt: skip
        return run(args, sweep_file, training, REPOSITORY / 'work_dirs/sweeps', say)


if __name__ == '__main__':
    sys.exit(main())
