"""What every format is read into and written from: drawn things with their rings as drawn, and all other keys.

Rings are lists of numbers rather than geometries, so that what is only passed on stays the same to the last digit,
crossing outlines included.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any

import rasterio
from affine import Affine

from data_prep.errors import DataError
from data_prep.labels.features import label_text
from data_prep.labels.rle import Part, Ring
from data_prep.polygons import NOT_FINITE, are_finite, are_numbers

Keys = dict[str, Any]
CLASHING = 'source_properties'  # holds keys whose names mean something else in the format they were written to


@dataclass
class Item:
    """One object: label, parts (outer ring, then holes), and what else the file says of it."""

    label: str
    parts: list[Part]
    id: int | None = None
    crowd: bool = False
    as_rle: bool = False  # its outline follows pixels; COCO gets run lengths again
    extra: Keys = field(default_factory=dict)
    coco: Keys | None = None  # segmentation, area and bbox of a COCO file, for another COCO file


@dataclass(frozen=True)
class Place:
    """Where an image lies: its size, and its map where it has one."""

    size_wh: tuple[int, int]
    crs: rasterio.CRS | None = None
    transform: Affine | None = None
    path: Path | None = None  # of the image, where it was found


@dataclass(frozen=True)
class Lost:
    """One thing that was not carried over, and why."""

    file: str
    feature: int
    reason: str


@dataclass
class Document:
    """The labels of one image, or of one vector file.

    Attributes:
        name: Stem of the files written for it.
        source: File it was read from.
        items: In the order of the file.
        crs: Of the coordinates; None where they are pixels.
        file_name: Of the image, as the source says it.
        size_wh: Of the image, as the source says it.
        split: train, val, test or another name; None where the source has none.
        extra: Keys of the image or the file.
        image: File of the image, where it was looked for and found.
        dataset: Keys of a whole COCO file: info, licenses, categories.
        lost: What could not be read.
        notes: What else is worth saying.
    """

    name: str
    source: Path
    items: list[Item]
    crs: rasterio.CRS | None = None
    file_name: str | None = None
    size_wh: tuple[int, int] | None = None
    split: str | None = None
    extra: Keys = field(default_factory=dict)
    image: Path | None = None
    dataset: Keys = field(default_factory=dict)
    lost: list[Lost] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def lose(self, feature: int, reason: str) -> None:
        """Note that a feature of the source, counted from 1, is left out."""
        self.lost.append(Lost(str(self.source), feature, reason))


def required_label(value: object, path: Path, number: int) -> str:
    """A label as it stands in the file.

    Raises:
        DataError: If there is none.
    """
    if label_text(value) is None:
        raise DataError(f'{path}, feature {number} has no label; give it one')
    return value if isinstance(value, str) else str(value)


def other_keys(entry: Keys, own: Collection[str]) -> Keys:
    """Keys of a record that its format does not define, ready for JSON; inverse of ``with_keys``."""
    kept = {key: plain(value) for key, value in entry.items() if key not in own and key != CLASHING}
    clashing = entry.get(CLASHING)
    return {**kept, **plain(clashing)} if isinstance(clashing, dict) else kept


def with_keys(extra: Keys, own: Collection[str]) -> Keys:
    """Keys to add to a record whose format defines ``own``; those of the same name go into a record of their own."""
    clashing = {key: value for key, value in extra.items() if key in own or key == CLASHING}
    free = {key: value for key, value in extra.items() if key not in clashing}
    return {**free, CLASHING: clashing} if clashing else free


def take_marks(extra: Keys) -> Keys:
    """Take ``id``, ``iscrowd`` and ``rle`` out of the other keys, as arguments of an Item; odd values stay there."""
    marks: Keys = {}
    if type(extra.get('id')) is int:
        marks['id'] = extra.pop('id')
    if extra.get('iscrowd') in (0, 1):
        marks['crowd'] = bool(extra.pop('iscrowd'))
    if extra.get('rle') is True or extra.get('rle') == 1:
        marks['as_rle'] = bool(extra.pop('rle'))
    return marks


def marks(item: Item) -> Keys:
    """Keys for ``take_marks``."""
    found: Keys = {} if item.id is None else {'id': item.id}
    if item.crowd:
        found['iscrowd'] = 1
    if item.as_rle:
        found['rle'] = True
    return found


def plain(value: Any) -> Any:
    """A value that JSON can hold: NaN and infinities become null."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return value if value is None or isinstance(value, str | int) else str(value)


def ring_problem(ring: object) -> str | None:
    """Why a list of points cannot be a ring, or None."""
    if not isinstance(ring, list) or not set(map(type, ring)) <= {list} or not set(map(len, ring)) <= {2}:
        return 'points are not pairs of numbers'
    numbers = [*chain.from_iterable(ring)]
    if not are_numbers(numbers):
        return 'points are not pairs of numbers'
    if not are_finite(numbers):
        return NOT_FINITE
    if len(ring) < 3:
        return f'fewer than 3 points ({len(ring)})'
    return None


def opened(ring: list[list[float]]) -> Ring:
    """A ring without its repeated last point."""
    return ring[:-1] if len(ring) > 1 and ring[0] == ring[-1] else ring


def closed(ring: Ring) -> Ring:
    """A ring with its first point repeated at the end."""
    return ring if ring[0] == ring[-1] else [*ring, ring[0]]


def objects(documents: Iterable[Document]) -> int:
    """Number of objects in all documents."""
    return sum(len(document.items) for document in documents)
