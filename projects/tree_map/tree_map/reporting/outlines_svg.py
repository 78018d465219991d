"""Outlines as paths that SVG and canvas both read, in whole tenths of a source pixel, within a number of bytes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import shapely
from numpy.typing import NDArray

STEP_PX = 0.1  # of a source pixel: what the numbers of a path count
FINEST_PX = 0.3  # that an outline may move when it is simplified, doubled until all fit
COARSEST_PX = 20.0


def in_pixels(geometries: NDArray[np.object_], plane_to_pixel: Sequence[float]) -> NDArray[np.object_]:
    """From the plane to source pixels, x right, y down; None stays None."""
    a, b, c, d, e, f = plane_to_pixel
    return shapely.transform(geometries, lambda xy: xy @ np.array([[a, d], [b, e]]) + (c, f))


def paths(geometries_px: NDArray[np.object_], most_bytes: int) -> list[str]:
    """Paths of outlines, simplified as little as the number of bytes asks for.

    Args:
        geometries_px: Polygons or lines in source pixels, (n,).
        most_bytes: Of all of them together; held unless even the coarsest outlines need more.
    """
    tolerance = FINEST_PX
    while True:
        simple = shapely.simplify(geometries_px, tolerance)
        made = [path(geometry) for geometry in simple]
        if sum(map(len, made)) <= most_bytes or tolerance >= COARSEST_PX:
            return made
        tolerance *= 2


def path(geometry: shapely.Geometry) -> str:
    """One geometry as a path: absolute where a ring begins, then steps; holes are rings of their own."""
    return ''.join(_ring(ring) for ring in _rings(geometry))


def _rings(geometry: shapely.Geometry | None) -> list[shapely.Geometry]:
    parts = shapely.get_parts(geometry) if geometry is not None else []
    return [ring for part in parts for ring in
            ((part.exterior, *part.interiors) if part.geom_type == 'Polygon' else (part,))]  # fmt: skip


def _ring(ring: shapely.Geometry) -> str:
    points = np.rint(shapely.get_coordinates(ring) / STEP_PX).astype(int)  # rounded before the steps: no drift
    closed = ring.geom_type == 'LinearRing'
    steps = np.diff(points[:-1] if closed else points, axis=0)
    # A minus needs no blank before it: that is a tenth of the bytes.
    text = ''.join(f' {value}' if value >= 0 else str(value) for value in steps.ravel())
    return f'M{points[0, 0]} {points[0, 1]}l{text.lstrip()}{"z" if closed else ""}' if len(steps) else ''
