"""Trees that go on behind something: crowns, other trunks, and stretches that the network missed."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import shapely
from numpy.typing import NDArray
from scipy.spatial import KDTree

from tree_map.joining.axes import Axes, main_axes
from tree_map.joining.components import connected
from tree_map.joining.continuation import one_to_one
from tree_map.joining.settings import JoinSettings
from tree_map.pieces import Trees

ROUGH_TURN = np.cos(np.deg2rad(30))  # of whole trees, which may bend, before their ends are looked at
BY_LENGTH = 3.0  # the longest gap by the length of the shorter tree: a stump does not reach across a clearing
ENDS_OVERLAP = 1.5  # of their thickness that two ends may run past one another
SLOPE = 0.06  # sideways by length of the gap: what ragged ends are known to point at
MIN_WIDTH_RATIO = 0.5  # a trunk tapers, and is drawn thinner where it is half covered
Rows = NDArray[np.intp]
Floats = NDArray[np.floating]


def bridged(trees: Trees, settings: JoinSettings) -> Trees:
    """Unite trees whose ends face each other across a gap of `max_bridge_px` at most and lie on one line.

    The gap stays open: what nobody saw has no area. Each end has one partner, the one that fits best.
    """
    first, second = bridges(trees, settings) if settings.max_bridge_px > 0 else (np.empty(0, int),) * 2
    if not len(first):
        return trees
    group = connected(len(trees), first, second)
    order = np.argsort(group, kind='stable')
    size = np.bincount(group)
    start = np.cumsum(size) - size
    polygons = trees.polygons[order[start]]
    for number in np.flatnonzero(size > 1):
        polygons[number] = shapely.union_all(trees.polygons[order[start[number] : start[number] + size[number]]])
    weight = np.maximum(shapely.area(trees.polygons), 1e-9)
    scores = np.bincount(group, weight * trees.scores) / np.bincount(group, weight)
    low, high = np.minimum.reduceat(trees.scores[order], start), np.maximum.reduceat(trees.scores[order], start)
    return Trees(
        polygons,
        np.clip(scores, low, high),  # a mean stays between, whatever was rounded
        trees.labels[order[start]],
        np.add.reduceat(trees.parts[order], start),
        np.logical_or.reduceat(trees.seam_joined[order], start) | (size > 1),
    )


def bridges(trees: Trees, settings: JoinSettings) -> tuple[Rows, Rows]:
    """Pairs of trees that continue one another."""
    axes = main_axes(trees.polygons)
    rows = np.repeat(np.flatnonzero(axes.elongated), 2)
    outward = axes.along[rows] * np.where(np.arange(len(rows)) % 2, -1.0, 1.0)[:, None]
    a, b = may_face(axes[rows], outward, rows, trees.labels[rows], settings)
    if not len(a):
        return a, b
    ends, place = np.unique(np.append(a, b), return_inverse=True)
    tips = tips_of(trees.polygons[rows[ends]], axes[rows[ends]], outward[ends])
    a, b = np.split(place, 2)
    shorter = np.minimum(axes.length[rows[ends[a]]], axes.length[rows[ends[b]]])
    longest = np.minimum(settings.max_bridge_px, BY_LENGTH * shorter)
    a, b, _ = one_to_one(a, b, misfit(tips[a], tips[b], longest, settings))
    return rows[ends[a]], rows[ends[b]]


def may_face(axes: Axes, outward: Floats, rows: Rows, labels: Rows, settings: JoinSettings) -> tuple[Rows, Rows]:
    """Pairs of ends of different trees of one class, near one another and pointing roughly at each other."""
    points = axes.centre + outward * axes.length[:, None] / 2
    reach = settings.max_bridge_px * 1.3  # a moment's length is not where a ragged tree ends
    a, b = KDTree(points).query_pairs(reach, output_type='ndarray').T
    a, b = np.minimum(a, b), np.maximum(a, b)
    possible = (rows[a] != rows[b]) & (labels[a] == labels[b])
    a, b = a[possible], b[possible]
    facing = (outward[a] * outward[b]).sum(1) < -ROUGH_TURN
    a, b = a[facing], b[facing]
    order = np.lexsort((b, a))  # a search tree gives pairs in no order
    return a[order], b[order]


def tips_of(polygons: NDArray[np.object_], axes: Axes, outward: Floats) -> Axes:
    """Axes of the last stretch of each tree, `along` pointing out of it."""
    xy, of = shapely.get_coordinates(polygons, return_index=True)
    far = np.full(len(polygons), -np.inf)
    np.maximum.at(far, of, ((xy - axes.centre[of]) * outward[of]).sum(1))
    depth = np.clip(4 * axes.thickness, 32, 128)
    outer, inner = (axes.centre + outward * value[:, None] for value in (far + 1, far - depth))
    side = np.stack([-outward[:, 1], outward[:, 0]], 1) * (axes.length + depth)[:, None]
    stretch = shapely.polygons(np.stack([outer + side, outer - side, inner - side, inner + side], 1))
    tips = main_axes(shapely.intersection(polygons, stretch))
    forward = np.where((tips.along * outward).sum(1) < 0, -1.0, 1.0)[:, None]
    return replace(tips, along=np.where(tips.elongated[:, None], tips.along * forward, outward))


def misfit(a: Axes, b: Axes, longest: Floats, settings: JoinSettings) -> Floats:
    """How badly b goes on where a ends, (n,); infinite where it does not."""
    turn = np.arccos(np.clip(-(a.along * b.along).sum(1), -1, 1))
    most_turn = np.deg2rad(settings.max_bridge_turn_deg) + np.arctan(2 / np.maximum(np.minimum(a.length, b.length), 1))
    line = a.along - b.along
    line /= np.maximum(np.hypot(*line.T), 1e-9)[:, None]
    apart = b.centre + b.along * b.length[:, None] / 2 - a.centre - a.along * a.length[:, None] / 2
    gap = (apart * line).sum(1)
    aside = np.abs(apart[:, 0] * line[:, 1] - apart[:, 1] * line[:, 0])
    thin, thick = np.minimum(a.thickness, b.thickness), np.maximum(a.thickness, b.thickness)
    most_aside = 2 + thin / 4 + SLOPE * np.maximum(gap, 0)
    fits = (turn <= most_turn) & (aside <= most_aside) & (thin >= MIN_WIDTH_RATIO * thick)
    fits &= (gap <= longest) & (gap >= -ENDS_OVERLAP * thick)
    return np.where(fits, aside / most_aside + turn / most_turn + np.maximum(gap, 0) / settings.max_bridge_px, np.inf)
