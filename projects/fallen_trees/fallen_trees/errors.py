"""What a user can cause, and how a command ends because of it."""

import errno
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch


class ConfigError(ValueError):
    """A config, an option, a data set or a checkpoint that cannot work. The message is one line and says what to do."""


class EnvironmentFailure(RuntimeError):
    """The machine failed, not the input: network, disk, memory, device."""


class DeadRun(RuntimeError):
    """A training run that cannot come to anything any more, ended by its guard. The message is a one-line diagnosis."""


# What the system says when the machine is at fault, not the input.
MACHINE = (
    errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO, errno.ESTALE,
    errno.ENODEV, errno.ENOLCK, errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EISDIR, errno.ENOTDIR, errno.EEXIST,
    errno.ELOOP, errno.EADDRINUSE, errno.ENETUNREACH, errno.ETIMEDOUT, errno.ECONNREFUSED, errno.EBUSY,
)  # fmt: skip
# How torch begins or words them.
WORKER_DIED = 'DataLoader worker (pid'
NO_MEMORY = ("can't allocate memory", 'out of memory')
DISK = ('PytorchStreamWriter failed', 'unexpected pos', 'basic_ios::clear', 'iostream error')
SMALLER = (
    'Lower train_dataloader.batch_size (and raise optim_wrapper.accumulative_counts as much), image_size, '
    'model.train_cfg.num_points or model.panoptic_head.num_queries; then use --resume.'
)


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
    except Exception as error:
        code = _exit_code(error)
        if code is None:
            raise
        message = _message(error)
        print(f'error: {message}', file=sys.stderr, flush=True)
        raise SystemExit(code) from error


@contextmanager
def writing_to(folder: str | Path) -> Iterator[None]:
    """Call it the machine's failure, not the user's, when a folder that is written to is gone.

    Raises:
        EnvironmentFailure: If the block fails for a file missing inside the folder.
    """
    try:
        yield
    except FileNotFoundError as error:
        missing = Path(str(error.filename or '')).resolve()
        if not missing.is_relative_to(Path(folder).resolve()):
            raise
        raise EnvironmentFailure(
            f'the folder {folder} vanished while the run wrote to it ({missing} is gone). Bring it back, then use '
            '--resume.'
        ) from error


def _exit_code(error: Exception) -> int | None:
    if isinstance(error, DeadRun):
        return 1
    if isinstance(error, ConfigError | FileNotFoundError):
        return 2
    if isinstance(error, EnvironmentFailure | MemoryError | torch.cuda.OutOfMemoryError | torch.distributed.DistError):
        return 3
    if isinstance(error, OSError):
        return 3 if _errno(error) in MACHINE else None
    return 3 if isinstance(error, RuntimeError) and _is_machine(str(error)) else None


def _errno(error: OSError) -> int | None:
    """The number; from a data-loader worker comes only its text."""
    found = re.search(r'\[Errno (\d+)\]', str(error))
    return error.errno or (int(found[1]) if found else None)


def _is_machine(message: str) -> bool:
    """Failures that torch reports as a bare RuntimeError."""
    return message.startswith(WORKER_DIED) or any(sign in message for sign in (*NO_MEMORY, *DISK, 'CUDA error'))


def _message(error: Exception) -> str:
    lines = [line for line in str(error).splitlines() if line.strip()]
    text = ' '.join(' '.join(lines).split())
    if lines and lines[0].startswith('Caught ') and 'Original Traceback' in text:  # from a data-loader worker
        text = lines[-1].strip()
    if isinstance(error, torch.cuda.OutOfMemoryError | MemoryError) or any(sign in text for sign in NO_MEMORY):
        return f'out of memory ({text[:100] or "of this machine"}). {SMALLER}'
    if text.startswith(WORKER_DIED):
        return (
            f'{text.split(". ")[0].rstrip(".")}. Usual cause: the machine ran out of memory and ended it; lower '
            'train_dataloader.num_workers or prefetch_factor, then use --resume.'
        )
    if isinstance(error, torch.distributed.DistError):
        return (
            f'the processes of this job cannot reach each other ({text[:200]}). If the port is in use, choose another '
            'with PORT=29511.'
        )
    if isinstance(error, OSError) and _errno(error) in MACHINE:
        return f'the machine failed: {text}. Repair that; a training run goes on with --resume.'
    return text or type(error).__name__
