"""Views of one tree, moved on to one another, so that a seam has no step."""

from __future__ import annotations

import numpy as np
import shapely
from numpy.typing import NDArray

from tree_map.joining.axes import Axes
from tree_map.joining.seams import Agreement

LEAST_PX = 1e-3  # a smaller step moves nothing
Floats = NDArray[np.floating]


def steps_to_agree(axes: Axes, found: Agreement, trees: NDArray[np.intp]) -> Floats:
    """Steps that move pieces across their trees to the mean place of themselves and what they compared with, (n, 2).

    Where two windows saw the same stretch, the steps between their views are known; their mean, each weighted by its
    length, errs by less than one of them. Only sideways: of a tree's end the other window tells nothing where it is
    cut.
    """
    used = found.same_tree & ~found.same_window & (trees[found.first] == trees[found.second])
    here = np.append(found.first[used], found.second[used])
    there = np.append(found.second[used], found.first[used])
    step = np.concatenate([found.aside[used], -found.aside[used]])
    weight = axes.length[there]
    total = axes.length + np.bincount(here, weight, len(axes.length))
    moved = [np.bincount(here, weight * step[:, axis], len(axes.length)) for axis in (0, 1)]
    return np.stack(moved, 1) / np.maximum(total, 1e-9)[:, None]


def moved(polygons: NDArray[np.object_], steps: Floats) -> NDArray[np.object_]:
    """Each polygon moved by its step."""
    rows = np.flatnonzero(np.abs(steps).max(1, initial=0) >= LEAST_PX)
    polygons = polygons.copy()
    xy, row = shapely.get_coordinates(polygons[rows], return_index=True)
    polygons[rows] = shapely.set_coordinates(polygons[rows], xy + steps[rows][row])
    return polygons
