"""LabelMe in and out: one file an image, one shape a ring.

LabelMe knows neither parts nor holes: shapes that share a label and a ``group_id`` are one object, and a hole is a
shape of the group with the flag ``hole``.
"""

from __future__ import annotations

from itertools import count
from pathlib import Path, PureWindowsPath
from typing import Any

from data_prep.convert.document import (
    Document,
    Item,
    Keys,
    marks,
    other_keys,
    required_label,
    ring_problem,
    take_marks,
    with_keys,
)
from data_prep.errors import DataError
from data_prep.labels.rle import Part, Ring

VERSION = '5.4.1'  # of LabelMe whose files these are
SHAPE = {
    'group_id': None,
    'description': '',
    'shape_type': 'polygon',
    'flags': {},
    'mask': None,
}  # what LabelMe fills in
FILE = ('version', 'shapes', 'imagePath', 'imageData', 'imageHeight', 'imageWidth')
HOLE = 'hole'


def read(path: Path, content: Keys) -> list[Document]:
    """Take the objects of a parsed LabelMe file.

    Raises:
        DataError: If it is not built as LabelMe builds it, or a shape has no label.
    """
    shapes = content['shapes']
    if not isinstance(shapes, list) or not all(isinstance(shape, dict) for shape in shapes):
        raise DataError(f"{path}: 'shapes' must be a list of objects; export it again")
    size = (content.get('imageWidth'), content.get('imageHeight'))
    known = all(type(side) is int and side > 0 for side in size)
    image, file_name = content.get('imagePath'), None
    extra = other_keys(content, (*FILE, 'coco'))
    if content.get('version', VERSION) != VERSION:
        extra['version'] = content['version']
    if isinstance(image, str) and image:
        path_parts = PureWindowsPath(image)  # knows both slashes
        leaves = bool(path_parts.anchor) or '..' in path_parts.parts
        file_name = path_parts.name if leaves else path_parts.as_posix()
        if file_name != image:
            extra['imagePath'] = image
    extra = {key: value for key, value in extra.items() if (key, value) != ('flags', {})}
    dataset = content.get('coco')
    document = Document(
        name=path.stem,
        source=path,
        items=[],
        file_name=file_name,
        size_wh=size if known else None,
        extra=extra,
        dataset=dataset if isinstance(dataset, dict) else {},
    )
    if content.get('imageData'):
        document.notes.append(f'{path}: the image that the file holds (imageData) is left out; its labels are kept')
    _add_items(document, shapes)
    return [document]


def _add_items(document: Document, shapes: list[Keys]) -> None:
    groups: dict[tuple[Any, ...], Item] = {}
    for number, shape in enumerate(shapes, 1):
        label = required_label(shape.get('label'), document.source, number)
        ring, extra = _ring(shape)
        problem = ring if isinstance(ring, str) else ring_problem(ring)
        if problem:
            document.lose(number, problem)
            continue
        group = shape.get('group_id')
        key = (label, group, str(shape.get('id'))) if isinstance(group, int) else (number,)
        whole = groups.get(key)
        if whole is None:
            item = Item(label, [[ring]], **take_marks(extra), extra=extra)
            groups[key] = item
            document.items.append(item)
        else:
            take_marks(extra)
            _join(whole, ring, extra)


def _ring(shape: Keys) -> tuple[Ring | str, Keys]:
    """Points of a shape, or why it has no outline, and its other keys."""
    kind, points = shape.get('shape_type') or 'polygon', shape.get('points')
    extra = other_keys(shape, ('label', 'points'))
    extra = {key: value for key, value in extra.items() if key not in SHAPE or value != SHAPE[key]}
    if kind not in ('polygon', 'rectangle'):
        return f'shape type {kind} is not a polygon', extra
    if kind == 'rectangle' and isinstance(points, list) and len(points) == 2:
        if ring_problem([*points, points[0]]):
            return 'points are not pairs of numbers', extra
        (x0, y0), (x1, y1) = points
        return [[x0, y0], [x1, y0], [x1, y1], [x0, y1]], extra
    if kind == 'rectangle':
        extra['corners'] = 4
    return points, extra


