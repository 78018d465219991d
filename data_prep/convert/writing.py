"""From documents to files: what goes into which file, all of it ready before the first is written."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from data_prep.atomic import atomic_path
from data_prep.convert import coco_writing, geojson, labelme, ogr
from data_prep.convert.document import Document
from data_prep.convert.reading import ROBOFLOW
from data_prep.errors import DataError
from data_prep.labels.coco_file import base_name
from data_prep.labels.strict_json import write_json

SUFFIXES = {'labelme': '.json', 'coco': '.json', 'geojson': '.geojson', 'gpkg': '.gpkg', 'roboflow': ''}
ROBOFLOW_SPLITS = {None: 'train', 'val': 'valid'}  # others keep their name


@dataclass
class Plan:
    """Files to write, by path, and what is to be said."""

    files: dict[Path, Callable[[Path], None]] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def add(self, path: Path, write: Callable[[Path], None]) -> None:
        """Add a file.

        Raises:
            DataError: If another one has this path.
        """
        if not path.name.isprintable():
            raise DataError(f'the name {path.name!r} holds a control character; rename the image')
        if path in self.files:
            raise DataError(f'two images would be written to {path}; rename one, or convert them one by one')
        self.files[path] = write


def plan_files(documents: Sequence[Document], to: str, out: Path, *, label_field: str, classes: Sequence[str]) -> Plan:
    """Decide what is written where.

    Args:
        documents: In the coordinates of the format, with the image's size where it takes one.
        to: labelme, coco, geojson, gpkg or roboflow.
        out: A file where the name ends as the format's files do, else a folder.
        label_field: Field of vector files for the class.
        classes: In the order of their ids; empty takes them from the sources.

    Raises:
        DataError: If ``out`` does not fit the format or the number of images.
    """
    one_file = out.suffix.lower() in ('.json', '.geojson', '.gpkg', '.shp') and not out.is_dir()
    if one_file and not (out.suffix.lower() == SUFFIXES[to] or (to == 'geojson' and out.suffix.lower() == '.json')):
        wanted = f'a {SUFFIXES[to]} file or a folder' if SUFFIXES[to] else 'a folder'
        raise DataError(f'--out must be {wanted} for --to {to}; got {out}')
    plan = Plan()
    if to in ('coco', 'roboflow'):
        _plan_coco(plan, documents, to, out, one_file, classes)
        return plan
    if one_file and len(documents) != 1:
        raise DataError(f'--out {out} is one file, and there are {len(documents)} images; name a folder')
    for document in documents:
        folder = out / document.split if document.split else out
        path = out if one_file else folder / f'{document.name}{SUFFIXES[to]}'
        plan.add(path, _writer(plan, document, to, label_field))
    return plan


def _writer(plan: Plan, document: Document, to: str, label_field: str) -> Callable[[Path], None]:
    if to == 'gpkg':
        ogr.check(document, label_field)
        if keys := sorted({*document.extra, *document.dataset}):
            plan.notes.append(f'{document.source}: GeoPackage holds objects alone; left out are {", ".join(keys)}')
        return partial(ogr.write, document=document, label_field=label_field)
    content = geojson.write(document, label_field) if to == 'geojson' else labelme.write(document, document.size_wh)
    return partial(_write_json, content=content)


def _write_json(path: Path, content: object) -> None:
    write_json(path, content)


def _plan_coco(
    plan: Plan, documents: Sequence[Document], to: str, out: Path, one_file: bool, classes: Sequence[str]
) -> None:
    categories = coco_writing.number_categories(documents, classes)
    plan.warnings += categories.warnings
    by_split: dict[str | None, list[Document]] = {}
    for document in documents:
        by_split.setdefault(document.split, []).append(document)
    if one_file and len(by_split) > 1:
        raise DataError(f'--out {out} is one file, and there are {len(by_split)} splits; name a folder')
    for split, members in by_split.items():
        folder = out / ROBOFLOW_SPLITS.get(split, str(split))
        if to == 'roboflow':
            _plan_images(plan, members, folder)
        content, warnings = coco_writing.write(members, categories)
        plan.warnings += warnings
        name = f'instances_{split}.json' if split else 'instances.json'
        path = folder / ROBOFLOW if to == 'roboflow' else out if one_file else out / name
        plan.add(path, partial(_write_json, content=content))


def _plan_images(plan: Plan, documents: Sequence[Document], folder: Path) -> None:
    """Roboflow's images lie beside their file, in no further folder."""
    for document in documents:
        document.file_name = base_name(document.file_name)
        plan.add(folder / document.file_name, partial(_copy, source=document.image))


def _copy(path: Path, source: Path) -> None:
    with atomic_path(path) as temporary:
        shutil.copyfile(source, temporary)


def write_files(
    plan: Plan, sources: Sequence[Path], *, overwrite: bool, on_file: Callable[[], object] = lambda: None
) -> None:
    """Write all files; after an error those that were new are gone again.

    Raises:
        DataError: If a file exists and may not be replaced, or is a source.
        OSError: If writing fails.
    """
    read = {os.path.realpath(path) for path in sources}
    for path in plan.files:
        if os.path.realpath(path) in read:
            raise DataError(f'{path} would be written over its source; choose another --out')
        if path.is_dir():
            raise DataError(f'{path} must be a file; a folder is there; choose another --out')
        if os.path.lexists(path) and not overwrite:
            raise DataError(f'{path} exists; choose another --out, or pass --overwrite')
    made: list[Path] = []
    try:
        for path, write in plan.files.items():
            made += _make_folders(path.parent)
            if not os.path.lexists(path):
                made.append(path)
            write(path)
            on_file()
    except BaseException as error:
        _remove(made)
        if isinstance(error, UnicodeEncodeError):
            raise DataError(f'{path}: a label or key holds half a character (a lone surrogate); correct it') from None
        raise


def _make_folders(folder: Path) -> list[Path]:
    """Make missing folders; outermost first.

    Raises:
        DataError: If a file is in the way.
    """
    missing = [path for path in (*reversed(folder.parents), folder) if not path.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError):
        raise DataError(f'--out {folder} must be a folder; a file is there; choose another name') from None
    return missing


def _remove(made: Sequence[Path]) -> None:
    for path in reversed(made):
        with suppress(OSError):
            path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink()
