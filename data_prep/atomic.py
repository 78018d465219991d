"""Files that appear whole or not at all: written beside their target, synced, then renamed over it."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO


def sync_folder(folder: str | os.PathLike[str]) -> None:
    """Make the renames inside a folder survive a power cut."""
    fd = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


@contextmanager
def atomic_write(path: str | os.PathLike[str], mode: str = 'w', *, sync: bool = True) -> Iterator[IO]:
    r"""Open a file for writing that replaces ``path`` only when the block ends without an error.

    Args:
        path: Target; its folder must exist. A file already there stays untouched until the new one is complete.
        mode: ``'w'`` for UTF-8 text with ``\n`` line ends, ``'wb'`` for bytes.
        sync: Wait until the bytes are on disk. False only inside a folder that is synced as a whole before it is
            renamed into place (see ``staging``).

    Yields:
        The open temporary file, in the folder of ``path``, created with the permissions the umask gives.
        After the block ``path`` holds the old content or the new, never a part, and no temporary file is left.

    Raises:
        ValueError: If the mode is not ``'w'`` or ``'wb'``.
        OSError: If the folder is missing, not writable or full.
    """
    with atomic_path(path, sync=sync) as temporary:
        if mode not in ('w', 'wb'):
            raise ValueError(f"mode must be 'w' or 'wb'; got {mode!r}")
        text = {'encoding': 'utf-8', 'newline': '\n'} if mode == 'w' else {}
        with open(temporary, mode, **text) as file:
            yield file


@contextmanager
def atomic_path(path: str | os.PathLike[str], *, sync: bool = True) -> Iterator[Path]:
    """Name a temporary file for a library that writes by name; it replaces ``path`` when the block ends well.

    Args:
        path: Target; its folder must exist.
        sync: As in ``atomic_write``.

    Yields:
        An existing empty file in the same folder, with the same suffix as ``path``.
    """
    path = Path(path)
    temporary = path.with_name(f'.{path.stem[:60]}.{secrets.token_hex(6)}{path.suffix}')
    os.close(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666))
    try:
        yield temporary
        if sync:
            sync_file(temporary)
        os.replace(temporary, path)
    except BaseException:
        with suppress(FileNotFoundError):
            os.unlink(temporary)
        raise
    if sync:
        sync_folder(path.parent)


def sync_file(path: str | os.PathLike[str]) -> None:
    """Wait until a written file's bytes are on disk."""
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
