"""Which pieces to compare, and how far two masks agree where both of their windows looked."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import shapely
from numpy.typing import NDArray

from tree_map.joining.axes import Axes, alike, main_axes, on_one_line
from tree_map.joining.settings import JoinSettings
from tree_map.pieces import Pieces

MOST_TURN = np.deg2rad(45)  # no trunk bends by more between two windows' pieces of it
MOST_TURN_STRAIGHT = np.deg2rad(20)  # the same, where neither piece shows a bend
Rows = NDArray[np.intp]


@dataclass(frozen=True)
class Agreement:
    """Pairs of pieces whose masks share `min_zone_px`; arrays of one length.

    Attributes:
        first: Row of the first piece.
        second: Row of the second, greater than the first.
        same_window: Whether one window saw both.
        iou: Of what the two show inside the intersection of their windows.
        same_tree: Whether they show the same tree there, by mask and by direction.
        aside: Step that would lay the first on the second there, across the tree, (n, 2); 0 where neither is long.
    """

    first: Rows
    second: Rows
    same_window: NDArray[np.bool_]
    iou: NDArray[np.floating]
    same_tree: NDArray[np.bool_]
    aside: NDArray[np.floating]


def agreement(pieces: Pieces, axes: Axes, settings: JoinSettings) -> Agreement:
    """Compare all pairs of pieces of one class that lie on one another."""
    first, second = pairs_to_compare(pieces, axes)
    shared = shapely.area(shapely.intersection(pieces.polygons[first], pieces.polygons[second]))
    enough = shared >= settings.min_zone_px
    first, second, shared = first[enough], second[enough], shared[enough]
    zones = zone_boxes(pieces, first, second)
    seen_first = clip(pieces.polygons, axes, zones, first)
    seen_second = clip(pieces.polygons, axes, zones, second)
    same_window = pieces.windows[first] == pieces.windows[second]
    smaller = np.minimum(seen_first.area, seen_second.area)
    iou = shared / (seen_first.area + seen_second.area - shared)
    same_way, aside = on_one_line(seen_first, seen_second)
    min_iou = np.where(same_window, settings.duplicate_iou, settings.min_zone_iou)
    min_inside = np.where(same_window, settings.duplicate_inside, settings.min_inside)
    parallel = alike(seen_first, seen_second)
    min_iou = np.where(same_window | ~parallel, min_iou, settings.min_parallel_iou)
    same_tree = same_way & ((iou >= min_iou) | (parallel & (shared >= min_inside * smaller)))
    return Agreement(first, second, same_window, iou, same_tree, aside)


def pairs_to_compare(pieces: Pieces, axes: Axes) -> tuple[Rows, Rows]:
    """Rows of pairs of one class whose boxes touch and that do not point across one another, the lower row first."""
    first, second = shapely.STRtree(pieces.polygons).query(pieces.polygons)
    keep = (first < second) & (pieces.labels[first] == pieces.labels[second])
    first, second = first[keep], second[keep]
    keep = ~across(axes, first, second)
    return first[keep], second[keep]


def zone_boxes(pieces: Pieces, first: Rows, second: Rows) -> NDArray[np.floating]:
    """What both windows of each pair saw, x0 y0 x1 y1, (n, 4)."""
    a, b = (pieces.windows_xywh[pieces.windows[rows]].astype(float) for rows in (first, second))
    return np.hstack([np.maximum(a[:, :2], b[:, :2]), np.minimum(a[:, :2] + a[:, 2:], b[:, :2] + b[:, 2:])])


def clip(polygons: NDArray[np.object_], axes: Axes, boxes: NDArray[np.floating], rows: Rows) -> Axes:
    """Axes of what the boxes show of the polygons at `rows`; those of a whole polygon where it lies inside."""
    seen = axes[rows]
    cut = ((seen.bounds[:, :2] < boxes[:, :2]) | (seen.bounds[:, 2:] > boxes[:, 2:])).any(1)
    inner = main_axes(clipped(polygons[rows[cut]], boxes[cut]))
    for name, values in vars(inner).items():
        getattr(seen, name)[cut] = values
    return seen


def clipped(polygons: NDArray[np.object_], boxes: NDArray[np.floating]) -> NDArray[np.object_]:
    """Each polygon clipped by its box; at once for all that have the same box, where there are many of such."""
    different, row = np.unique(boxes, axis=0, return_inverse=True)
    if 8 * len(different) >= len(boxes):
        return shapely.intersection(polygons, shapely.box(*boxes.T))
    order, result = np.argsort(row, kind='stable'), np.empty(len(polygons), object)
    for box, rows in zip(different, np.split(order, np.cumsum(np.bincount(row))[:-1]), strict=True):
        result[rows] = shapely.clip_by_rect(polygons[rows], *box)
    return result


def across(axes: Axes, first: Rows, second: Rows) -> NDArray[np.bool_]:
    """Whether two whole pieces point across one another by more than two views of one tree do, (pairs,)."""
    long, straight, along = axes.elongated, axes.straight, axes.along
    limit = np.where(straight[first] & straight[second], np.cos(MOST_TURN_STRAIGHT), np.cos(MOST_TURN))
    return long[first] & long[second] & (np.abs((along[first] * along[second]).sum(1)) < limit)


def cut_sides(pieces: Pieces, axes: Axes, cut_px: float) -> NDArray[np.bool_]:
    """Which sides of its window (x0 y0 x1 y1) cut a piece, (n, 4); the scene's own edge cuts none."""
    if not len(pieces):
        return np.empty((0, 4), bool)
    xywh = pieces.windows_xywh.astype(float)
    boxes = np.hstack([xywh[:, :2], xywh[:, :2] + xywh[:, 2:]])
    ends = np.concatenate([boxes[:, :2].min(0), boxes[:, 2:].max(0)])
    of_pieces = boxes[pieces.windows]
    return ((axes.bounds - of_pieces) * [1, 1, -1, -1] <= cut_px) & (of_pieces != ends)
