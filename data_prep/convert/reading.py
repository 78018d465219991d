"""What lies in an input: label files told by their content, and folders laid out as Roboflow, Cityscapes or IDD do."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from data_prep.convert import cityscapes, coco_reading, geojson, labelme, ogr
from data_prep.convert.document import Document
from data_prep.errors import DataError
from data_prep.labels.strict_json import read_json
from data_prep.scenes import LABEL_SUFFIXES, json_kind

ROBOFLOW = '_annotations.coco.json'
SPLITS = {'train': 'train', 'valid': 'val', 'val': 'val', 'test': 'test'}


def find_files(inputs: Sequence[Path]) -> list[Path]:
    """Label files of all inputs: files as named, folders by their layout, else flat.

    Raises:
        DataError: If an input does not exist or holds no label file.
    """
    found: dict[Path, None] = {}
    for path in inputs:
        if not path.exists():
            raise DataError(f'{path} does not exist; name label files, or folders that hold them')
        for file in _files(path) if path.is_dir() else [path]:
            found.setdefault(file, None)
    return list(found)


def _files(folder: Path) -> list[Path]:
    for layout in (f'*/{ROBOFLOW}', ROBOFLOW, 'annotations/instances_*.json'):
        if files := sorted(folder.glob(layout)):
            return files
    if files := cityscapes.find_files(folder):
        return files
    files = sorted(file for file in folder.iterdir() if file.suffix.lower() in LABEL_SUFFIXES and file.is_file())
    if not files:
        raise DataError(f'{folder} holds no label file; wanted are {", ".join(LABEL_SUFFIXES)}, or the layout of '
                        f'Roboflow ({ROBOFLOW}) or Cityscapes (gtFine)')  # fmt: skip
    return files


def read_documents(
    files: Sequence[Path],
    label_field: str,
    *,
    clip: bool = True,
    classes: Sequence[str] = (),
    on_file: Callable[[], object] = lambda: None,
) -> tuple[list[Document], list[str]]:
    """Read label files of any format.

    Args:
        files: From ``find_files``.
        label_field: Field of vector files that holds the class.
        clip: Of Cityscapes: take later polygons out of earlier ones.
        classes: To keep, other labels are left out; empty keeps all (of Cityscapes, what it evaluates).
        on_file: Called after each file.

    Returns:
        One document for each image or vector file, and the classes in the order of their ids where that is known.

    Raises:
        DataError: If a file is of no known format, is broken, or two files label the same image.
    """
    plain: list[Document] = []
    drawn: list[Document] = []
    for path in files:
        for kind, documents in _read(path, label_field, clip):
            (drawn if kind == 'cityscapes' else plain).extend(documents)
        on_file()
    ids = list(classes)
    if drawn:
        ids, drawn = cityscapes.things(drawn, classes)
        ids = ids if not plain else list(classes)
    if classes:
        for document in plain:
            _keep(document, set(classes))
    documents = [*plain, *drawn]
    _refuse_doubles(documents)
    return documents, ids


def _read(path: Path, label_field: str, clip: bool) -> Iterator[tuple[str, list[Document]]]:
    suffix = path.suffix.lower()
    if suffix in ('.gpkg', '.shp'):
        yield 'vectors', ogr.read(path, label_field)
        return
    if suffix not in ('.json', '.geojson'):
        raise DataError(f'{path} must end in .json, .geojson, .gpkg or .shp')
    content = read_json(path)
    kind = 'cityscapes' if cityscapes.is_cityscapes(content) else json_kind(path, content)
    if kind == 'cityscapes':
        yield kind, cityscapes.read(path, content, clip=clip)
    elif kind == 'labelme':
        yield kind, labelme.read(path, content)
    elif kind == 'geojson':
        yield kind, geojson.read(path, content, label_field)
    else:
        yield kind, coco_reading.read(path, content, split_of(path))


def split_of(path: Path) -> str | None:
    """Split that a COCO file's place or name says: ``valid/_annotations.coco.json``, ``instances_val.json``."""
    if path.name == ROBOFLOW:
        return SPLITS.get(path.absolute().parent.name)
    found = re.fullmatch(r'instances_(train|val|valid|test)', path.stem)
    return SPLITS[found[1]] if found else None


def _keep(document: Document, classes: set[str]) -> None:
    """Leave other labels out, and say how many."""
    kept = [item for item in document.items if item.label in classes]
    if len(kept) < len(document.items):
        left = len(document.items) - len(kept)
        document.notes.append(f'{document.source}: {left} objects of labels that are not in --classes are left out')
        document.items = kept


def _refuse_doubles(documents: Sequence[Document]) -> None:
    seen: dict[tuple[str | None, str], Document] = {}
    for document in documents:
        other = seen.setdefault((document.split, document.name.casefold()), document)
        if other is not document:
            raise DataError(f'{other.source} and {document.source} both label {document.name}; convert them one by one')
