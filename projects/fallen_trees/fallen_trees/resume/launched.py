"""One process of a job, towards the launcher that started it and starts it again (`tools/torchrun.py`).

Two files in the launcher's folder:

    begun   the work dir is this job's, so a restarted job goes on from what lies there
    end     the exit code of a job that is over, though not done; the launcher does not restart it
"""

import ctypes
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from data_prep.atomic import atomic_write

PR_SET_PDEATHSIG = 1  # of prctl(2)
# A job that its guard, its input or a signal has ended would end so again. A machine's failure may pass.
FINAL = (1, 2, *(128 + number for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)))


def end_with_parent(signum: int, parent: int) -> None:
    """Have the kernel send this process a signal when its parent dies, however that dies.

    Args:
        signum: The signal.
        parent: Process id of the parent, which may be gone already.
    """
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signum)
    if os.getppid() != parent:
        os.kill(os.getpid(), signum)


@contextmanager
def ends_said() -> Iterator[None]:
    """Tell the launcher, if one of ours started this process, when a restart would be of no use.

    A process whose launcher dies is ended as by SIGTERM: with a checkpoint, instead of running on unseen.
    """
    folder = _folder()
    if folder is None:
        yield
        return
    end_with_parent(signal.SIGTERM, int(os.environ['LAUNCHER_PID']))
    try:
        yield
    except SystemExit as stop:
        if stop.code in FINAL and not (folder / 'end').exists():
            _write(folder / 'end', str(stop.code))
            with suppress(ProcessLookupError):
                os.kill(int(os.environ['LAUNCHER_PID']), signal.SIGTERM)
        raise


def say_begun() -> None:
    """Tell the launcher that this job's checkpoints are the ones in the work dir."""
    if _folder() is not None:
        _write(_folder() / 'begun', '')


def restarts() -> int:
    """How often the job was started again, so that it has to go on from its own checkpoints.

    0 also when it died before it took over the work dir: what lies there then is an older run's.
    """
    begun = _folder() is None or (_folder() / 'begun').exists()
    return int(os.environ.get('TORCHELASTIC_RESTART_COUNT', 0)) if begun else 0


def _folder() -> Path | None:
    """The launcher's, if this process is a child of one of ours."""
    if os.environ.get('LAUNCHER_PID') != str(os.getppid()) or not os.environ.get('LAUNCHER_FOLDER'):
        return None
    return Path(os.environ['LAUNCHER_FOLDER'])


def _write(path: Path, text: str) -> None:
    with suppress(OSError), atomic_write(path) as file:
        file.write(text)