def _join(item: Item, ring: Ring, extra: Keys) -> None:
    """Add a ring to an object: a part, or a hole of the part before it."""
    flags = extra.get('flags')
    if isinstance(flags, dict) and flags.get(HOLE) is True:
        item.parts[-1].append(ring)
        rest = {key: value for key, value in flags.items() if key != HOLE}
        extra = {**{key: value for key, value in extra.items() if key != 'flags'}, **({'flags': rest} if rest else {})}
    else:
        item.parts.append([ring])
    shapes = item.extra.pop('shapes', None)
    if shapes is None and extra != item.extra:  # what differs between the shapes of an object is kept by shape
        shapes = [dict(item.extra)] * (sum(map(len, item.parts)) - 1)
    if shapes is not None:
        shapes.append(extra)
        item.extra['shapes'] = shapes


def write(document: Document, size_wh: tuple[int, int]) -> Keys:
    """Content of a LabelMe file.

    Args:
        document: In pixels.
        size_wh: Width and height of its image.
    """
    taken = {item.extra['group_id'] for item in document.items if isinstance(item.extra.get('group_id'), int)}
    free = count(max(taken, default=0) + 1)
    shapes = []
    for item in document.items:
        group = item.extra.get('group_id')
        if group is None and sum(map(len, item.parts)) > 1:
            group = next(free)
        shapes += _shapes(item, group)
    extra = dict(document.extra)
    return {
        'version': extra.pop('version', VERSION),
        'flags': extra.pop('flags', {}),
        'shapes': shapes,
        'imagePath': extra.pop('imagePath', document.file_name),
        'imageData': None,
        'imageHeight': size_wh[1],
        'imageWidth': size_wh[0],
        **with_keys(extra, (*FILE, 'flags', 'coco')),
        **({'coco': document.dataset} if document.dataset else {}),
    }


def _shapes(item: Item, group: Any) -> list[Keys]:
    """One shape for each ring of an object."""
    rings = [(ring, number > 0) for part in item.parts for number, ring in enumerate(part)]
    shared = {key: value for key, value in item.extra.items() if key != 'shapes'}
    own = item.extra.get('shapes')
    fits = isinstance(own, list) and len(own) == len(rings) > 1 and all(isinstance(keys, dict) for keys in own)
    if own is not None and not fits:
        shared['shapes'] = own
    each = own if fits else [shared] * len(rings)
    return [
        _shape(item, ring, {**keys, 'group_id': group}, hole)
        for (ring, hole), keys in zip(rings, each, strict=True)
    ]  # fmt: skip


def _shape(item: Item, ring: Ring, extra: Keys, hole: bool) -> Keys:
    corners = extra.pop('corners', 2) if extra.get('shape_type') == 'rectangle' else None
    points: Part | Ring = ring
    if corners == 2 and is_upright(ring):
        points = [ring[0], ring[2]]
    kind = extra.pop('shape_type', 'polygon') if corners is None or corners == 4 or points is not ring else 'polygon'
    extra.pop('shape_type', None)
    flags = extra.pop('flags', {})
    if hole:
        flags = {**(flags if isinstance(flags, dict) else {}), HOLE: True}
    return {
        'label': item.label,
        'points': points,
        'group_id': extra.pop('group_id'),
        'description': extra.pop('description', ''),
        'shape_type': kind,
        'flags': flags,
        **with_keys({**marks(item), **extra}, ('label', 'points')),
    }


def is_upright(ring: Ring) -> bool:
    """Whether four points are the corners of an upright rectangle, in the order in which they are read from two."""
    if len(ring) != 4:
        return False
    (x0, y0), b, (x1, y1), d = ring
    expected = ((x1, y0), (x0, y1))
    return all(
        abs(p - q) < 1e-5 for got, want in zip((b, d), expected, strict=True) for p, q in zip(got, want, strict=True)
    )
