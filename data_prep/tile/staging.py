"""A folder that appears whole or not at all.

    data/.trees.partial/data/      is filled, locked by its process
    data/.trees.partial/journal/   which parts are finished, see ``journal``
    data/trees/                    appears by one rename at the end

The next run goes on with what a stopped one left.
"""

from __future__ import annotations

import fcntl
import glob
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from data_prep.atomic import sync_file, sync_folder
from data_prep.errors import DataError

DATA, JOURNAL = 'data', 'journal'
RUN = 'run.json'  # in the journal: what the run makes
MARKER = 'TRACKING.json'  # a folder that holds it was made here and may be replaced


def check_out(out: Path, sources: list[Path], *, overwrite: bool) -> Path:
    """Refuse an output folder that must not be touched, before any work is done.

    Args:
        out: Where the data set shall lie.
        sources: Files it is made from.
        overwrite: Whether an older data set there may be replaced.

    Returns:
        The folder as an absolute path without links.

    Raises:
        DataError: If it exists and may not be replaced, is not a data set, or holds a source.
    """
    out = Path(os.path.realpath(out))
    _recover(out)
    for source in sources:
        if Path(os.path.realpath(source)).is_relative_to(out):
            raise DataError(f'--out {out} must not hold the sources; {source} lies in it; choose another folder')
    if not os.path.lexists(out) or (out.is_dir() and not any(out.iterdir())):
        return out
    if not out.is_dir():
        raise DataError(f'--out {out} must be a folder; a file is there; choose another name')
    if not overwrite:
        raise DataError(f'--out {out} exists and is not empty; choose another folder, or pass --overwrite')
    if not (out / MARKER).is_file():
        raise DataError(f'--out {out} is not a data set made here (no {MARKER}), so --overwrite leaves it alone')
    return out


@contextmanager
def staged_folder(out: Path) -> Iterator[Path]:
    """Hold a hidden sibling folder whose ``data`` takes the place of ``out`` when the block ends without an error.

    Args:
        out: Checked by ``check_out``. Missing parents are made, and removed again where nothing stays.

    Yields:
        The folder, locked: it holds what an earlier run of the same ``out`` left there when it was stopped. After a
        ``DataError``, or where nothing in it is finished, it is gone; after other errors and signals it stays for the
        next run. ``out`` is as it was unless the block ended well.

    Raises:
        DataError: If another run fills it.
        OSError: If the parent folder cannot be made, is not writable, or is full.
    """
    made = _make_parents(out.parent)
    staging = out.with_name(f'.{out.name}.partial')
    lock = None
    try:
        lock = _lock(staging)
        yield staging
        _sync_tree(staging / DATA)
        _replace(staging / DATA, out)
        shutil.rmtree(staging, ignore_errors=True)
    except BaseException as error:
        if lock is not None and (isinstance(error, DataError) or not _holds_work(staging)):
            shutil.rmtree(staging, ignore_errors=True)
        for folder in made:
            with suppress(OSError):
                folder.rmdir()
        raise
    finally:
        if lock is not None:
            os.close(lock)


def _holds_work(staging: Path) -> bool:
    journal = staging / JOURNAL
    return journal.is_dir() and any(path.name != RUN for path in journal.glob('[!.]*'))


def _make_parents(folder: Path) -> list[Path]:
    """Make missing folders; return them, innermost first."""
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    return missing


def _lock(folder: Path) -> int:
    """Make and lock a folder until the returned descriptor is closed; the system lets go when the process dies."""
    while True:
        folder.mkdir(exist_ok=True)
        fd = os.open(folder, os.O_RDONLY)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if folder.is_dir() and os.path.samestat(os.stat(folder), os.fstat(fd)):
                return fd
            os.close(fd)  # a run that has ended since took it away
        except BlockingIOError:
            os.close(fd)
            raise DataError(f'another run fills {folder}; wait for it, or choose another --out') from None


def _sync_tree(folder: Path) -> None:
    """Wait until all files are on disk, so that a power cut cannot leave a renamed folder of empty files."""
    for parent, _, names in os.walk(folder):
        for name in names:
            sync_file(os.path.join(parent, name))
        sync_folder(parent)


def _replace(made: Path, out: Path) -> None:
    """Rename the new folder into place; the old one is put back if that fails."""
    old = out.with_name(f'.{out.name}.old-{os.getpid()}')
    if out.is_dir() and any(out.iterdir()):
        os.rename(out, old)
    try:
        os.rename(made, out)
    except BaseException:
        _recover(out)
        raise
    sync_folder(out.parent)
    shutil.rmtree(old, ignore_errors=True)


def _recover(out: Path) -> None:
    """Finish or undo a replacement that a kill broke between its two renames."""
    for old in out.parent.glob(f'.{glob.escape(out.name)}.old-*'):
        if os.path.lexists(out):
            shutil.rmtree(old, ignore_errors=True)
        else:
            os.rename(old, out)
