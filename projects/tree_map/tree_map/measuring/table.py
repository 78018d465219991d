"""A row of measures for each polygon of a map."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd
import shapely
from numpy.typing import NDArray

from tree_map.measuring.intervals import MASK_ERROR_PX, with_intervals
from tree_map.measuring.parts import main_parts
from tree_map.measuring.plausible import plausible_stem
from tree_map.measuring.sections import samples
from tree_map.measuring.stem import Stem


class Measures(NamedTuple):
    """What `measure` gives.

    Attributes:
        table: One row per tree, columns as in ``measure``.
        centrelines: LineString or None per tree, (n,) object.
    """

    table: pd.DataFrame
    centrelines: NDArray[np.object_]


def measure(
    polygons: NDArray[np.object_], gsd_m: float, mask_error_px: float = MASK_ERROR_PX, level: float = 0.9
) -> Measures:
    """Measure trees.

    Args:
        polygons: Polygon or MultiPolygon per tree, in metres, x east, y north, (n,). What is hidden may part a tree.
        gsd_m: Side of a pixel that the outlines were found in, m.
        mask_error_px: Root mean square distance of the outlines from the true borders, px; 0 for exact masks.
        level: Share of intervals that shall hold the truth.

    Returns:
        Table with `length_m`, `diameter_base_m` (above the flare, at 6 % of the length), `diameter_mid_m`,
        `diameter_top_m`, `volume_m3`, `area_m2`, each with `_lo` and `_hi` before its unit, `visible_fraction` with
        `visible_lo` and `visible_hi`, `azimuth_deg` with `azimuth_error_deg`, half the width of its interval, and
        `direction`: 'fall', from base to top, 0 <= azimuth < 360, or 'axis', 0 <= azimuth < 180. Centrelines run as
        the azimuth does: from base to top, or from west to east (south to north) where only the axis is known; there
        the base is the thicker end.
        Small parts far from the line of the largest are ignored; of an outline that no trunk can have (L, X, a clump)
        the longest straight limb is measured, as an axis, with intervals as wide as what is left aside demands.
        A geometry that is empty, has no area or no finite coordinates gives NaN and no centreline.

    Raises:
        ValueError: If gsd_m is not above 0, mask_error_px below 0, or level not between 0 and 1.
    """
    if not (gsd_m > 0 and mask_error_px >= 0 and 0 < level < 1):
        raise ValueError(f'gsd_m > 0, mask_error_px >= 0, 0 < level < 1 must hold: {gsd_m}, {mask_error_px}, {level}')
    polygons = np.asarray(polygons, object).reshape(-1)
    sound = np.array([_sound(polygon) for polygon in polygons], object).reshape(-1)
    usable = np.flatnonzero([polygon is not None for polygon in sound])
    stems: list[Stem | None] = [None] * len(polygons)
    main = np.array([main_parts(polygon) for polygon in sound[usable]], object).reshape(-1)
    for k, outline, pieces in zip(usable, main, samples(main, gsd_m), strict=True):
        stems[k] = plausible_stem(sound[k], outline, pieces, gsd_m, mask_error_px)
    perimeter = np.array([np.nan if polygon is None else polygon.length for polygon in sound], float)
    table = with_intervals(stems, perimeter, gsd_m, mask_error_px, level)
    lines = np.array([None if stem is None else shapely.LineString(stem.line) for stem in stems], object)
    return Measures(table, lines.reshape(-1))


def _sound(polygon: shapely.Geometry | None) -> shapely.Geometry | None:
    """The polygon with area, valid; None where there is none."""
    if not isinstance(polygon, shapely.Polygon | shapely.MultiPolygon | shapely.GeometryCollection):
        return None
    if polygon.is_empty or not np.isfinite(polygon.bounds).all():
        return None
    if not polygon.is_valid:
        polygon = shapely.make_valid(polygon, method='structure', keep_collapsed=False)
    parts = [part for part in shapely.get_parts(polygon) if part.geom_type == 'Polygon' and part.area > 0]
    return shapely.MultiPolygon(parts) if parts else None
