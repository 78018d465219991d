"""What a pack is made from: the images that the COCO files of a data set list, shared out to shards."""

from __future__ import annotations

import hashlib
import json
import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data_prep.check.layout import CocoFile, find_coco, image_folder, inside
from data_prep.errors import DataError
from data_prep.labels.strict_json import read_json

SHARD_BYTES = 512 << 20  # of a shard, where no number of shards is asked for
ID_LETTERS = 16  # of a pack's name, hexadecimal


@dataclass(frozen=True)
class ImageFolder:
    """The listed images of one folder.

    Attributes:
        path: From the data set's folder, ``train2017``.
        images: Name from the folder, bytes and time of change of each, in the order of the COCO file.
        shards: How many it becomes.
    """

    path: str
    images: tuple[tuple[str, int, int], ...]
    shards: int

    @property
    def pack_id(self) -> str:
        """Stands in the index and in every shard: the same for the same names and sizes in as many shards."""
        content = json.dumps([self.path, self.shards, [image[:2] for image in self.images]])
        return hashlib.sha256(content.encode()).hexdigest()[:ID_LETTERS]

    def shard_names(self) -> list[str]:
        """File names of the shards."""
        return [f'shard-{number:05d}-of-{self.shards:05d}.tar' for number in range(self.shards)]

    def shares(self) -> list[tuple[tuple[str, int, int], ...]]:
        """The images of each shard: neighbours in the COCO file, as many in each, up to one."""
        cuts = [len(self.images) * number // self.shards for number in range(self.shards + 1)]
        return [self.images[low:high] for low, high in zip(cuts[:-1], cuts[1:], strict=True)]


@dataclass(frozen=True)
class Plan:
    """A pack to be made.

    Attributes:
        data: The data set's folder.
        folders: Its folders of images.
        annotations: Its COCO files from the folder, with the sha256 of each.
    """

    data: Path
    folders: tuple[ImageFolder, ...]
    annotations: dict[str, str]

    def identity(self) -> dict[str, Any]:
        """All that must be the same for a run to go on with another's shards."""
        times = json.dumps([folder.images for folder in self.folders])
        return {
            'packs': {folder.path: folder.pack_id for folder in self.folders},
            'annotations': self.annotations,
            'files': hashlib.sha256(times.encode()).hexdigest(),
        }


def make_plan(data: Path, shards: int | None = None) -> Plan:
    """Find the COCO files of a data set and the images that they list.

    Args:
        data: Folder, laid out as COCO, Roboflow or ``data_prep`` do.
        shards: Of each folder of images, at most one an image; None makes them of about 512 MB.

    Raises:
        DataError: If there is no COCO file, or a folder or an image is missing.
    """
    if not data.is_dir():
        raise DataError(f'{data} must be the folder of a data set; nothing is there, or a file')
    listed: dict[Path, dict[str, None]] = {}
    annotations = {}
    root = Path(os.path.abspath(data))
    for file in find_coco(data):
        names = _names(file)
        path = Path(os.path.abspath(file.path)).relative_to(root).as_posix()
        listed.setdefault(_folder(file, names, root), {}).update(dict.fromkeys(names))
        annotations[path] = hashlib.sha256(file.path.read_bytes()).hexdigest()
    folders = tuple(_image_folder(root, folder, list(names), shards) for folder, names in listed.items())
    return Plan(root, folders, annotations)


def _names(file: CocoFile) -> list[str]:
    content = read_json(file.path)
    images = content.get('images') if isinstance(content, dict) else None
    if not isinstance(images, list) or not images:
        raise DataError(f'{file.path} must list images; it has none; is it a COCO file?')
    names = [image.get('file_name') if isinstance(image, dict) else None for image in images]
    for number, name in enumerate(names, 1):
        if not isinstance(name, str) or not inside(name):
            raise DataError(f'{file.path}, image {number}: file_name must be a plain relative path; got {name!r}')
    return names


def _folder(file: CocoFile, names: list[str], root: Path) -> Path:
    folder = image_folder(file, names)
    if folder is None:
        looked = ', '.join(str(path) for path in file.folders)
        raise DataError(f'the folder of images of {file.path} is missing; looked for {names[0]!r} in {looked}; bring '
                        'the images there')  # fmt: skip
    return Path(os.path.abspath(folder))


def _image_folder(root: Path, folder: Path, names: list[str], shards: int | None) -> ImageFolder:
    missing = [name for name in names if not (folder / name).is_file()]
    if missing:
        raise DataError(f'{folder} must hold the {len(names)} listed images; {len(missing)} are not there, the first '
                        f'{missing[0]!r}; bring them there')  # fmt: skip
    images = []
    for name in names:
        status = (folder / name).stat()
        images.append((name, status.st_size, status.st_mtime_ns))
    wanted = shards or math.ceil(sum(size for _, size, _ in images) / SHARD_BYTES)
    return ImageFolder(folder.relative_to(root).as_posix(), tuple(images), max(1, min(wanted, len(images))))
