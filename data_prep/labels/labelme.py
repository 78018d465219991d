"""LabelMe files: ``shapes`` with points in pixels of the image, (0, 0) the outer corner of the first pixel.

LabelMe knows neither parts nor holes: shapes that share a label and a ``group_id`` are one object, and a shape of the
group with the flag ``hole`` is cut out of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import shapely

from data_prep.errors import DataError
from data_prep.labels.features import Feature, FeatureFile, label_text
from data_prep.polygons import NOT_FINITE, repair


def read_labelme(path: Path, content: dict[str, Any], size_wh: tuple[int, int]) -> FeatureFile:
    """Take the polygons and rectangles from a parsed LabelMe file.

    Args:
        path: Where it came from, for messages.
        content: The parsed JSON with its ``shapes``.
        size_wh: Width and height of the raster in pixels.

    Returns:
        One feature for each shape; other shape types carry a ``problem``. Of a group, the first shape carries the whole
        object, the others say ``skip``.

    Raises:
        DataError: If the file was drawn on an image of another size, or is not built as LabelMe builds it.
    """
    drawn_on = (content.get('imageWidth'), content.get('imageHeight'))
    if any(drawn is not None and drawn != real for drawn, real in zip(drawn_on, size_wh, strict=True)):
        raise DataError(f'{path} was drawn on {drawn_on[0]} x {drawn_on[1]} px; its raster has {size_wh[0]} x '
                        f'{size_wh[1]} px; pair it with the image it was drawn on')  # fmt: skip
    if not isinstance(content['shapes'], list):
        raise DataError(f"{path}: 'shapes' must be a list; got {type(content['shapes']).__name__}; export it again")
    features = [_feature(path, n, shape) for n, shape in enumerate(content['shapes'], 1)]
    for members in _groups(features, content['shapes']):
        _join(features, members, content['shapes'])
    return FeatureFile(path, features, crs=None)


def _groups(features: Sequence[Feature], shapes: Sequence[dict[str, Any]]) -> list[list[int]]:
    """Places of the polygons that are one object, for each object of several."""
    found: dict[tuple[str | None, int], list[int]] = {}
    for place, (feature, shape) in enumerate(zip(features, shapes, strict=True)):
        group = shape.get('group_id')
        if type(group) is int and feature.geometry is not None:
            found.setdefault((feature.label, group), []).append(place)
    return [members for members in found.values() if len(members) > 1]


def _join(features: list[Feature], members: Sequence[int], shapes: Sequence[dict[str, Any]]) -> None:
    """Put a group's polygons into its first feature.

    Parts that do not touch stay as they were drawn; those that touch or overlap become one.
    """
    holes = [place for place in members if _is_hole(shapes[place])]
    solid = [place for place in members if place not in holes]
    if not solid:
        return
    first, *others = solid
    whole = shapely.MultiPolygon([features[place].geometry for place in solid])
    if not whole.is_valid or holes:
        whole = shapely.union_all([_valid(features[place]) for place in solid])
        whole = shapely.difference(whole, shapely.union_all([_valid(features[place]) for place in holes]))
    number = features[first].number
    features[first] = replace(features[first], geometry=whole)
    for place in (*others, *holes):
        features[place] = replace(features[place], geometry=None, skip=f'part of feature {number}, by its group_id')


def _is_hole(shape: dict[str, Any]) -> bool:
    return isinstance(shape.get('flags'), dict) and shape['flags'].get('hole') is True


def _valid(feature: Feature) -> shapely.Geometry:
    return repair(feature.geometry)[0] or shapely.Polygon()


def _feature(path: Path, number: int, shape: Any) -> Feature:
    if not isinstance(shape, dict):
        raise DataError(f'{path}, shape {number} must be an object; got {type(shape).__name__}; export it again')
    label, kind = label_text(shape.get('label')), shape.get('shape_type') or 'polygon'
    if kind not in ('polygon', 'rectangle'):
        return Feature(number, label, None, f'shape type {kind} is not a polygon')
    try:
        points = np.asarray(shape.get('points'), np.float64).reshape(-1, 2)
    except (TypeError, ValueError):
        return Feature(number, label, None, 'points are not pairs of numbers')
    if kind == 'rectangle' and len(points) == 2:
        (x0, y0), (x1, y1) = points
        points = np.array([(x0, y0), (x1, y0), (x1, y1), (x0, y1)])
    if len(points) < 3:
        return Feature(number, label, None, f'fewer than 3 points ({len(points)})')
    if not np.isfinite(points).all():
        return Feature(number, label, None, NOT_FINITE)
    return Feature(number, label, shapely.Polygon(points))
