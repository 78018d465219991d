"""``python -m tree_map COMMAND``: what is done with a map once it is made; maps are made by ``tools/predict.py``."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Sequence

from data_prep.__main__ import SAFE_GDAL, OneLineParser, fail, sigterm_unwinds
from data_prep.errors import DataError, ExitCode, MissingPackage, Terminated, one_line

# Each module offers add_command(subparsers), which sets ``run``: arguments to exit code.
COMMANDS = {
    'score': 'tree_map.scoring.score_command',
    'report': 'tree_map.reporting.report_command',
    'review': 'tree_map.reviewing.review_command',
    'tune': 'tree_map.tuning.tune_command',
}


def build_parser(commands: Sequence[str] = tuple(COMMANDS)) -> OneLineParser:
    """Parser with these sub-commands."""
    parser = OneLineParser(prog='python -m tree_map', description='Score, show, correct and tune maps of fallen trees.')
    subparsers = parser.add_subparsers(dest='command', required=True, metavar='COMMAND')
    for name in commands:
        importlib.import_module(COMMANDS[name]).add_command(subparsers)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        argv: Arguments after the program's name; None takes the process's own.

    Returns:
        Exit code, see ``ExitCode``. Whatever it is, no output is half-written.
    """
    os.environ.update(SAFE_GDAL)
    words = sys.argv[1:] if argv is None else list(argv)
    named = [name for name in COMMANDS if words[:1] == [name]]  # one command needs no other's modules
    try:
        with sigterm_unwinds():
            args = build_parser(named or tuple(COMMANDS)).parse_args(words)
            return int(args.run(args))
    except DataError as error:
        return fail(ExitCode.BAD_INPUT, one_line(error))
    except MissingPackage as error:
        return fail(ExitCode.ENVIRONMENT, one_line(error))
    except ModuleNotFoundError as error:
        return fail(ExitCode.ENVIRONMENT, f'{one_line(error)}; pip install fallen-trees[map]')
    except MemoryError:
        return fail(ExitCode.ENVIRONMENT, 'out of memory; free some, or pass fewer scenes at a time')
    except OSError as error:
        return fail(ExitCode.ENVIRONMENT, f'{one_line(error)}; check free space and permissions, then run again')
    except KeyboardInterrupt:
        return fail(ExitCode.SIGINT, 'stopped by SIGINT; no output is half-written')
    except Terminated:
        return fail(ExitCode.SIGTERM, 'stopped by SIGTERM; no output is half-written')


if __name__ == '__main__':
    sys.exit(main())
