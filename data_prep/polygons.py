"""Polygons in pixel coordinates: refuse, repair, clip, round. x right, y down, (0, 0) the outer corner of pixel one."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np
import shapely
from shapely.geometry import MultiPolygon, Polygon

Area = Polygon | MultiPolygon

NOT_FINITE = 'coordinates are NaN or infinite'
DECIMALS = 3  # of coordinates we write: a thousandth of a pixel


def are_numbers(values: Iterable[object]) -> bool:
    """Whether all values that a JSON file holds are numbers; true and false are none."""
    return set(map(type, values)) <= {int, float}


def are_finite(numbers: Iterable[float]) -> bool:
    """Whether all numbers are finite as floats."""
    try:
        return all(map(math.isfinite, numbers))
    except OverflowError:  # a whole number that no float can hold
        return False


def polygon_parts(geometry: shapely.Geometry | None) -> Area | None:
    """Keep what has an area: polygons, also those inside a collection; None where nothing has."""
    if geometry is None:
        return None
    if geometry.geom_type == 'Polygon':  # nearly all
        return geometry if geometry.area > 0 else None
    parts = [part for part in shapely.get_parts(geometry, return_index=False) if not part.is_empty]
    polygons = []
    for part in parts:
        if part.geom_type == 'GeometryCollection' or part.geom_type == 'MultiPolygon':
            inner = polygon_parts(part)
            polygons += [] if inner is None else list(shapely.get_parts(inner))
        elif part.geom_type == 'Polygon' and part.area > 0:
            polygons.append(part)
    if not polygons:
        return None
    return polygons[0] if len(polygons) == 1 else MultiPolygon(polygons)


def unusable(geometry: shapely.Geometry | None) -> str | None:
    """Why a geometry cannot be an object, or None where it may become one."""
    if geometry is None:
        return 'no readable geometry (missing, or a ring of fewer than 3 points)'
    if geometry.is_empty:
        return 'empty geometry'
    if geometry.geom_type not in ('Polygon', 'MultiPolygon', 'GeometryCollection'):
        return f'{geometry.geom_type} is not a polygon'
    if not np.isfinite(shapely.get_coordinates(geometry)).all():
        return NOT_FINITE
    return None


def repair(geometry: shapely.Geometry) -> tuple[Area | None, str | None]:
    """Make a polygon valid without losing what its outline encloses.

    A self-crossing outline keeps every lobe (GEOS 'structure' repair; ``buffer(0)`` would lose half of a bow-tie), and
    parts that collapse to a line or a point are left out.

    Args:
        geometry: Polygon, multi-polygon or collection with finite coordinates.

    Returns:
        The valid polygon, or None where nothing has an area, and what was wrong with it, or None where it was valid.
    """
    if geometry.is_valid:
        return polygon_parts(geometry), None
    problem = shapely.is_valid_reason(geometry).split('[')[0].strip()
    return polygon_parts(shapely.make_valid(geometry, method='structure', keep_collapsed=False)), problem


def clip(polygon: Area, box_xyxy: tuple[float, float, float, float]) -> Area | None:
    """Part of a valid polygon inside a box, or None. Over boxes that tile the plane the areas add up to the whole."""
    x0, y0, x1, y1 = polygon.bounds
    if box_xyxy[0] <= x0 and box_xyxy[1] <= y0 and x1 <= box_xyxy[2] and y1 <= box_xyxy[3]:
        return polygon  # most objects of a tile lie in it whole
    return polygon_parts(shapely.intersection(polygon, shapely.box(*box_xyxy)))


def to_tile(polygon: Area, x: int, y: int) -> Area | None:
    """Move into tile pixels and round to what is written; rings that rounding flattens are left out.

    Returns:
        The rounded polygon, or None where nothing is left. Each ring has at least three vertices and an area.
    """

    def rounded(ring: shapely.LinearRing) -> np.ndarray:
        return np.round(np.asarray(ring.coords) - (x, y), DECIMALS) + 0.0  # + 0.0 turns -0.0 into 0.0

    parts = []
    for part in shapely.get_parts(polygon):
        shell, *holes = [rounded(ring) for ring in (part.exterior, *part.interiors)]
        if Polygon(shell).area > 0:
            parts.append(Polygon(shell, [hole for hole in holes if Polygon(hole).area > 0]))
    if not parts:
        return None
    return parts[0] if len(parts) == 1 else MultiPolygon(parts)


def rings(polygon: Area) -> list[np.ndarray]:
    """Outer rings, each (V, 2) without the repeated last vertex, V >= 3."""
    return [np.asarray(part.exterior.coords)[:-1] for part in shapely.get_parts(polygon)]


def has_holes(polygon: Area) -> bool:
    """Whether any part has a hole, which COCO polygons cannot say."""
    return any(len(part.interiors) for part in shapely.get_parts(polygon))
