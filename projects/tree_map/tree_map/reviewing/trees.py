"""Trees as they are corrected: rings in source pixels, as found and as they come back, and when two are the same."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import shapely

from data_prep.labels.rle import Part
from data_prep.polygons import Area, repair


@dataclass(frozen=True)
class Found:
    """One tree of the map.

    Attributes:
        tree_id: Its number, unique in its scene.
        label: Name of its class.
        score: 0 to 1, or None.
        parts: Outer rings without holes, [[[[x, y], ...]], ...], source pixels, rounded to 0.001: what was written.
    """

    tree_id: int
    label: str
    score: float | None
    parts: list[Part]


@dataclass(frozen=True)
class Corrected:
    """One tree as people left it.

    Attributes:
        label: Name of its class.
        parts: Each an outer ring, then its holes; source pixels of the whole scene.
        claims: Numbers of trees of the map that it says it is: none for a new one, several where they were grouped.
        file: It comes from.
        sheet: Name of the picture it was drawn on.
    """

    label: str
    parts: list[Part]
    claims: frozenset[int]
    file: str
    sheet: str


@dataclass(frozen=True)
class FoundScene:
    """What a scene's map held when it was written for correction.

    Attributes:
        name: Of the scene; its label file will have this name.
        file_name: Of its raster.
        raster: Its path as seen from the folder of the review, or None where it was not found.
        size_wh: In source pixels.
        classes: Of the map.
        trees: All that were written.
    """

    name: str
    file_name: str
    raster: str | None
    size_wh: tuple[int, int]
    classes: list[str]
    trees: list[Found] = field(default_factory=list)


def tree_number(object_id: object, scene: str | None) -> int | None:
    """Number of a tree in an ``object_id`` (``scene/number``); None where it is none of that scene."""
    name, _, number = str(object_id).rpartition('/')
    return int(number) if name == scene and number.isascii() and number.isdigit() else None


def polygon_of(parts: Sequence[Part]) -> Area:
    """The area that rings enclose, made valid; empty where they enclose none.

    Parts that touch or overlap become one, as the pieces of a tree that was cut through its hole.
    """
    solid = [repair(shapely.Polygon(part[0], part[1:]))[0] for part in parts]
    solid = [polygon for polygon in solid if polygon is not None]
    return solid[0] if len(solid) == 1 else shapely.union_all(solid) if solid else shapely.Polygon()


def crosses_itself(parts: Sequence[Part]) -> bool:
    """Whether a ring crosses itself or its holes lie outside of it."""
    return not all(shapely.Polygon(part[0], part[1:]).is_valid for part in parts)


def iou(a: shapely.Geometry, b: shapely.Geometry) -> float:
    """Shared area by the area of both, 0 to 1."""
    shared = shapely.intersection(a, b).area
    whole = a.area + b.area - shared
    return shared / whole if whole > 0 else 0.0


def same_outline(a: Sequence[Part], b: Sequence[Part], tolerance_px: float) -> bool:
    """Whether two outlines are the same but for rounding.

    Vertices may lie in another order, or be added on an edge, as long as no point of one outline is farther than the
    tolerance from the other.
    """
    if list(a) == list(b):
        return True
    shapes = [[len(ring) for part in parts for ring in part] for parts in (a, b)]
    if shapes[0] == shapes[1]:
        left, right = (np.array([p for part in parts for ring in part for p in ring], float) for parts in (a, b))
        if np.abs(left - right).max() <= tolerance_px:
            return True
    lines = [shapely.boundary(polygon_of(parts)) for parts in (a, b)]
    if any(line.is_empty for line in lines):
        return False
    return shapely.hausdorff_distance(*lines, densify=0.25) <= tolerance_px
