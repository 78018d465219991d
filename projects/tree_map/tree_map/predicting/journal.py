"""What finished windows showed, kept beside the map that is being made, so that the same command goes on after a kill.

    .map.gpkg.parts/SCENE/run.json       what is being made: scene, checkpoint, settings
    .map.gpkg.parts/SCENE/0.sqlite       finished windows and their pieces, of each process

SQLite writes a batch as a whole or not at all, whatever ends the process. The folder goes when the map is written.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import shutil
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import shapely
from numpy.typing import NDArray

from data_prep.atomic import atomic_write
from data_prep.errors import DataError
from tree_map.pieces import Pieces

RUN = 'run.json'
TABLES = """
CREATE TABLE IF NOT EXISTS windows (number INTEGER PRIMARY KEY, note TEXT);
CREATE TABLE IF NOT EXISTS pieces (number INTEGER, score REAL, label INTEGER, outline BLOB);
"""
# Notes: NULL was looked at, EMPTY held nothing to look at, anything else says why it could not be read.
EMPTY = ''
FULL = ('disk is full', 'disk I/O error')  # how SQLite words it


@dataclass
class Found:
    """Pieces seen in some windows, and windows that held no data or could not be read."""

    windows: list[int] = field(default_factory=list)
    empty: list[int] = field(default_factory=list)  # windows without data
    outlines: list[shapely.Geometry] = field(default_factory=list)
    scores: list[float] = field(default_factory=list)
    labels: list[int] = field(default_factory=list)
    of: list[int] = field(default_factory=list)  # window of each outline
    unreadable: dict[int, str] = field(default_factory=dict)

    def add(self, window: int, outline: shapely.Geometry, score: float, label: int) -> None:
        """Note a piece."""
        self.of.append(window)
        self.outlines.append(outline)
        self.scores.append(score)
        self.labels.append(label)


class Journal:
    """The parts folder of one map, as one process writes it.

    Args:
        folder: Prepared by `begin`.
        rank: Number of the process.
    """

    def __init__(self, folder: Path, rank: int = 0) -> None:
        self.folder = folder
        with _as_os_errors(folder):
            self._base = sqlite3.connect(folder / f'{rank}.sqlite', isolation_level=None)
            self._base.executescript(f'PRAGMA locking_mode=EXCLUSIVE; PRAGMA journal_mode=WAL; {TABLES}')

    def add(self, found: Found) -> None:
        """Keep a batch: all of it, or after a kill nothing.

        Raises:
            OSError: If the disk is full.
        """
        rows = zip(found.of, found.scores, found.labels, shapely.to_wkb(found.outlines), strict=True)
        with _as_os_errors(self.folder):
            self._base.execute('BEGIN')
            self._base.executemany('INSERT INTO pieces VALUES (?, ?, ?, ?)', rows)
            notes = dict.fromkeys(found.windows) | dict.fromkeys(found.empty, EMPTY) | found.unreadable
            self._base.executemany('INSERT INTO windows VALUES (?, ?)', notes.items())
            self._base.execute('COMMIT')

    def close(self) -> None:
        """Let go of the file."""
        self._base.close()


@contextmanager
def parts_folder(out: Path) -> Iterator[Path]:
    """Hold the folder beside a map for one command.

    Raises:
        DataError: If another run makes the same map.
        OSError: If it cannot be made.
    """
    folder = out.with_name(f'.{out.name}.parts')
    folder.mkdir(exist_ok=True)
    lock = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise DataError(f'another run makes {out}; wait for it, or choose another --out') from None
        yield folder
    finally:
        os.close(lock)


def begin(folder: Path, run: Mapping[str, object]) -> str | None:
    """Prepare the folder: keep what an earlier run of the same map left, drop that of another.

    Args:
        folder: Of `parts_folder`.
        run: All that must be the same for a run to go on with another's work; plain types.

    Returns:
        What differs, where another run's work had to be dropped.
    """
    path, run, why = folder / RUN, json.loads(json.dumps(run)), None
    if path.is_file():
        before = json.loads(path.read_bytes())
        why = ', '.join(sorted(key for key in {*before, *run} if before.get(key) != run.get(key))) or None
        if why is None:
            return None
    for old in folder.iterdir():
        old.unlink()
    with atomic_write(path) as file:
        json.dump(run, file, indent=1)
    return why


def finished(folder: Path) -> set[int]:
    """Windows that need not be looked at again. Those that could not be read are forgotten, to be tried once more."""
    done = set()
    for base in _bases(folder):
        base.execute("DELETE FROM windows WHERE note != ''")
        done |= {number for (number,) in base.execute('SELECT number FROM windows')}
    return done


def read_pieces(folder: Path, windows_xywh: NDArray[np.int64]) -> tuple[Pieces, dict[int, str]]:
    """Collect what all processes found.

    Args:
        folder: Whose journals are closed.
        windows_xywh: Of the plan, (w, 4).

    Returns:
        Pieces ordered by window, whoever looked at it, over the windows that were looked at; and why others could not
        be read, by their row in the plan.
    """
    rows, seen, unreadable = [], [], {}
    for base in _bases(folder):
        rows += base.execute('SELECT number, score, label, outline FROM pieces ORDER BY rowid').fetchall()
        for number, note in base.execute('SELECT number, note FROM windows'):
            if note is None:
                seen.append(number)
            elif note != EMPTY:
                unreadable[number] = note
    rows.sort(key=lambda row: row[0])
    seen = np.array(sorted(seen), np.int64)
    numbers, scores, labels, outlines = (list(column) for column in zip(*rows, strict=True)) if rows else ([],) * 4
    pieces = Pieces(
        polygons=np.array(shapely.from_wkb(outlines), dtype=object).reshape(-1),
        scores=np.array(scores, np.float64),
        labels=np.array(labels, np.int64),
        windows=np.searchsorted(seen, np.array(numbers, np.int64)),
        windows_xywh=windows_xywh[seen],
    )
    return pieces, dict(sorted(unreadable.items()))


def drop(folder: Path) -> None:
    """Take the folder away, once the map is written."""
    shutil.rmtree(folder, ignore_errors=True)


def _bases(folder: Path) -> Iterator[sqlite3.Connection]:
    for path in sorted(folder.glob('*.sqlite')):
        with _as_os_errors(folder):
            base = sqlite3.connect(path, isolation_level=None)
            try:
                base.executescript(f'PRAGMA locking_mode=EXCLUSIVE; PRAGMA journal_mode=WAL; {TABLES}')
                yield base
            finally:
                base.close()


@contextmanager
def _as_os_errors(folder: Path) -> Iterator[None]:
    """SQLite's failures as the system's."""
    try:
        yield
    except sqlite3.OperationalError as error:
        full = any(sign in str(error) for sign in FULL)
        raise OSError(errno.ENOSPC if full else errno.EIO, f'{error}', str(folder)) from error
