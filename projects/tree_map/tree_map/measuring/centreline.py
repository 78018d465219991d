"""The line down the middle of a trunk: it follows bends and bridges what is hidden."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.linalg import solveh_banded
from scipy.sparse import coo_array, csgraph
from scipy.spatial import cKDTree

from tree_map.measuring.sections import Floats, Samples

REACH = 0.22  # of the length: bends shorter than this are taken for roughness of the outline
ROUNDS = 2


@dataclass(frozen=True)
class Curve:
    """A line with its lengths and directions: nodes (k, 2) m, `at` (k,) m from its first node, unit tangents (k, 2)."""

    xy: Floats
    at: Floats
    tangent: Floats

    @classmethod
    def through(cls, xy: Floats) -> Curve:
        """A line through points in order, no two neighbours alike."""
        steps = np.hypot(*np.diff(xy, axis=0).T)
        kept = np.append(True, steps > 1e-9)
        xy, steps = xy[kept], steps[kept[1:]]
        at = np.append(0, np.cumsum(steps))
        along = np.concatenate([xy[1:2] - xy[:1], xy[2:] - xy[:-2], xy[-1:] - xy[-2:-1]])
        return cls(xy, at, along / np.maximum(np.hypot(*along.T), 1e-12)[:, None])

    def point(self, at: Floats) -> Floats:
        """Points at lengths along the line, straight on beyond its ends; (n, 2)."""
        inside = np.clip(at, 0, self.at[-1])
        xy = np.stack([np.interp(inside, self.at, axis) for axis in self.xy.T], 1)
        beyond = at - inside
        return xy + beyond[:, None] * np.where(beyond[:, None] < 0, self.tangent[0], self.tangent[-1])

    def straighten(self, xy: Floats, near: Floats) -> tuple[Floats, Floats]:
        """Length along the line and distance to its left of points, each near the length that is given."""
        at = near
        for _ in range(2):
            inside = np.clip(at, 0, self.at[-1])
            tx, ty = (np.interp(inside, self.at, axis) for axis in self.tangent.T)
            dx, dy = (xy[:, k] - np.interp(inside, self.at, self.xy[:, k]) for k in (0, 1))
            at = inside + (dx * tx + dy * ty) / np.hypot(tx, ty)
        return at, (dy * tx - dx * ty) / np.hypot(tx, ty)


@dataclass(frozen=True)
class Straight:
    """A tree in its own coordinates: bins of one length along its centreline.

    Attributes:
        curve: The centreline, as long as the outline reaches and some more.
        edges: Of the bins, m along the curve, (b + 1,).
        width: Area of a bin by its length, m, (b,).
        offset: Of the area's middle from the curve, m, (b,).
        place: Of each sample along the curve, m, (n,).
    """

    curve: Curve
    edges: Floats
    width: Floats
    offset: Floats
    place: Floats

    @property
    def at(self) -> Floats:
        """Middles of the bins, m, (b,)."""
        return (self.edges[1:] + self.edges[:-1]) / 2


def smooth(values: Floats, weights: Floats, reach: float) -> Floats:
    """Values at equal steps without waves shorter than `reach` steps; where the weight is 0, what lies beside goes on.

    Penalised least squares with second differences (Whittaker 1923; Eilers, A Perfect Smoother, 2003). The penalty
    halves a wave of `reach` steps.
    """
    count = len(values)
    if count < 3:
        return values
    penalty = (reach / (2 * np.pi)) ** 4
    diagonals = np.zeros((3, count))
    for row, column, value in ((2, slice(0, -2), 1), (2, slice(1, -1), 4), (2, slice(2, None), 1)):
        diagonals[row, column] += value
    diagonals[1, 1:-1] += -2
    diagonals[1, 2:] += -2
    diagonals[0, 2:] += 1
    bands = penalty * diagonals
    bands[2] += weights + 1e-9
    return solveh_banded(bands, weights * values, check_finite=False)


def straighten(samples: Samples, gsd_m: float, reach: float = REACH) -> Straight:
    """Find the middle of a tree; with a `reach` above REACH as a stiffer line, along the principal axis from the start.

    First along its principal axis, or by way through the polygon where it turns back; then each round moves the line
    to the middle of the area across it. Bins that are much wider or narrower than most say little.
    """
    free = samples.turned and reach == REACH
    near = _way_through(samples, gsd_m) if free else samples.along - samples.along.min()
    width = samples.area.sum() / max(float(np.ptp(near)), gsd_m)
    xy = _means(samples, near, max(2 * width, 4 * gsd_m))
    curve = Curve.through(xy)
    near = near - near.min() - _first(samples, near, xy)
    at, across = curve.straighten(samples.xy, near)
    count = int(np.clip(np.ptp(at) / max(2 * gsd_m, width / 2), 6, 400))
    straight = _bins(samples, curve, at, across, gsd_m, count)
    for _ in range(ROUNDS):
        straight = moved(samples, straight, _trust(straight.width), gsd_m, reach)
    return straight


def straight_on(samples: Samples, gsd_m: float) -> Straight:
    """The principal axis for a centreline."""
    along, xy = samples.along - np.average(samples.along, weights=samples.area), samples.xy
    centre = np.average(xy, axis=0, weights=samples.area)
    way = (samples.area * along) @ (xy - centre)
    way = way / max(float(np.hypot(*way)), 1e-12)
    at, across = (xy - centre) @ way, (xy - centre) @ (way[::-1] * (-1, 1))
    low, high = float(at.min()), float(at.max())
    curve = Curve.through(centre + np.array([[low], [max(high, low + gsd_m / 10)]]) * way)
    width = samples.area.sum() / max(high - low, gsd_m)
    count = int(np.clip((high - low) / max(2 * gsd_m, width / 2), 6, 400))
    return _bins(samples, curve, at - low, across, gsd_m, count)


def moved(samples: Samples, straight: Straight, weights: Floats, gsd_m: float, reach: float = REACH) -> Straight:
    """The line moved to the middle of the bins, as far as their weights (b,) say."""
    middle = straight.curve.point(straight.at)
    normal = Curve.through(middle).tangent[:, ::-1] * (-1, 1)
    found = middle + straight.offset[:, None] * normal
    curve = Curve.through(np.stack([smooth(axis, weights, reach * len(weights)) for axis in found.T], 1))
    at, across = curve.straighten(samples.xy, straight.place - straight.at[0])
    return _bins(samples, curve, at, across, gsd_m, len(weights))


def _first(samples: Samples, near: Floats, xy: Floats) -> float:
    """How far the first node lies from where lengths were counted."""
    low = near.min()
    closest = np.argmin(((samples.xy - xy[0]) ** 2).sum(1))
    return float(near[closest] - low)


def _means(samples: Samples, near: Floats, step: float) -> Floats:
    """Middles of the area in slices of about `step`, (k, 2), two at least."""
    low, high = near.min(), near.max()
    count = int(np.clip((high - low) / step, 2, 400))
    slot = np.minimum(((near - low) / max(high - low, 1e-9) * count).astype(int), count - 1)
    area = np.bincount(slot, samples.area, count)
    xy = np.stack([np.bincount(slot, samples.area * axis, count) for axis in samples.xy.T], 1)
    return xy[area > 0] / area[area > 0, None]


def _bins(samples: Samples, curve: Curve, at: Floats, across: Floats, gsd_m: float, count: int) -> Straight:
    half = samples.pitch / 2
    low, high = float(at.min()) - half, float(at.max()) + half
    reach = max(high - low, gsd_m)
    step = reach / count
    # A piece reaches from line to line and may lie in two bins; were it put into one, widths would beat with the lines.
    start = (at - half - low) / step
    slot = np.clip(start.astype(int), 0, count - 1)
    over = np.clip((start + 2 * half / step - slot - 1) * step / (2 * half), 0, 1) * (slot < count - 1)
    slots, parts = np.append(slot, slot + 1), np.append(samples.area * (1 - over), samples.area * over)
    area = np.bincount(slots, parts, count + 1)[:count]
    offset = np.bincount(slots, parts * np.append(across, across), count + 1)[:count] / np.maximum(area, 1e-12)
    edges = low + step * np.arange(count + 1)
    return Straight(curve, edges, area / step, offset, at)


def _trust(width: Floats) -> Floats:
    """Weight of a bin's middle: that of a plate, a crown, or a trunk half hidden is far from the stem's."""
    usual = np.median(width[width > 0])
    return np.minimum(width / usual, 1) ** 2 * np.minimum(usual / np.maximum(width, 1e-12), 1) ** 2


def _way_through(samples: Samples, gsd_m: float) -> Floats:
    """Length of the shortest way inside the polygon from one far end of it; gaps are bridged where they are least.

    Each piece knows its neighbours; the end is the piece farthest from any other (Dijkstra, twice).
    """
    keep = np.arange(0, len(samples.area), max(1, len(samples.area) // 1500))
    xy = samples.xy[keep]
    tree = cKDTree(xy)
    spacing = np.sqrt(samples.area.sum() / len(keep))
    pairs = tree.query_pairs(1.8 * max(spacing, gsd_m / 2), output_type='ndarray')
    length = np.hypot(*(xy[pairs[:, 0]] - xy[pairs[:, 1]]).T)
    graph = coo_array((length, pairs.T), (len(keep), len(keep))).tocsr()
    graph = _bridged(graph, xy)
    start = int(csgraph.dijkstra(graph, directed=False, indices=0).argmax())
    distance = csgraph.dijkstra(graph, directed=False, indices=start)
    return distance[tree.query(samples.xy)[1]]


def _bridged(graph, xy: Floats):
    """The graph with the shortest bridges that make it one; bridges cost three times their length, to be few."""
    count, label = csgraph.connected_components(graph, directed=False)
    while count > 1:
        smallest = int(np.bincount(label).argmin())
        own, rest = np.flatnonzero(label == smallest), np.flatnonzero(label != smallest)
        gap, to = cKDTree(xy[rest]).query(xy[own])
        k = int(gap.argmin())
        bridge = coo_array(([3 * gap[k]], ([own[k]], [rest[to[k]]])), graph.shape)
        graph = (graph + bridge.tocsr()).tocsr()
        label[own] = label[rest[to[k]]]
        label = np.unique(label, return_inverse=True)[1]
        count -= 1
    return graph
