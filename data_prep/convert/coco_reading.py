"""COCO in: the images of a file with their annotations; what another COCO file says the same way is kept as it is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from data_prep.convert.document import Document, Item, Keys, other_keys, required_label
from data_prep.errors import DataError
from data_prep.labels.coco_file import CocoFile, base_name, outline, parse_coco

ANNOTATION = ('id', 'image_id', 'category_id', 'segmentation', 'area', 'bbox', 'iscrowd')
IMAGE = ('id', 'file_name', 'width', 'height')
FILE = ('images', 'annotations')
GIVEN = ('segmentation', 'area', 'bbox')  # what another COCO file gets as it was


def read(path: Path, content: Keys, split: str | None = None) -> list[Document]:
    """Take all images of a parsed COCO file.

    Raises:
        DataError: If it is not built as COCO.
    """
    coco = parse_coco(path, content)
    dataset, note = _without_root(coco, other_keys(content, FILE))
    names: dict[str, str] = {}
    documents = []
    for image in coco.images.values():
        document = _document(coco, image, dataset, split)
        other = names.setdefault(document.name.casefold(), image['file_name'])
        if other != image['file_name']:
            document.name = f'{document.name}_{image["id"]}'  # a/1.jpg and b/1.jpg
        document.notes += note
        documents.append(document)
    return documents


def _without_root(coco: CocoFile, dataset: Keys) -> tuple[Keys, list[str]]:
    """Drop category 0 where it is the unused root of the others, as Roboflow writes it."""
    used = {entry.get('category_id') for entries in coco.annotations.values() for _, entry in entries}
    root = coco.categories.get(0)
    children = [entry for number, entry in coco.categories.items() if number != 0]
    if root is None or 0 in used or not any(entry.get('supercategory') == root.get('name') for entry in children):
        return dataset, []
    kept = [entry for entry in dataset['categories'] if entry['id'] != 0]
    note = f"{coco.path}: category 0 '{root.get('name')}' is the unused root of the others; it is dropped"
    return {**dataset, 'categories': kept}, [note]


def _document(coco: CocoFile, image: Keys, dataset: Keys, split: str | None) -> Document:
    size = (image.get('width'), image.get('height'))
    if not all(type(side) is int and side > 0 for side in size):
        raise DataError(f'{coco.path}: image {image["id"]} must have width and height in pixels; got {size}')
    file_name = image['file_name'].replace('\\', '/')
    document = Document(
        name=Path(base_name(file_name)).stem,
        source=coco.path,
        items=[],
        file_name=file_name,
        size_wh=size,
        split=split,
        extra={'id': image['id'], **other_keys(image, IMAGE)},
        dataset=dataset,
    )
    for number, entry in coco.annotations[image['id']]:
        _add_item(document, coco, number, entry)
    return document


def _add_item(document: Document, coco: CocoFile, number: int, entry: Keys) -> None:
    if coco.label(number, entry) is None:
        raise DataError(f'{coco.path}, annotation {number}: its category has no name; give it one')
    parts, problems = outline(entry.get('segmentation'), document.size_wh)
    extra = other_keys(entry, ANNOTATION)
    if not parts and not problems:
        parts, problems = _box(entry.get('bbox'))
        extra.setdefault('shape_type', 'rectangle')
    for problem in problems:
        document.lose(number, problem)
    if not parts:
        return
    given = {key: entry[key] for key in GIVEN if key in entry}
    item = Item(
        required_label(coco.categories[entry['category_id']]['name'], coco.path, number),
        parts,
        id=entry['id'] if type(entry.get('id')) is int else None,
        crowd=bool(entry.get('iscrowd')),
        as_rle=isinstance(entry.get('segmentation'), dict),
        extra=extra,
        coco=given if len(given) == len(GIVEN) and not problems else None,
    )
    document.items.append(item)


def _box(bbox: Any) -> tuple[list, list[str]]:
    """Corners of an annotation that is a box alone."""
    if not isinstance(bbox, list) or len(bbox) != 4 or not all(type(v) in (int, float) for v in bbox):
        return [], ['neither an outline nor a box']
    x, y, width, height = bbox
    if not np.isfinite(bbox).all() or width <= 0 or height <= 0:
        return [], [f'box {bbox} has no area']
    return [[[[x, y], [x + width, y], [x + width, y + height], [x, y + height]]]], []
