"""Which parts of an outline are the tree: not the specks far from it, not the arms of another tree fused with it."""

from __future__ import annotations

import numpy as np
import shapely

from tree_map.measuring.sections import Floats, Samples

SMALL = 0.12  # of the largest part's area
SLANT = 0.25  # by which a trunk may have bent away from the line of its largest part, m per m
FARTHEST = 3.0  # lengths of the largest part, over which a small one is not looked for
ANGLES = 120  # tried for the longest limb
POINTS = 4000  # taken of a tree for that


def long_side(polygon: shapely.Geometry) -> float:
    """Of the smallest rectangle around it, at any angle, m."""
    corners = shapely.get_coordinates(shapely.minimum_rotated_rectangle(polygon))
    return float(np.hypot(*np.diff(corners, axis=0).T).max())


def main_parts(polygon: shapely.MultiPolygon) -> shapely.MultiPolygon:
    """The outline without parts that are small beside the largest and far from its line."""
    parts = shapely.get_parts(polygon)
    if len(parts) == 1:
        return polygon
    area = shapely.area(parts)
    largest = parts[area.argmax()]
    corners = shapely.get_coordinates(shapely.minimum_rotated_rectangle(largest))[:4]
    if len(corners) < 4:
        return polygon
    sides = np.diff(corners[:3], axis=0)
    along, across = sorted(sides, key=lambda side: -np.hypot(*side))
    length, width = np.hypot(*along), np.hypot(*across)
    apart = shapely.get_coordinates(shapely.centroid(parts)) - corners.mean(0)
    on = np.clip(np.abs(apart @ along) / length - length / 2, 0, None)
    off = np.abs(apart[:, 0] * along[1] - apart[:, 1] * along[0]) / length
    # Of a stump of a part nobody knows the line.
    near = off < 2 * width + np.clip(4 * width / length, SLANT, 1) * on
    kept = (area >= SMALL * area.max()) | (near & (on < FARTHEST * length))
    return polygon if kept.all() else shapely.MultiPolygon(list(parts[kept]))


def usual_width(polygon: shapely.Geometry, samples: Samples) -> float:
    """Of a strip as wide everywhere as the outline on average: four times the mean distance from its border, m."""
    few = slice(None, None, max(1, len(samples.area) // 300))
    distance = shapely.distance(polygon.boundary, shapely.points(samples.xy[few]))
    return 4 * float(np.average(distance, weights=samples.area[few]))


def longest_limb(polygon: shapely.Geometry, samples: Samples, gsd_m: float) -> shapely.MultiPolygon | None:
    """What of the outline lies along the straight line that has most of its area beside it.

    All lines of some angles are tried (the transform of Duda & Hart, Use of the Hough Transformation to Detect Lines
    and Curves in Pictures, 1972), and the best is moved to the middle of what lies beside it. Of L, V and X this is
    one arm.
    """
    width = max(usual_width(polygon, samples), gsd_m)
    few = slice(None, None, max(1, len(samples.area) // POINTS))
    xy, area = samples.xy[few], samples.area[few]
    centre, way = _best_line(xy, area, width)
    for half in (1.5, 1.0, 1.0):
        here = xy - centre
        near = np.abs(here[:, 0] * way[1] - here[:, 1] * way[0]) < half * width
        if near.sum() < 3:
            break
        centre = np.average(xy[near], axis=0, weights=area[near])
        spread = np.cov(xy[near].T, aweights=area[near])
        way = np.linalg.eigh(spread)[1][:, -1]
    reach = np.ptp(samples.xy, axis=0).sum() + width
    line = shapely.LineString([centre - reach * way, centre + reach * way])
    return as_parts(polygon.intersection(line.buffer(1.2 * width)))


def as_parts(geometry: shapely.Geometry) -> shapely.MultiPolygon | None:
    """Its polygons with area; None without any."""
    parts = [part for part in shapely.get_parts(geometry) if part.geom_type == 'Polygon' and part.area > 0]
    return shapely.MultiPolygon(parts) if parts else None


def _best_line(xy: Floats, area: Floats, width: float) -> tuple[Floats, Floats]:
    angle = np.arange(ANGLES) * np.pi / ANGLES
    way = np.stack([np.cos(angle), np.sin(angle)], 1)
    here = xy - xy.mean(0)
    off = here[:, :1] * way[:, 1] - here[:, 1:] * way[:, 0]  # (n, angles)
    step = max(width / 2, np.ptp(off) / 1000)
    slot = np.round((off - off.min()) / step).astype(int) + 1
    slots = int(slot.max()) + 2
    summed = np.bincount((slot + slots * np.arange(ANGLES)).ravel(), np.repeat(area, ANGLES), slots * ANGLES)
    summed = summed.reshape(ANGLES, slots)
    beside = summed[:, :-2] + summed[:, 1:-1] + summed[:, 2:]
    which, at = np.unravel_index(beside.argmax(), beside.shape)
    offset = at * step + off.min()
    return xy.mean(0) + offset * np.array([way[which, 1], -way[which, 0]]), way[which]
