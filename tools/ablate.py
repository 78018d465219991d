"""Runs x seeds from one small file: `python tools/ablate.py configs/ablations/NAME.py`, again to go on after a stop.

Every unit (an arm with a seed) trains and is scored in processes of its own, in work_dirs/ablations/NAME/ARM/seed_N.
After each, results.md and results.json in work_dirs/ablations/NAME are brought up to date. Exit codes: 0 all units are
done; 1 some have failed (listed); 2 wrong input; 130 and 143 stopped, with checkpoints saved.
"""

import argparse
import os
import shlex
import sys
from pathlib import Path

# Before torch starts its threads: see fallen_trees.cpu.
os.environ.setdefault('OMP_WAIT_POLICY', 'PASSIVE')

from fallen_trees.ablation.ablation_file import read_ablation
from fallen_trees.ablation.forecast import forecast
from fallen_trees.ablation.grid import Grid
from fallen_trees.ablation.plan import plan
from fallen_trees.ablation.table import missing_figures, write_results
from fallen_trees.ablation.unit import require_unchanged, units_of
from fallen_trees.derive.config import REPOSITORY
from fallen_trees.errors import ConfigError, one_line_errors


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('file', help='ablation file')
    parser.add_argument('--jobs', type=int, default=1, help='units at a time; each gets its share of the cores')
    parser.add_argument('--only', nargs='+', metavar='ARM', help='run these arms alone; the table holds all')
    parser.add_argument('--dry-run', action='store_true', help='check everything and print what would run')
    parser.add_argument('--table', action='store_true', help='print the table of what is done, and run nothing')
    parser.add_argument('--rerun-changed', action='store_true', help='run units again whose settings have changed')
    parser.add_argument('--work-dir', help='folder for the results; default work_dirs/ablations/NAME of the repository')
    return parser.parse_args(argv)


def say(line: str) -> None:
    """Print a line at once."""
    print(line, flush=True)


def main(argv: list[str] | None = None) -> int:
    """Run the command; returns the exit code."""
    args = parse_args(argv)
    with one_line_errors():
        if args.jobs < 1:
            raise ConfigError(f'--jobs must be at least 1; got {args.jobs}.')
        ablation = read_ablation(args.file)
        folder = Path(args.work_dir or REPOSITORY / 'work_dirs/ablations' / ablation.name).resolve()
        command = shlex.join(['python', 'tools/ablate.py', args.file])
        if args.table:
            say(write_results(ablation, folder, command))
            return 0
        units = units_of(plan(ablation, args.only), ablation.seeds, folder)
        if args.dry_run:
            for line in forecast(units, args.jobs, ablation.unit_minutes):
                say(line)
            return 0
        for line in require_unchanged(units, args.rerun_changed):
            say(line)
        for line in forecast(units, args.jobs, ablation.unit_minutes)[-2:]:
            say(line)
        timeout_s = 60 * ablation.timeout_minutes if ablation.timeout_minutes else None
        grid = Grid(units, args.jobs, timeout_s, say, lambda: write_results(ablation, folder, command))
        code = grid.run()
        say(f'\n{write_results(ablation, folder, command)}')
        for line in missing_figures(ablation, folder):
            say(line)
        for unit, why in grid.failures.items():
            print(f'error: {unit}: {why}', file=sys.stderr)
    return code


if __name__ == '__main__':
    sys.exit(main())
