"""COCO files as anyone writes them, found in a data set's folder and read as far as drawing and measuring need it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from data_prep.coco import Record
from data_prep.errors import DataError
from data_prep.labels.coco_file import CocoFile, parse_coco
from data_prep.labels.strict_json import read_json

OURS, ROBOFLOW = 'annotations/instances_*.json', '*/_annotations.coco.json'
ORDER = {'train': 0, 'val': 1, 'valid': 1, 'test': 2}


@dataclass(frozen=True)
class CocoSplit:
    """One COCO file; every annotation has its image and a class."""

    name: str  # train, val, test, or what the file is called
    coco: CocoFile
    classes: dict[int, str]  # by category id

    @property
    def path(self) -> Path:
        """The file."""
        return self.coco.path

    @property
    def root(self) -> Path:
        """The data set's folder."""
        return self.path.parent.parent if self.path.parent.name == 'annotations' else self.path.parent

    @property
    def image_folders(self) -> list[Path]:
        """Where its images may lie, most likely first."""
        return [self.root / 'images' / self.name, self.path.parent, self.root / self.name, self.root / 'images',
                self.root]  # fmt: skip

    @property
    def entries(self) -> list[Record]:
        """Image entries in the order of the file."""
        return list(self.coco.images.values())

    def parts(self, entry: Record) -> list[Record]:
        """Annotations of an image, in the order of the file."""
        return [part for _, part in self.coco.annotations[entry['id']]]

    def class_name(self, part: Record) -> str:
        """Class of an annotation."""
        return self.classes[part['category_id']]

    def where(self, entry: Record, part: Record) -> str:
        """Place of an annotation, for messages."""
        return f'{self.path}, annotation {part.get("id")} ({entry["file_name"]})'


def is_coco(path: Path) -> bool:
    """Whether a path is meant as COCO: a ``.json`` file, or a folder that holds COCO files where data sets do."""
    return path.suffix.lower() == '.json' if path.is_file() else bool(_files(path))


def _files(folder: Path) -> list[Path]:
    return sorted(folder.glob(OURS)) or sorted(folder.glob(ROBOFLOW))


def read_splits(inputs: Sequence[Path], only: Sequence[str] = ()) -> list[CocoSplit]:
    """Read COCO files, in the order train, val, test, others.

    Args:
        inputs: Files, or folders with ``annotations/instances_SPLIT.json`` or ``SPLIT/_annotations.coco.json``.
        only: Names of the splits wanted; empty takes all.

    Raises:
        DataError: If a path holds no COCO file, one is damaged, or a split asked for is missing.
    """
    named = [(_split_name(file), file) for path in inputs for file in _coco_files(path)]
    names = [name for name, _ in named]
    if missing := [name for name in only if name not in names]:
        raise DataError(f'--split {missing[0]} is not there; splits are {", ".join(sorted(set(names)))}')
    if len(set(names)) < len(names):
        raise DataError(f'two files are of the same split: {", ".join(str(file) for _, file in named)}; pass one')
    wanted = [item for item in named if not only or item[0] in only]
    return [read_split(file, name) for name, file in sorted(wanted, key=lambda item: (ORDER.get(item[0], 3), item))]


def _coco_files(path: Path) -> list[Path]:
    if path.is_file():
        return [path]
    found = _files(path)
    if not found:
        raise DataError(f'{path} must be a COCO .json or a folder that holds {OURS} or {ROBOFLOW}; it is neither')
    return found


def _split_name(file: Path) -> str:
    return file.parent.name if file.name == '_annotations.coco.json' else file.stem.removeprefix('instances_')


def read_split(path: Path, name: str) -> CocoSplit:
    """Read one COCO file.

    Raises:
        DataError: If it is not COCO, an image has no size, or an annotation no box of four numbers or no class.
    """
    content = read_json(path)
    if not isinstance(content, dict):
        raise DataError(f'{path} must be a COCO file, an object with images; got {type(content).__name__}')
    coco = parse_coco(path, content)
    for entry in coco.images.values():
        size = (entry.get('width'), entry.get('height'))
        if not all(type(side) is int and 0 < side < 1 << 24 for side in size):
            raise DataError(f'{path}: image {entry["id"]} must have a width and a height in whole pixels; got '
                            f'{size[0]!r} x {size[1]!r}')  # fmt: skip
    for number, part in (item for parts in coco.annotations.values() for item in parts):
        coco.label(number, part)  # raises where there is no such category
        _check_box(part, f'{path}, annotation {number}')
    return CocoSplit(name, coco, {key: str(entry.get('name', key)) for key, entry in coco.categories.items()})


def _check_box(part: Record, where: str) -> None:
    box = part.get('bbox')
    if not box:  # a segmentation is enough
        return
    try:
        good = np.shape(box) == (4,) and np.isfinite(np.asarray(box, float)).all()
    except (TypeError, ValueError, OverflowError):
        good = False
    if not good:
        raise DataError(f'{where}: bbox must be x, y, width, height; got {str(box)[:60]}; see check')
