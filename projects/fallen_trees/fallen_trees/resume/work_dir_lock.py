"""Two runs never share a work dir."""

import fcntl
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fallen_trees.errors import ConfigError

LOCK = '.lock'


@contextmanager
def locked(work_dir: str | Path) -> Iterator[str | None]:
    """Hold a work dir for as long as the block lasts; the kernel lets go of it when the process dies, however it dies.

    Only the first process of a job takes the lock.

    Yields:
        A line for the log where the folder's file system knows no locks, else None.

    Raises:
        ConfigError: If another run holds it.
    """
    if int(os.environ.get('RANK', 0)):
        yield None
        return
    path = Path(work_dir, LOCK)
    path.parent.mkdir(parents=True, exist_ok=True)
    fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        yield _take(fd, path)
    finally:
        os.close(fd)


def _take(fd: int, path: Path) -> str | None:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.read(fd, 200).decode(errors='replace').strip() or 'unknown'
        raise ConfigError(
            f'another run writes to {path.parent} ({holder}). Wait for it, or choose another --work-dir.'
        ) from None
    except OSError as error:
        return f'{path.parent} cannot be locked ({error.strerror}): see to it that no other run writes there.'
    os.ftruncate(fd, 0)
    os.write(fd, f'process {os.getpid()} on {socket.gethostname()}\n'.encode())
    return None
