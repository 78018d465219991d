"""Train in stages: `python tools/run_stages.py configs/cityscapes/stages.py`, again to go on after any stop.

Every stage searches, trains and is tested in processes of its own, in work_dirs/stages/NAME/STAGE, and starts from the
weights of the one before. After each, results.md and results.json in work_dirs/stages/NAME are brought up to date.
Exit codes: 0 all stages are done; 1 one has failed; 2 wrong input; 130 and 143 stopped, with checkpoints saved.
"""

import argparse
import os
import shlex
import sys
from pathlib import Path

# Before torch starts its threads: see fallen_trees.cpu.
os.environ.setdefault('OMP_WAIT_POLICY', 'PASSIVE')

from mmengine.config import DictAction

from fallen_trees.derive.config import REPOSITORY
from fallen_trees.errors import ConfigError, one_line_errors
from fallen_trees.stages.chain import check, plan_of, require_unchanged, run_chain, stages_of
from fallen_trees.stages.stages_file import read_stages
from fallen_trees.stages.table import write_results


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('file', help='file of stages')
    parser.add_argument('--only', nargs='+', metavar='STAGE', help='run these stages alone; the table holds all')
    parser.add_argument('--dry-run', action='store_true', help='check everything and print what would run')
    parser.add_argument('--table', action='store_true', help='print the table of what is done, and run nothing')
    parser.add_argument('--rerun-changed', action='store_true', help='run stages again whose settings have changed')
    parser.add_argument('--work-dir', help='folder for the results; default work_dirs/stages/NAME of the repository')
    parser.add_argument(
        '--cfg-options', nargs='+', action=DictAction, help='override settings of all stages, as tools/train.py does'
    )
    return parser.parse_args(argv)


def say(line: str) -> None:
    """Print a line at once."""
    print(line, flush=True)


def main(argv: list[str] | None = None) -> int:
    """Run the command; returns the exit code."""
    args = parse_args(argv)
    with one_line_errors():
        said = read_stages(args.file)
        folder = Path(args.work_dir or REPOSITORY / 'work_dirs/stages' / said.name).resolve()
        stages = stages_of(said, folder, args.cfg_options)
        names = [str(stage) for stage in stages]
        for name in args.only or ():
            if name not in names:
                raise ConfigError(f"--only: there is no stage '{name}' in {args.file}; there are {', '.join(names)}.")
        chosen = [stage for stage in stages if not args.only or str(stage) in args.only]
        command = shlex.join(['python', 'tools/run_stages.py', args.file])
        if args.table:
            say(write_results(stages, folder, command))
            return 0
        check(chosen)
        for line in require_unchanged(chosen, args.rerun_changed and not args.dry_run):
            say(line)
        for line in plan_of(chosen):
            say(line)
        if args.dry_run:
            return 0
        timeout_s = 60 * said.timeout_minutes if said.timeout_minutes else None
        code, why = run_chain(chosen, timeout_s, say, lambda: write_results(stages, folder, command))
        say(f'\n{write_results(stages, folder, command)}')
        if why is not None:
            print(f'error: {why}', file=sys.stderr)
    return code


if __name__ == '__main__':
    sys.exit(main())
