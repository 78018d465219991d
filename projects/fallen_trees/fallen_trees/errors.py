"""What a user can cause, and how a command ends because of it."""

import errno
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import torch


class ConfigError(ValueError):
    """A config, an option, a data set or a checkpoint that cannot work. The message is one line and says what to do."""


class EnvironmentFailure(RuntimeError):
    """The machine failed, not the input: network, disk, memory, device."""


class DeadRun(RuntimeError):
    """A training run that cannot come to anything any more, ended by its guard. The message is a one-line diagnosis."""


@contextmanager
def one_line_errors() -> Iterator[None]:
    """Turn what a user can cause into one line on stderr and the exit code that scripts expect.

    1 for a run ended by its guard, 2 for wrong input, 3 for a failing environment. Anything else is our mistake and
    keeps its traceback.

    Raises:
        SystemExit: With code 1, 2 or 3.
    """
    try:
        yield
    except DeadRun as error:
        _leave(1, error)
    except (ConfigError, FileNotFoundError) as error:
        _leave(2, error)
    except (EnvironmentFailure, torch.cuda.OutOfMemoryError) as error:
        _leave(3, error)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM):
            _leave(3, error)
        raise


def _leave(code: int, error: BaseException) -> None:
    message = ' '.join(str(error).split())
    print(f'error: {message}', file=sys.stderr, flush=True)
    raise SystemExit(code) from error
