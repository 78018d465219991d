"""The folder of a run: which options its scenes have, which of them are finished, and what a killed run left."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from data_prep.atomic import atomic_write, sync_file, sync_folder
from data_prep.errors import DataError
from data_prep.synth.settings import Options

TRUTH = 'truth'  # sub-folder: beside the raster, a GeoPackage would be a second label file
OPTIONS = 'synth.json'  # in TRUTH: beside the rasters, it would be a label file without one
FILES = (f'{TRUTH}/{{}}.gpkg', '{}.tif', '{}.json')  # of a scene, in the order in which they appear


@dataclass(frozen=True)
class Written:
    """Counts of one scene: fallen trees, and labelled ones."""

    name: str
    trees: int
    labelled: int


def scene_name(index: int) -> str:
    """Stem of a scene's files; `index` counts from 0."""
    return f'synth_{index:02d}'


@contextmanager
def opened(out: Path, options: Options, *, overwrite: bool) -> Iterator[None]:
    """Hold a folder for one run; scenes of the same options that are finished stay in it.

    Args:
        out: Made if it is absent.
        options: Of the run. How many scenes it draws is of no matter.
        overwrite: Whether scenes that are there go, whatever their options.

    Raises:
        DataError: If it is no folder, another run fills it, or its scenes have other options and may not go.
    """
    if out.exists() and not out.is_dir():
        raise DataError(f'--out {out} must be a folder; a file is there; choose another name')
    (out / TRUTH).mkdir(parents=True, exist_ok=True)
    with _locked(out):
        _refuse_others(out, options, overwrite)
        _remove(_half_made(out))
        if overwrite:
            _remove(_scene_files(out))
        with atomic_write(out / TRUTH / OPTIONS) as file:
            json.dump(_content(options), file)
        try:
            yield
        finally:
            _remove(_half_made(out))  # of worker processes that were stopped


@contextmanager
def appearing(out: Path, name: str) -> Iterator[Path]:
    """Hidden folder for the files of one scene, which take their places when the block ends well.

    It lies in TRUTH, where nobody looks for rasters. The labels come last: a scene that has them is whole.
    """
    half_made = out / TRUTH / f'.{name}.partial'
    (half_made / TRUTH).mkdir(parents=True)
    try:
        yield half_made
        for file in FILES:
            sync_file(half_made / file.format(name))
        for file in FILES:
            os.replace(half_made / file.format(name), out / file.format(name))
            sync_folder((out / file.format(name)).parent)
    finally:
        shutil.rmtree(half_made, ignore_errors=True)


def finished(out: Path, index: int) -> Written | None:
    """Counts of a scene all of whose files are there, else None."""
    name = scene_name(index)
    if not all((out / file.format(name)).is_file() for file in FILES):
        return None
    with suppress(sqlite3.Error), closing(sqlite3.connect(out / TRUTH / f'{name}.gpkg')) as base:
        labelled = [value for (value,) in base.execute('SELECT labelled FROM outlines')]
        return Written(name, len(labelled), sum(labelled))
    return None


def _content(options: Options) -> dict[str, Any]:
    """What must be the same for scenes to belong together, as JSON gives it back: options, and what draws them."""
    code = hashlib.sha256(b''.join(path.read_bytes() for path in sorted(Path(__file__).parent.glob('*.py'))))
    options = {key: value for key, value in json.loads(json.dumps(asdict(options))).items() if key != 'scenes'}
    return options | dict(drawn_by=code.hexdigest()[:12])


def _refuse_others(out: Path, options: Options, overwrite: bool) -> None:
    there = next(iter(_scene_files(out)), None)
    if overwrite or there is None:
        return
    try:
        known = json.loads((out / TRUTH / OPTIONS).read_bytes())
    except (OSError, ValueError):
        known = {}
    asked = _content(options)
    if known != asked:
        other = ', '.join(key for key in asked if not isinstance(known, dict) or known.get(key) != asked[key])
        raise DataError(f'--out {out} holds {there.name}, drawn with other options ({other}); choose another folder, '
                        f'or pass --overwrite')  # fmt: skip


def _scene_files(out: Path) -> list[Path]:
    """Files of all scenes, labels before rasters, so that what is left of a scene never looks whole."""
    found = [path for pattern in ('*.json', '*.tif', f'{TRUTH}/*.gpkg') for path in sorted(out.glob(pattern))]
    return [path for path in found if re.fullmatch(r'synth_\d{2,4}', path.stem) and path.is_file()]


def _half_made(out: Path) -> list[Path]:
    return [path for path in (out / TRUTH).glob('.*') if re.fullmatch(r'\.synth(_.*\.partial|\..*\.json)', path.name)]


def _remove(paths: list[Path]) -> None:
    for path in paths:
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()


@contextmanager
def _locked(out: Path) -> Iterator[None]:
    """Keep other runs away; the system lets go when the process dies."""
    fd = os.open(out / TRUTH, os.O_RDONLY)
    try:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise DataError(f'--out {out} is being filled by another run; wait, or choose another folder') from None
        yield
    finally:
        os.close(fd)
