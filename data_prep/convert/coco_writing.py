"""COCO out: ids and categories stay where the source has them, else count from 1; holes make run lengths."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

import numpy as np
import shapely
from pycocotools import mask as coco_mask

from data_prep.convert.coco_reading import ANNOTATION, GIVEN, IMAGE
from data_prep.convert.document import Document, Item, Keys, with_keys
from data_prep.labels.rle import Part, from_parts
from data_prep.polygons import repair

DECIMALS = 6  # of areas and sides of boxes, which are computed


@dataclass
class Categories:
    """Entries of the file, the id of each label, and what was changed on the way."""

    entries: list[Keys] = field(default_factory=list)
    ids: dict[str, int] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)

    def add(self, entry: Keys) -> None:
        """Add an entry; its id is kept if it is free and not 0, which detectors take for the background."""
        label, wanted = entry['name'], entry.get('id')
        if label in self.ids:
            return
        taken = {0, *self.ids.values()}
        number = wanted if type(wanted) is int and wanted > 0 and wanted not in taken else max(taken) + 1
        self.ids[label] = number
        self.entries.append({'supercategory': 'object', **entry, 'id': number})


def number_categories(documents: Sequence[Document], classes: Sequence[str]) -> Categories:
    """Give each label an id, the same for all files of a data set.

    Args:
        documents: All of them.
        classes: In the order of their ids; empty takes the categories of the sources, then other labels, sorted.

    Returns:
        Categories in the order of the sources; ids from 1.
    """
    known: dict[str, Keys] = {}
    for document in documents:
        listed = document.dataset.get('categories')
        for entry in listed if isinstance(listed, list) else []:
            if isinstance(entry, dict) and isinstance(entry.get('name'), str):
                known.setdefault(entry['name'], entry)
    found = Categories()
    if classes:
        for number, label in enumerate(classes, 1):
            found.add({**known.get(label, {}), 'id': number, 'name': label})
        return found
    labels = sorted({item.label for document in documents for item in document.items} - set(known))
    zeros = [entry for entry in known.values() if entry.get('id') == 0]
    for entry in [*(entry for entry in known.values() if entry.get('id') != 0), *zeros]:
        found.add(entry)
    for entry in zeros:
        label = entry['name']
        found.warnings.append(f"category 0 '{label}' is now {found.ids[label]}; ids count from 1")
    for label in labels:
        found.add({'name': label})
    return found


def write(documents: Sequence[Document], categories: Categories) -> tuple[Keys, list[str]]:
    """Content of one COCO file.

    Args:
        documents: In pixels, with ``file_name`` and ``size_wh``.
        categories: Of the data set.

    Returns:
        The content, and warnings about ids that could not stay.
    """
    image_ids, images_again = _number([document.extra.get('id') for document in documents])
    items = [(image_id, document, item) for image_id, document in zip(image_ids, documents, strict=True)
             for item in document.items]  # fmt: skip
    ids, again = _number([item.id for _, _, item in items])
    outlines = _outlines([(item, document.size_wh) for _, document, item in items])
    annotations = [
        {
            'id': number,
            'image_id': image_id,
            'category_id': categories.ids[item.label],
            **outline,
            'iscrowd': int(item.crowd),
            **with_keys(item.extra, ANNOTATION),
        }
        for number, (image_id, _, item), outline in zip(ids, items, outlines, strict=True)
    ]
    content = {
        'info': {'description': '', 'version': '1.0'},
        'licenses': [],
        **_dataset(documents),
        'images': [_image(*pair) for pair in zip(image_ids, documents, strict=True)],
        'annotations': annotations,
        'categories': categories.entries,
    }
    counts = ((images_again, 'images'), (again, 'annotations'))
    warnings = [f'{n} {what} shared an id with another one and got a new one' for n, what in counts if n]
    names = Counter(document.file_name for document in documents)
    return content, warnings + [f'{n} images are called {name}' for name, n in names.items() if n > 1]


def _number(wanted: Sequence[Any]) -> tuple[list[int], int]:
    """Ids as wanted where they are free, else new ones; and how many were taken already."""
    given = [value if type(value) is int and value >= 0 else None for value in wanted]
    seen: set[int] = set()
    kept = []
    for value in given:
        kept.append(None if value is None or value in seen else value)
        seen.add(value if value is not None else -1)
    following = max([0, *seen]) + 1
    numbers = []
    for value in kept:
        numbers.append(following if value is None else value)
        following += value is None
    again = sum(value is not None for value in given) - sum(value is not None for value in kept)
    return numbers, again


def _dataset(documents: Sequence[Document]) -> Keys:
    """Keys of the whole file, from the first document that has each."""
    merged: Keys = {}
    for document in documents:
        for key, value in document.dataset.items():
            merged.setdefault(key, value)
    return merged


def _image(number: int, document: Document) -> Keys:
    extra = {key: value for key, value in document.extra.items() if key != 'id' or type(value) is not int}
    width, height = document.size_wh
    return {
        'id': number,
        'file_name': document.file_name,
        'width': width,
        'height': height,
        **with_keys(extra, IMAGE),
    }


def _outlines(items: Sequence[tuple[Item, tuple[int, int]]]) -> list[Keys]:
    """Segmentation, area and box of each object in an image of this size."""
    found: list[Keys | None] = [None] * len(items)
    drawn = []
    for index, (item, size_wh) in enumerate(items):
        if item.coco is not None:
            found[index] = {key: item.coco[key] for key in GIVEN}
        elif item.as_rle or any(len(part) > 1 for part in item.parts):
            found[index] = _runs(item, size_wh)
        else:
            drawn.append(index)
    for index, outline in zip(drawn, _polygons([items[index][0].parts for index in drawn]), strict=True):
        found[index] = outline
    return found


def _runs(item: Item, size_wh: tuple[int, int]) -> Keys:
    encoded = from_parts(item.parts, size_wh)
    box = coco_mask.toBbox(encoded).tolist()
    return {'segmentation': encoded, 'area': float(coco_mask.area(encoded)), 'bbox': box}


def _polygons(objects: Sequence[Sequence[Part]]) -> list[Keys]:
    """Outlines without holes, all measured at once."""
    if not objects:
        return []
    flat = [[[*chain.from_iterable(ring)] for (ring,) in parts] for parts in objects]
    counts = np.array([sum(map(len, rings)) // 2 for rings in flat])
    points = np.array([*chain.from_iterable(chain.from_iterable(flat))], np.float64).reshape(-1, 2)
    first = np.cumsum(counts) - counts
    low, high = np.minimum.reduceat(points, first), np.maximum.reduceat(points, first)
    keys = zip(flat, _areas(flat, points, counts), low.tolist(), (high - low).tolist(), strict=True)
    return [
        {'segmentation': rings, 'area': area, 'bbox': [*corner, round(width, DECIMALS), round(height, DECIMALS)]}
        for rings, area, corner, (width, height) in keys
    ]


def _areas(flat: Sequence[Sequence[Any]], points: np.ndarray, counts: np.ndarray) -> list[float]:
    """Area that the rings of each object enclose together, in px^2; crossing outlines count what they enclose, once."""
    alone = np.array([len(rings) == 1 for rings in flat])
    rows = np.repeat(alone, counts)
    owner = np.repeat(np.cumsum(alone) - 1, counts)[rows]
    polygons = shapely.polygons(shapely.linearrings(points[rows], indices=owner)) if len(owner) else np.zeros(0, object)
    areas = np.zeros(len(flat))
    areas[alone] = shapely.area(polygons)
    simple = alone.copy()
    simple[alone] = shapely.is_valid(polygons)
    for index in np.flatnonzero(~simple):
        rings = [shapely.Polygon(np.reshape(ring, (-1, 2))) for ring in flat[index]]
        solid, _ = repair(rings[0] if len(rings) == 1 else shapely.MultiPolygon(rings))
        areas[index] = 0 if solid is None else solid.area
    return [round(area, DECIMALS) for area in areas.tolist()]
