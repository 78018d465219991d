"""The outline of a joined tree: from the one view that saw it whole, else from what each window knows best."""

from __future__ import annotations

import numpy as np
import shapely
from numpy.typing import NDArray

from tree_map.joining.alignment import moved
from tree_map.joining.axes import Axes
from tree_map.joining.components import pairs_within
from tree_map.pieces import Pieces

WHOLE = 0.9  # of the diagonal of all views together: a shorter one did not see the whole tree
MISSED_PX = 20.0  # area that one window alone saw, from which it is put back
Floats = NDArray[np.floating]
Rows = NDArray[np.intp]


def outlines_of_trees(
    pieces: Pieces, axes: Axes, trees: Rows, cut_sides: NDArray[np.bool_], steps: Floats
) -> tuple[NDArray[np.object_], Floats, NDArray[np.bool_]]:
    """Outline and score of each tree.

    A union of views is thicker than each of them, so that no point is taken from two. Where a view of some tree is cut
    by no border, the one nearest its window's middle gives the outline. Else each point comes from the window in whose
    cell it lies: overlaps are divided along their middle lines. The score is that of the views used, weighted by the
    area that each gave; the best of all views would grow with the number of windows that happened to look.

    Args:
        pieces: n pieces, no two of which are answers of one window for one tree.
        axes: Their axes.
        trees: Number of the tree of each, 0..t-1, (n,).
        cut_sides: Which sides of its window cut each, (n, 4).
        steps: By which each agrees best with the other views, (n, 2).

    Returns:
        Polygons (t,), scores (t,), and whether more than one window gave the outline (t,).
    """
    count = int(trees.max(initial=-1)) + 1
    chosen = best_view(pieces, axes, trees, cut_sides)
    polygons, scores = np.empty(count, object), np.zeros(count)
    has = chosen >= 0
    chosen = chosen[has]
    polygons[has], scores[has] = moved(pieces.polygons[chosen], steps[chosen]), pieces.scores[chosen]
    rows = np.flatnonzero(~has[trees])
    stitched, ids = np.zeros(count, bool), np.flatnonzero(~has)
    if len(rows):
        polygons[ids], scores[ids], stitched[ids] = stitch(
            pieces, rows, moved(pieces.polygons[rows], steps[rows]), np.searchsorted(ids, trees[rows])
        )
    return polygons, scores, stitched


def best_view(pieces: Pieces, axes: Axes, trees: Rows, cut_sides: NDArray[np.bool_]) -> Rows:
    """Row of the view that shows each tree whole, or -1, (t,)."""
    count = int(trees.max(initial=-1)) + 1
    together = np.tile([np.inf, np.inf, -np.inf, -np.inf], (count, 1))
    np.minimum.at(together[:, :2], trees, axes.bounds[:, :2])
    np.maximum.at(together[:, 2:], trees, axes.bounds[:, 2:])
    extent, most = (np.hypot(box[:, 2] - box[:, 0], box[:, 3] - box[:, 1]) for box in (axes.bounds, together))
    alone = np.bincount(trees, minlength=count)[trees] == 1
    whole = alone | (~cut_sides.any(1) & (extent >= WHOLE * most[trees]))
    xywh = pieces.windows_xywh[pieces.windows].astype(float)
    off_centre = np.abs((axes.centre - xywh[:, :2]) / xywh[:, 2:] - 0.5).max(1)
    rows = np.flatnonzero(whole)
    rows = rows[np.lexsort((rows, off_centre[rows], trees[rows]))]
    found, position = np.unique(trees[rows], return_index=True)
    chosen = np.full(count, -1)
    chosen[found] = rows[position]
    return chosen


