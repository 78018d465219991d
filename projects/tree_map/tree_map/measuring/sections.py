"""Polygons cut into small pieces of equal kind, many trees at once: what centreline and widths are taken from."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import shapely
from numpy.typing import NDArray

Floats = NDArray[np.float64]
FEWEST, MOST = 16, 1500  # lines across a tree, whatever its size
BROADEST = 40  # pieces of a chord
AT_ONCE = 64  # trees whose pieces are held


@dataclass(frozen=True)
class Samples:
    """Pieces of one tree; they add up to its area.

    Attributes:
        xy: Middles, m, (n, 2).
        area: m2, (n,).
        along: Place along the tree's principal axis, m, (n,).
        pitch: From line to line, m.
        turned: Whether lines across that axis meet the tree in places far apart: it turns back, or parts
            lie abreast.
    """

    xy: Floats
    area: Floats
    along: Floats
    pitch: float
    turned: bool


@dataclass(frozen=True)
class Rings:
    """Closed rings of many trees, one vertex after the other.

    Attributes:
        xy: Vertices, m, (v, 2).
        tree: Of each vertex, (v,).
        last: Whether a vertex closes its ring, (v,).
        sign: -1 on the ring of a hole, 1 on an outer one, (v,).
    """

    xy: Floats
    tree: NDArray[np.int64]
    last: NDArray[np.bool_]
    sign: Floats

    @classmethod
    def of(cls, polygons: NDArray[np.object_]) -> Rings:
        """Of valid polygons."""
        parts, part_tree = shapely.get_parts(polygons, return_index=True)
        rings, ring_part = shapely.get_rings(parts, return_index=True)
        xy, ring = shapely.get_coordinates(rings, return_index=True)
        outer = np.diff(ring_part, prepend=-1) > 0
        # Which way a ring runs is anybody's choice.
        runs = np.sign(np.add.reduceat(_cross(xy, ring), np.flatnonzero(np.diff(ring, prepend=-1))))
        return cls(
            xy, part_tree[ring_part][ring], np.diff(ring, append=-1) != 0, (np.where(outer, 1.0, -1.0) * runs)[ring]
        )


def _cross(xy: Floats, ring: NDArray[np.int64]) -> Floats:
    same = np.append(ring[1:] == ring[:-1], False)
    origin = xy[np.searchsorted(ring, ring)]  # far from (0, 0) products of coordinates lose their digits
    here, there = xy - origin, np.roll(xy, -1, 0) - origin
    return np.where(same, here[:, 0] * there[:, 1] - here[:, 1] * there[:, 0], 0.0)


def principal_axes(rings: Rings, count: int) -> tuple[Floats, Floats]:
    """Centroid (count, 2) and unit vector of the longest axis (count, 2), pointing east, or north where it is upright.

    From the second moments of area, exact by Green's theorem (Steger, On the Calculation of Arbitrary Moments of
    Polygons, 1996).
    """
    first = rings.xy[np.searchsorted(rings.tree, np.arange(count))]
    here = rings.xy - first[rings.tree]
    there = np.roll(here, -1, 0)
    twice = np.where(rings.last, 0, (here[:, 0] * there[:, 1] - here[:, 1] * there[:, 0]) * rings.sign)
    total = lambda values: np.bincount(rings.tree, values, count)  # noqa: E731
    area = total(twice) / 2
    centre = np.stack([total(twice * (here[:, k] + there[:, k])) for k in (0, 1)], 1) / (6 * area[:, None])
    (x0, y0), (x1, y1) = here.T, there.T
    xx = total(twice * (x0 * x0 + x0 * x1 + x1 * x1)) / 12 / area - centre[:, 0] ** 2
    yy = total(twice * (y0 * y0 + y0 * y1 + y1 * y1)) / 12 / area - centre[:, 1] ** 2
    xy = total(twice * (x0 * y1 + 2 * x0 * y0 + 2 * x1 * y1 + x1 * y0)) / 24 / area - centre[:, 0] * centre[:, 1]
    angle = np.arctan2(2 * xy, xx - yy) / 2
    return first + centre, np.stack([np.cos(angle), np.sin(angle)], 1)


def samples(polygons: NDArray[np.object_], gsd_m: float) -> Iterator[Samples]:
    """Cut each tree by lines across its principal axis, half a pixel apart, and each chord into pieces of a pixel.

    Args:
        polygons: Valid, not empty, with area; m.
        gsd_m: Side of a pixel, m.
    """
    for start in range(0, len(polygons), AT_ONCE):
        yield from _samples(polygons[start : start + AT_ONCE], gsd_m)


def _samples(polygons: NDArray[np.object_], gsd_m: float) -> Iterator[Samples]:
    count = len(polygons)
    rings = Rings.of(polygons)
    centre, axis = principal_axes(rings, count)
    local = rings.xy - centre[rings.tree]
    a = axis[rings.tree]
    uv = np.stack([(local * a).sum(1), local[:, 1] * a[:, 0] - local[:, 0] * a[:, 1]], 1)
    starts = np.searchsorted(rings.tree, np.arange(count))
    low, high = np.minimum.reduceat(uv[:, 0], starts), np.maximum.reduceat(uv[:, 0], starts)
    lines = np.clip(np.ceil((high - low) / (gsd_m / 2)), FEWEST, MOST).astype(int)
    pitch = (high - low) / lines
    tree, line, v0, v1 = _chords(rings, (uv[:, 0] - low[rings.tree]) / pitch[rings.tree], uv[:, 1])
    turned = _turned(tree, line, v0, v1, pitch, lines)
    pieces = np.clip(np.ceil((v1 - v0) / gsd_m), 2, BROADEST).astype(int)
    which = np.repeat(np.arange(len(tree)), pieces)
    nth = np.arange(len(which)) - np.repeat(np.cumsum(pieces) - pieces, pieces)
    step = ((v1 - v0) / pieces)[which]
    owner = tree[which]
    u, v = low[owner] + (line[which] + 0.5) * pitch[owner], v0[which] + (nth + 0.5) * step
    ax, ay = axis[owner].T
    xy = centre[owner] + np.stack([u * ax - v * ay, u * ay + v * ax], 1)
    ends = np.searchsorted(owner, np.arange(count + 1))
    area = step * pitch[owner]
    for k, (i, j) in enumerate(zip(ends[:-1], ends[1:], strict=True)):
        yield Samples(xy[i:j], area[i:j], u[i:j], float(pitch[k]), bool(turned[k]))


def _chords(rings: Rings, u: Floats, v: Floats) -> tuple[NDArray[np.int64], NDArray[np.int64], Floats, Floats]:
    """Tree, line, start and end of where lines at u = 0.5, 1.5, ... run inside; by the even-odd rule."""
    edge = np.flatnonzero(~rings.last)
    u0, u1, v0, v1 = u[edge], u[edge + 1], v[edge], v[edge + 1]
    first = np.ceil(np.minimum(u0, u1) - 0.5).astype(int)
    crossings = np.ceil(np.maximum(u0, u1) - 0.5).astype(int) - first
    which = np.repeat(np.arange(len(edge)), crossings)
    line = first[which] + np.arange(len(which)) - np.repeat(np.cumsum(crossings) - crossings, crossings)
    at = v0[which] + (line + 0.5 - u0[which]) / (u1 - u0)[which] * (v1 - v0)[which]
    tree = rings.tree[edge][which]
    order = np.lexsort((at, line, tree))
    tree, line, at = tree[order], line[order], at[order]
    return tree[::2], line[::2], at[::2], at[1::2]


def _turned(
    tree: NDArray[np.int64], line: NDArray[np.int64], v0: Floats, v1: Floats, pitch: Floats, lines: NDArray[np.int64]
) -> NDArray[np.bool_]:
    """Whether at least a tenth of the lines cross gaps wider than 1.5 mean widths."""
    count = len(pitch)
    width = np.bincount(tree, (v1 - v0), count) / lines
    same = (tree[1:] == tree[:-1]) & (line[1:] == line[:-1])
    gap = np.where(same, v0[1:] - v1[:-1], 0.0)
    return np.bincount(tree[1:], gap > 1.5 * width[tree[1:]], count) > 0.1 * lines
