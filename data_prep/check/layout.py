"""Where a data set keeps its COCO files and their images.

    FOLDER/annotations/instances_SPLIT.json   FOLDER/images/SPLIT/     ours; COCO's has FOLDER/SPLIT/
    FOLDER/annotations/fold_K/instances_SPLIT.json   the same        ours, for cross-validation
    FOLDER/SPLIT/_annotations.coco.json       FOLDER/SPLIT/            Roboflow
    FOLDER/any.json                           FOLDER/images/ or FOLDER/

The first folder that holds one of the listed images is taken.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from data_prep.errors import DataError

ROBOFLOW = '_annotations.coco.json'
PREFIX = 'instances_'
FOLD = 'fold_'
PACK_INDEX = 'index.json'  # of a folder whose images are packed (data_prep.pack)
ORDER = {'train': 0, 'val': 1, 'valid': 1, 'test': 2}  # of splits in tables
# Backslash, control characters, halves of surrogate pairs; a drive or the scheme of a URL at the start.
UNSAFE = re.compile(r'[\\\x00-\x1f\x7f\ud800-\udfff]|^[A-Za-z]:|^\w+://')
TRIED = 20  # images looked for in a folder before it counts as another set's


@dataclass(frozen=True)
class CocoFile:
    """A COCO file and where its images may lie."""

    path: Path
    split: str
    folders: tuple[Path, ...]  # candidates, best first
    given: bool = False  # the user named the folder
    root: Path | None = None  # the data set's folder, from which the key ``source`` of its images counts

    @property
    def own_folder(self) -> Path | None:
        """The folder that belongs to this split alone, so that a file no entry lists is a mistake."""
        return None if self.root is None or self.given or not self.path.name.startswith(PREFIX) else self.folders[0]


def find_coco(path: Path, images: Path | None = None) -> list[CocoFile]:
    """COCO files of a data set folder, or the one that is named.

    Args:
        path: Folder or COCO file.
        images: Folder of the images; None guesses it from the layout.

    Raises:
        DataError: If there is no such file or folder, or no COCO file in the folder.
    """
    if images is not None and not images.is_dir():
        raise DataError(f'--images must be a folder; {images} is none')
    if path.is_dir():
        found = _in_folder(path)
        if not found:
            raise DataError(f'{path} must hold annotations/{PREFIX}SPLIT.json or SPLIT/{ROBOFLOW}; it holds neither; '
                            'name the COCO file itself')  # fmt: skip
    elif path.is_file():
        found = [path]
    else:
        raise DataError(f'{path} must be a data set folder or a COCO file; nothing is there')
    return [_coco_file(item, images) for item in found]


def _in_folder(folder: Path) -> list[Path]:
    annotations = folder / 'annotations'
    found = sorted([*annotations.glob(f'{PREFIX}*.json'), *annotations.glob(f'{FOLD}*/{PREFIX}*.json')])
    patterns = ('annotations/*.json', f'*/{ROBOFLOW}', ROBOFLOW)
    found = found or next((found for pattern in patterns if (found := sorted(folder.glob(pattern)))), [])
    return sorted(found, key=lambda path: (path.parent, ORDER.get(_kind(path), len(ORDER))))


def _kind(path: Path) -> str:
    """Name of the split, without its fold."""
    return path.parent.name if path.name == ROBOFLOW else path.stem.removeprefix(PREFIX)


def _coco_file(path: Path, images: Path | None) -> CocoFile:
    parent = Path(os.path.abspath(path)).parent
    kind = split = _kind(parent / path.name)
    home = parent
    if parent.name.startswith(FOLD):
        home, split = parent.parent, f'{parent.name}/{kind}'
    root = home.parent if home.name == 'annotations' else None
    if images is not None:
        return CocoFile(path, split, (images / kind, images), given=True, root=root)
    if root is not None:
        return CocoFile(path, split, (root / 'images' / kind, root / kind, root / 'images', root), root=root)
    return CocoFile(path, split, (parent, parent / 'images', parent / kind))


def image_folder(file: CocoFile, names: Sequence[str]) -> Path | None:
    """The candidate that holds the listed images.

    Args:
        file: The COCO file.
        names: Safe ``file_name`` entries.

    Returns:
        The first candidate where one of the first names exists; else the folder the user named, or the one that
        belongs to the split; None where nothing tells.
    """
    for folder in file.folders:
        if any((folder / name).is_file() for name in islice(names, TRIED)):
            return folder
    if file.given:
        return file.folders[-1]
    return file.own_folder if file.own_folder and file.own_folder.is_dir() else None


def inside(file_name: str) -> bool:
    """Whether a name is a plain relative path that cannot leave the folder it is joined to, on any system."""
    if not file_name or UNSAFE.search(file_name):
        return False
    parts = file_name.split('/')
    return '..' not in parts and bool(parts[0]) and bool(parts[-1])


def normal(file_name: str) -> str:
    """A safe name with ``./`` and doubled slashes taken out."""
    return '/'.join(part for part in file_name.split('/') if part not in ('', '.'))


def duplicates(values: Iterable[object]) -> list[int]:
    """Numbers of the values that came before."""
    seen: set[object] = set()
    return [number for number, value in enumerate(values) if value in seen or seen.add(value)]