def stitch(
    pieces: Pieces, rows: Rows, views: NDArray[np.object_], trees: Rows
) -> tuple[NDArray[np.object_], Floats, NDArray[np.bool_]]:
    """Put trees, numbered from 0, together from the pieces at `rows`, whose outlines are `views`."""
    count = int(trees.max()) + 1
    own = shapely.intersection(views, shapely.box(*cells(pieces, rows, trees).T))
    core = union_by(own, trees, count)
    own = with_what_one_window_saw(views, own, core[trees])
    area = np.maximum(shapely.area(own), 1e-9)
    scores = np.bincount(trees, pieces.scores[rows] * area, count) / np.bincount(trees, area, count)
    seen = np.unique(np.stack([trees, pieces.windows[rows]], 1)[area > 1e-6], axis=0)
    return union_by(own, trees, count), scores, np.bincount(seen[:, 0], minlength=count) > 1


def cells(pieces: Pieces, rows: Rows, trees: Rows) -> Floats:
    """What each view is asked for, x0 y0 x1 y1 (m, 4): its window up to the middle of its overlap with each other one.

    Two windows are divided along the axis on which they lie further apart.
    """
    xywh = pieces.windows_xywh[pieces.windows[rows]].astype(float)
    boxes = np.hstack([xywh[:, :2], xywh[:, :2] + xywh[:, 2:]])
    cell = boxes.copy()
    first, second = pairs_within(trees)
    first, second = np.concatenate([first, second]), np.concatenate([second, first])
    apart = (boxes[second, :2] + boxes[second, 2:] - boxes[first, :2] - boxes[first, 2:]) / 2
    axis = np.where(np.abs(apart[:, 0]) >= np.abs(apart[:, 1]), 0, 1)
    step = np.take_along_axis(apart, axis[:, None], 1)[:, 0]
    after, before = step > 0, step < 0  # neither: the same window twice, as with two parts of one trunk
    middle_after = (boxes[first, 2 + axis] + boxes[second, axis]) / 2
    middle_before = (boxes[first, axis] + boxes[second, 2 + axis]) / 2
    np.minimum.at(cell, (first[after], 2 + axis[after]), middle_after[after])
    np.maximum.at(cell, (first[before], axis[before]), middle_before[before])
    empty = (cell[:, 2:] <= cell[:, :2]).any(1)
    cell[empty] = np.repeat(boxes[empty, :2], 2, axis=0).reshape(-1, 4)
    return cell


def with_what_one_window_saw(views: NDArray, own: NDArray, core: NDArray) -> NDArray[np.object_]:
    """Add to each part what its view alone shows of the tree outside its cell, as where the owner missed an end."""
    width = 2 + 0.25 * np.sqrt(shapely.area(views) / np.maximum(shapely.length(views), 1e-9)) * 2
    missed = shapely.difference(views, shapely.buffer(core, width, quad_segs=2))
    rows = np.flatnonzero(shapely.area(missed) >= MISSED_PX)
    if len(rows):
        near = shapely.buffer(missed[rows], 1.5 * width[rows], quad_segs=2)
        own = own.copy()
        own[rows] = shapely.union(own[rows], shapely.intersection(views[rows], near))
    return own


def union_by(polygons: NDArray, trees: Rows, count: int) -> NDArray[np.object_]:
    """Union of the polygons of each tree; what has no area is left out."""
    order = np.argsort(trees, kind='stable')
    size = np.bincount(trees, minlength=count)
    table = np.full((count, int(size.max())), None, object)
    position = np.arange(len(order)) - np.repeat(np.cumsum(size) - size, size)
    table[trees[order], position] = polygons[order]
    return areas_only(shapely.union_all(table, axis=1))


def areas_only(geometries: NDArray[np.object_]) -> NDArray[np.object_]:
    """Polygons and multi-polygons; lines and points where two only touch are left out."""
    mixed = np.flatnonzero(shapely.get_type_id(geometries) == shapely.GeometryType.GEOMETRYCOLLECTION)
    if len(mixed):
        geometries = geometries.copy()
        geometries[mixed] = shapely.buffer(geometries[mixed], 0)
    return geometries
