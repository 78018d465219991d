"""COCO files that others wrote: checked as far as it takes to use them, and as the labels of one raster."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import shapely

from data_prep.errors import DataError
from data_prep.labels.features import Feature, FeatureFile, label_text
from data_prep.labels.rle import Part, to_parts
from data_prep.labels.strict_json import read_json
from data_prep.polygons import NOT_FINITE, are_finite, are_numbers

Record = dict[str, Any]


@dataclass(frozen=True)
class CocoFile:
    """A COCO file by its parts; annotations carry their place in the file, from 1."""

    path: Path
    content: Record
    images: dict[int, Record]
    annotations: dict[int, list[tuple[int, Record]]]  # by image id, in the order of the file
    categories: dict[int, Record]

    def label(self, number: int, annotation: Record) -> str | None:
        """Name of an annotation's category.

        Raises:
            DataError: If the file has no such category.
        """
        category = self.categories.get(annotation.get('category_id'))
        if category is None:
            raise DataError(f'{self.path}, annotation {number} names category {annotation.get("category_id")!r}, '
                            f'which the file does not list; export it again')  # fmt: skip
        return label_text(category.get('name'))


def base_name(file_name: str) -> str:
    """Last part of a ``file_name``, whatever its slashes; some tools write backslashes."""
    return re.split(r'[\\/]', file_name)[-1]


def parse_coco(path: Path, content: Record) -> CocoFile:
    """Take a parsed COCO file apart.

    Raises:
        DataError: If images, annotations or categories are not lists of records, ids are missing or used twice, or an
            annotation names an image that the file does not list.
    """
    images = _by_id(path, content, 'images')
    categories = _by_id(path, content, 'categories')
    for entry in images.values():
        if not isinstance(entry.get('file_name'), str) or not base_name(entry['file_name']):
            raise DataError(f'{path}: image {entry["id"]} has no file_name; export it again')
    annotations: dict[int, list[tuple[int, Record]]] = {number: [] for number in images}
    for number, entry in enumerate(_records(path, content, 'annotations'), 1):
        owner = entry.get('image_id')
        if type(owner) is not int or owner not in annotations:
            raise DataError(f'{path}, annotation {number} names image {owner!r}, which the file does not list; '
                            f'export it again')  # fmt: skip
        annotations[owner].append((number, entry))
    return CocoFile(path, content, images, annotations, categories)


def _records(path: Path, content: Record, key: str) -> list[Record]:
    entries = content.get(key)
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise DataError(f"{path}: '{key}' must be a list of objects; export the COCO file again")
    return entries


def _by_id(path: Path, content: Record, key: str) -> dict[int, Record]:
    found: dict[int, Record] = {}
    for number, entry in enumerate(_records(path, content, key), 1):
        if type(entry.get('id')) is not int or entry['id'] in found:
            raise DataError(f"{path}: '{key}', entry {number} must have an id of its own, a whole number; "
                            f'got {entry.get("id")!r}')  # fmt: skip
        found[entry['id']] = entry
    return found


def image_names(content: Record) -> set[str]:
    """Names of the images that a parsed COCO file lists, without folders."""
    images = content.get('images')
    entries = [entry for entry in images if isinstance(entry, dict)] if isinstance(images, list) else []
    return {base_name(entry['file_name']) for entry in entries if isinstance(entry.get('file_name'), str)}


def read_coco(path: Path, raster: str, size_wh: tuple[int, int]) -> FeatureFile:
    """Take the annotations of one image as the labels of a raster.

    Args:
        path: The COCO file; the last one read is kept, as it may label many rasters.
        raster: File name of the raster; the image whose ``file_name`` ends in it is meant.
        size_wh: Width and height of the raster in pixels.

    Returns:
        One feature for each annotation of the image, numbered by its place in the file. Crowds say ``skip``.

    Raises:
        DataError: If the file is not built as COCO, does not name the raster, or was drawn on an image of another size.
    """
    coco = _parsed(path, *_version(path))
    named = [entry for entry in coco.images.values() if base_name(entry['file_name']) == raster]
    if len(named) != 1:
        some = ', '.join(base_name(entry['file_name']) for entry in list(coco.images.values())[:3])
        raise DataError(f'{path} must name {raster} once among its images; it does {len(named)} times (it names '
                        f'{some or "none"}); rename the raster, or choose other --labels')  # fmt: skip
    drawn_on = (named[0].get('width'), named[0].get('height'))
    if any(drawn is not None and drawn != real for drawn, real in zip(drawn_on, size_wh, strict=True)):
        raise DataError(f'{path}: {raster} was drawn on {drawn_on[0]} x {drawn_on[1]} px; the raster has {size_wh[0]} '
                        f'x {size_wh[1]} px; pair it with the image it was drawn on')  # fmt: skip
    features = [_feature(coco, n, entry, size_wh) for n, entry in coco.annotations[named[0]['id']]]
    return FeatureFile(path, features, crs=None)


def last_json(path: Path) -> Any:
    """Parse a JSON file, or hand out the last one again: one COCO file may label many rasters, one after another.

    Raises:
        DataError: As ``read_json``.
    """
    return _content(path, *_version(path))


def _version(path: Path) -> tuple[int, int]:
    """Time and size: what notices that a file has changed."""
    try:
        status = path.stat()
    except OSError as error:
        raise DataError(f'{path} cannot be read: {error.strerror}') from None
    return status.st_mtime_ns, status.st_size


@lru_cache(maxsize=1)
def _content(path: Path, mtime_ns: int, size: int) -> Any:
    return read_json(path)


@lru_cache(maxsize=1)
def _parsed(path: Path, mtime_ns: int, size: int) -> CocoFile:
    return parse_coco(path, _content(path, mtime_ns, size))


def _feature(coco: CocoFile, number: int, entry: Record, size_wh: tuple[int, int]) -> Feature:
    label = coco.label(number, entry)
    if entry.get('iscrowd'):
        return Feature(number, label, None, skip='a crowd (iscrowd) is not one object')
    parts, problems = outline(entry.get('segmentation'), size_wh)
    if not parts:
        return Feature(number, label, None, problems[0] if problems else 'a box without an outline')
    polygons = [shapely.Polygon(part[0], part[1:]) for part in parts]
    return Feature(number, label, polygons[0] if len(polygons) == 1 else shapely.MultiPolygon(polygons))


def outline(segmentation: Any, size_wh: tuple[int, int]) -> tuple[list[Part], list[str]]:
    """Rings of a COCO segmentation, still as drawn; run lengths become outlines along the edges of their pixels.

    Args:
        segmentation: A list of flat rings, or run lengths of an image of this size.
        size_wh: Width and height of the image.

    Returns:
        Parts, and what was left out and why. A ring that is no ring of numbers at all spoils the annotation: no parts.
    """
    if isinstance(segmentation, dict):
        try:
            if segmentation.get('size') != [size_wh[1], size_wh[0]]:
                raise ValueError(f'RLE size {segmentation.get("size")} is not that of the image, '
                                 f'{[size_wh[1], size_wh[0]]}')  # fmt: skip
            parts = to_parts(segmentation)
        except ValueError as error:
            return [], [str(error)]
        return parts, [] if parts else ['the mask is empty']
    if segmentation is None or segmentation == []:
        return [], []
    if not isinstance(segmentation, list) or not all(isinstance(ring, list) for ring in segmentation):
        return [], ['segmentation must be a list of flat rings, or RLE']
    return _polygon_parts(segmentation)


def _polygon_parts(rings: list[list[Any]]) -> tuple[list[Part], list[str]]:
    parts: list[Part] = []
    short: list[str] = []
    for number, ring in enumerate(rings, 1):
        if len(ring) % 2 or not are_numbers(ring):
            return [], [f'ring {number} is not a flat list of x, y pairs']
        if not are_finite(ring):
            return [], [NOT_FINITE]
        points = [*map(list, zip(ring[::2], ring[1::2], strict=True))]
        if len(points) < 3:
            short.append(f'ring {number} has fewer than 3 points ({len(points)})')
        else:
            parts.append([points])
    return parts, short
