"""Which parts of an outline are the tree: not the specks far from it, not the arms of another tree fused with it."""

from __future__ import annotations

import numpy as np
import shapely

from tree_map.measuring.sections import Floats, Samples

SMALL = 0.12  # of the largest part's area
SLANT = 0.15  # by which a trunk may have bent away from the line of its largest part, m per m
BESIDE = 0.1  # of the length that is seen: crowns and bends lie so far beside the line
FARTHEST = 3.0  # lengths seen, over which a small part is not looked for
TRIED = 9  # parts, the largest first, for the line of a tree
ANGLES = 120  # tried for the longest limb
POINTS = 4000  # taken of a tree for that


def sides(polygon: shapely.Geometry) -> tuple[Floats, Floats, Floats]:
    """Middle and the vectors of the long and the short side of the smallest rectangle around it, m.

    One of its sides lies on the convex hull (Freeman & Shapira, Determining the Minimum-Area Encasing Rectangle, 1975).
    """
    hull = shapely.get_coordinates(shapely.convex_hull(polygon))
    origin, steps = hull[0], np.diff(hull, axis=0)
    ways = steps / np.maximum(np.hypot(*steps.T), 1e-12)[:, None]
    ways = np.stack([ways, ways[:, ::-1] * (-1, 1)])  # (2, edges, xy)
    at = ways @ (hull - origin).T
    low, high = at.min(-1), at.max(-1)
    reach = high - low
    best = int(np.where(np.hypot(*steps.T) > 0, reach[0] * reach[1], np.inf).argmin())
    middle = origin + ((low + high)[:, best, None] / 2 * ways[:, best]).sum(0)
    k = int(reach[1, best] > reach[0, best])
    return middle, reach[k, best] * ways[k, best], reach[1 - k, best] * ways[1 - k, best]


def long_side(polygon: shapely.Geometry) -> float:
    """Of the smallest rectangle around it, at any angle, m."""
    return float(np.hypot(*sides(polygon)[1]))


def main_parts(polygon: shapely.MultiPolygon) -> shapely.MultiPolygon:
    """The outline without parts that are small beside the largest and far from its line.

    Of its line: where what hides a tree left stumps of it, the line through the largest and another part that most of
    the area lies beside.
    """
    parts = shapely.get_parts(polygon)
    area = shapely.area(parts)
    small = area < SMALL * area.max()
    if not small.any():
        return polygon
    _, along, across = sides(parts[area.argmax()])
    width = np.hypot(*across)
    seen = polygon.area / max(min(width, area.max() / np.hypot(*along)), 1e-12)  # length, were it all stem
    xy = shapely.get_coordinates(shapely.centroid(parts))
    apart = xy - xy[area.argmax()]
    ways = np.concatenate([along[None], apart[np.argsort(-area)[1:TRIED]]])
    ways /= np.maximum(np.hypot(*ways.T), 1e-12)[:, None]
    on = np.clip(np.abs(ways @ apart.T) - np.hypot(*along) / 2, 0, None)  # (ways, parts)
    off = np.abs(ways[:, :1] * apart[:, 1] - ways[:, 1:] * apart[:, 0])
    best = int(((off < width + 0.05 * on) @ area).argmax())
    near = off[best] < 2 * width + BESIDE * seen + SLANT * on[best]
    kept = ~small | (near & (on[best] < FARTHEST * seen))
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
