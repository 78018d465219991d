"""Cityscapes and IDD in: ``gtFine/SPLIT/CITY/NAME_gtFine_polygons.json``, polygons in drawing order.

What is drawn later lies over what was drawn before, whatever its label, as in the official instance masks: an object is
its polygon without all later ones. Labels that end in ``group`` are crowds of the class before. Objects marked
``deleted`` are left out, and licence plates cover nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import shapely

from data_prep.convert.document import Document, Item, Keys, other_keys, required_label, ring_problem
from data_prep.errors import DataError
from data_prep.labels.rle import Part
from data_prep.polygons import DECIMALS, polygon_parts, repair

SUFFIX = '_gtFine_polygons.json'
CITYSCAPES = ('person', 'rider', 'car', 'truck', 'bus', 'train', 'motorcycle', 'bicycle')
IDD = ('person', 'rider', 'motorcycle', 'bicycle', 'autorickshaw', 'car', 'truck', 'bus', 'vehicle fallback')
IDD_ALONE = {'autorickshaw', 'vehicle fallback', 'drivable fallback', 'non-drivable fallback', 'obs-str-bar-fallback'}
OBJECT = ('label', 'polygon', 'deleted', 'id', 'user', 'date', 'draw', 'verified')  # the tool's own notes among them
COVERS_NOTHING = {'license plate'}


def is_cityscapes(content: Any) -> bool:
    """Whether a parsed JSON file is one of theirs."""
    return isinstance(content, dict) and {'imgHeight', 'imgWidth', 'objects'} <= content.keys()


def find_files(folder: Path) -> list[Path]:
    """Their files under a data set's folder, or under its ``gtFine``; empty where it is no such folder."""
    root = folder / 'gtFine' if (folder / 'gtFine').is_dir() else folder
    return sorted(root.glob(f'*/*/*{SUFFIX}')) or sorted(root.glob(f'*/*{SUFFIX}'))


def read(path: Path, content: Keys, *, clip: bool = True) -> list[Document]:
    """Take all objects of one image, of all labels.

    Args:
        path: Where it lies; split, city and image follow from it.
        content: The parsed file.
        clip: Take later polygons out of earlier ones.

    Raises:
        DataError: If it is not built as Cityscapes builds it.
    """
    size = (content['imgWidth'], content['imgHeight'])
    if not all(type(side) is int and side > 0 for side in size):
        raise DataError(f'{path}: imgWidth and imgHeight must be pixels; got {size}')
    objects = content['objects']
    if not isinstance(objects, list) or not all(isinstance(entry, dict) for entry in objects):
        raise DataError(f"{path}: 'objects' must be a list of objects; copy the file again")
    stem = path.name.removesuffix(SUFFIX) if path.name.endswith(SUFFIX) else path.stem
    split, file_name = _place(path, stem)
    extra = other_keys(content, ('imgWidth', 'imgHeight', 'objects'))
    document = Document(stem, path, [], file_name=file_name, size_wh=size, split=split, extra=extra)
    drawn: list[Item] = []
    for number, entry in enumerate(objects, 1):
        if not entry.get('deleted'):
            drawn += _drawn(document, number, entry)
    document.items = _visible(drawn) if clip else drawn
    return [document]


def _place(path: Path, stem: str) -> tuple[str | None, str]:
    """Split and file name of the image, as the data sets lay them out."""
    if not path.name.endswith(SUFFIX):
        return None, f'{stem}.png'
    city = path.parent
    for suffix in ('.png', '.jpg', '.jpeg'):
        image = city.parent.parent.parent / 'leftImg8bit' / city.parent.name / city.name / f'{stem}_leftImg8bit{suffix}'
        if image.is_file():
            break
    else:
        suffix = '.png'
    return city.parent.name or None, f'{city.name}/{stem}_leftImg8bit{suffix}'


def _drawn(document: Document, number: int, entry: Keys) -> Iterable[Item]:
    label, ring = required_label(entry.get('label'), document.source, number), entry.get('polygon')
    problem = ring_problem(ring)
    if problem:
        document.lose(number, problem)
        return
    yield Item(label, [[ring]], extra=other_keys(entry, OBJECT))


def _visible(drawn: Sequence[Item]) -> list[Item]:
    """Each polygon without those drawn after it, without parts where it is hidden; one that is free stays as drawn."""
    solid = [repair(shapely.Polygon(item.parts[0][0]))[0] or shapely.Polygon() for item in drawn]
    covers = [item.label not in COVERS_NOTHING for item in drawn]
    tree = shapely.STRtree(solid)
    items = []
    for index, item in enumerate(drawn):
        near = tree.query(solid[index], predicate='intersects')
        later = [solid[other] for other in sorted(near) if other > index and covers[other]]
        if not later:
            items.append(item)
            continue
        left = polygon_parts(shapely.difference(solid[index], shapely.union_all(later)))
        items.append(replace(item, parts=[] if left is None else _rings(left)))
    return items


def _rings(polygon: shapely.Geometry) -> list[Part]:
    """Rings of a valid polygon, rounded; parts that rounding flattens are left out."""
    parts = []
    for part in shapely.get_parts(polygon):
        rings = [np.round(np.asarray(ring.coords)[:-1], DECIMALS) + 0.0 for ring in (part.exterior, *part.interiors)]
        areas = [shapely.Polygon(ring).area for ring in rings]
        if areas[0] > 0:
            parts.append([ring.tolist() for ring, area in zip(rings, areas, strict=True) if area > 0])
    return parts


def things(documents: Sequence[Document], classes: Sequence[str]) -> tuple[list[str], list[Document]]:
    """Keep countable classes alone, their groups as crowds.

    Args:
        documents: With objects of all labels.
        classes: To keep; empty takes those that Cityscapes evaluates, or IDD where its labels occur, or all labels
            where none of these occurs.

    Returns:
        Classes in the order of their ids, and the documents with their objects.
    """
    labels = {item.label for document in documents for item in document.items}
    chosen = list(classes) or list(IDD if labels & IDD_ALONE else CITYSCAPES)
    if not classes and not labels & {name + end for name in chosen for end in ('', 'group')}:
        chosen = sorted(labels)
    return chosen, [_kept(document, set(chosen)) for document in documents]


def _kept(document: Document, chosen: set[str]) -> Document:
    kept, hidden = [], 0
    for item in document.items:
        base = item.label.removesuffix('group')
        if item.label not in chosen and base not in chosen:
            continue
        if not item.parts:
            hidden += 1
        elif item.label in chosen:
            kept.append(item)
        else:
            kept.append(replace(item, label=base, crowd=True, as_rle=True))  # COCO's crowds are run lengths
    note = [f'{document.source}: {hidden} objects lie wholly under later ones and are left out'] if hidden else []
    return replace(document, items=kept, notes=document.notes + note)
