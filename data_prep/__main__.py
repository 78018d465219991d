"""``python -m data_prep COMMAND``: parse, call the command, turn errors into one line and an exit code."""

from __future__ import annotations

import argparse
import importlib
import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import NoReturn

from data_prep.errors import DataError, ExitCode, MissingPackage, Terminated, one_line

# Each module offers add_parser(subparsers) and run(args) -> exit code; add_parser sets ``run`` as the parser's default.
COMMANDS = (
    'data_prep.tile',
    'data_prep.check',
    'data_prep.select',
    'data_prep.synth',
    'data_prep.show',
    'data_prep.stats',
    'data_prep.convert',
    'data_prep.semantic',
    'data_prep.cityscapes',
    'data_prep.anchors',
    'data_prep.pack',
)

# Read by GDAL when it starts, so it is set before any command imports rasterio: no driver that follows names to other
# files or hosts, no Python code in rasters, no look at a raster's neighbours, no network.
SAFE_GDAL = {
    'GDAL_SKIP': 'VRT',
    'GDAL_VRT_ENABLE_PYTHON': 'NO',
    'GDAL_DISABLE_READDIR_ON_OPEN': 'EMPTY_DIR',
    'CPL_VSIL_CURL_ALLOWED_EXTENSIONS': '.none',
    'GDAL_PAM_ENABLED': 'NO',
}


class OneLineParser(argparse.ArgumentParser):
    """A parser whose usage errors are one line, like every other error."""

    def error(self, message: str) -> NoReturn:
        """Raise instead of printing the whole usage."""
        raise DataError(f'{message} (see {self.prog} --help)')


def build_parser(commands: Sequence[str] = COMMANDS) -> argparse.ArgumentParser:
    """Parser with one sub-command for each of these modules."""
    parser = OneLineParser(prog='python -m data_prep', description='Large aerial rasters and polygons to COCO tiles.')
    subparsers = parser.add_subparsers(dest='command', required=True, metavar='COMMAND')
    for name in commands:
        importlib.import_module(name).add_parser(subparsers)
    return parser


@contextmanager
def sigterm_unwinds() -> Iterator[None]:
    """Let SIGTERM raise Terminated, so that half-made output is removed; only the main thread may set it."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(signum: int, frame: object) -> NoReturn:
        raise Terminated

    previous = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous)


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """Parse, with the modules of a named command alone: importing all eight takes longer than tiling a small scene."""
    named = [name for name in COMMANDS if name.rpartition('.')[2] == next(iter(argv), None)]
    return build_parser(named or COMMANDS).parse_args(argv)


def fail(code: ExitCode, message: str) -> ExitCode:
    """Print one line to stderr and hand the code back."""
    print(f'error: {message}', file=sys.stderr)
    return code


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        argv: Arguments after the program's name; None takes the process's own.

    Returns:
        Exit code, see ``ExitCode``. Whatever it is, no output is half-written.
    """
    for key, value in SAFE_GDAL.items():
        os.environ[key] = value
    try:
        with sigterm_unwinds():
            args = parse(sys.argv[1:] if argv is None else argv)
            return int(args.run(args))
    except DataError as error:
        return fail(ExitCode.BAD_INPUT, one_line(error))
    except MissingPackage as error:
        return fail(ExitCode.ENVIRONMENT, one_line(error))
    except ModuleNotFoundError as error:
        return fail(ExitCode.ENVIRONMENT, f'{one_line(error)}; pip install -r requirements/runtime.txt')
    except MemoryError:
        return fail(ExitCode.ENVIRONMENT, 'out of memory; free some, or use smaller tiles')
    except OSError as error:
        return fail(ExitCode.ENVIRONMENT, f'{one_line(error)}; check free space and permissions, then run again')
    except KeyboardInterrupt:
        return fail(ExitCode.SIGINT, 'stopped by SIGINT; no output is half-written')
    except Terminated:
        return fail(ExitCode.SIGTERM, 'stopped by SIGTERM; no output is half-written')


if __name__ == '__main__':
    sys.exit(main())
