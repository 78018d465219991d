"""A tool in a process of its own: it ends with whoever started it, keeps a lock while it lives, and logs to a file."""

import fcntl
import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from fallen_trees.errors import ConfigError
from fallen_trees.resume.launched import end_with_parent

GRACE_S = 120  # to finish a step and save; then a process that was told to end is killed


def lock(path: Path) -> int | None:
    """Lock a file that every process started with the lock keeps locked, until the last of them is gone.

    Returns:
        A file descriptor, or None while somebody else holds the lock. Where the file system knows no locks, one that
        guards nothing.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(fd)
        return None
    except OSError:
        pass
    return fd


def lock_file_of(folder: Path) -> Path:
    """The file beside a folder that is locked while anybody works in it."""
    return folder.with_name(f'.{folder.name}.lock')


def set_aside(folder: Path, name: str) -> Path:
    """Rename a folder of results that are not wanted any more; nothing is deleted.

    Args:
        folder: Of a unit or a stage.
        name: What it is called in messages.

    Raises:
        ConfigError: If somebody works in it.
    """
    fd = lock(lock_file_of(folder))
    if fd is None:
        raise ConfigError(f'{name}: its settings have changed, but another process works on it; stop that first.')
    try:
        names = (folder.with_name(f'{folder.name}.replaced_{number}') for number in range(1, 1000))
        return folder.rename(next(path for path in names if not path.exists()))
    finally:
        os.close(fd)


class Process:
    """A running tool.

    It has a session of its own, so that a terminal's Ctrl-C reaches it only through us and not twice: a training run
    takes a second signal for an order to end at once. If we die, however, the kernel tells it to save and end.

    Args:
        command: With the interpreter.
        log: File that takes what it says, at its end.
        lock_fd: Of a lock that it holds as long as it lives.
        threads: For arithmetic, unless the environment says.
        variables: Of the environment, beside those we have ourselves.
    """

    def __init__(
        self, command: Sequence[str], log: Path, lock_fd: int, threads: int, variables: Mapping[str, str] | None = None
    ) -> None:
        parent = os.getpid()
        environment = {'OMP_NUM_THREADS': str(threads), **os.environ, **(variables or {})}
        fd = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
        try:
            self.log, self._log_start = log, os.fstat(fd).st_size
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=fd, stderr=fd, env=environment, pass_fds=[lock_fd],
                start_new_session=True, preexec_fn=lambda: end_with_parent(signal.SIGTERM, parent),
            )  # fmt: skip
        finally:
            os.close(fd)
        self._started, self._kill_at = time.monotonic(), float('inf')

    @property
    def seconds(self) -> float:
        """Since it was started."""
        return time.monotonic() - self._started

    def code(self) -> int | None:
        """Its exit code as a shell sees it, None while it runs."""
        code = self._process.poll()
        if code is None and time.monotonic() > self._kill_at:
            self._process.kill()
        return code if code is None or code >= 0 else 128 - code

    @property
    def pid(self) -> int:
        """Of the process."""
        return self._process.pid

    def tell(self, signum: int) -> None:
        """Pass a signal on; if that does not end it within two minutes, it is killed."""
        if self._process.poll() is None:
            self._process.send_signal(signum)
            self._kill_at = min(self._kill_at, time.monotonic() + GRACE_S)

    def last_words(self) -> str:
        """The line that says why it ended, as far as it said so."""
        said = self.errors() or [line.strip() for line in self._lines() if line.strip()]
        return said[-1] if said else 'it said nothing'

    def errors(self) -> list[str]:
        """What it said was wrong, in one line each; nothing after a traceback of ours."""
        return [line.removeprefix('error: ') for line in self._lines() if line.startswith('error: ')]

    def _lines(self) -> list[str]:
        with open(self.log, 'rb') as file:
            file.seek(self._log_start)
            return file.read().decode(errors='replace').splitlines()
