"""Parts of a piece that belong to no trunk of it: specks, and bits of other trees beside its main part."""

from __future__ import annotations

import numpy as np
import shapely
from numpy.typing import NDArray

from tree_map.joining.axes import Axes, main_axes

SLOPE = np.tan(np.deg2rad(8))  # sideways by length, that a bend may bring a part out of line
FURTHER = 0.8  # of half the main part's length: a part nearer its middle lies beside it, not after it


def without_specks(polygons: NDArray[np.object_]) -> NDArray[np.object_]:
    """Each polygon's largest part and those that follow it along its line, as where another tree lies across a trunk.

    All else a network drew into the same mask is no part of that trunk, however large. A largest part too short to
    point anywhere is kept alone, but for a long part that points at it.
    """
    several = np.flatnonzero(shapely.get_num_geometries(polygons) > 1)
    if not len(several):
        return polygons
    parts, of = shapely.get_parts(polygons[several], return_index=True)
    axes = main_axes(parts)
    order = np.lexsort((-axes.area, of))
    main = order[np.diff(of[order], prepend=-1) != 0][of]
    keep = in_line(axes[main], axes)
    keep[main] = True
    polygons = polygons.copy()
    order = np.argsort(of[keep], kind='stable')
    groups = np.split(parts[keep][order], np.cumsum(np.bincount(of[keep]))[:-1])
    polygons[several] = [group[0] if len(group) == 1 else shapely.multipolygons(group) for group in groups]
    return polygons


def in_line(main: Axes, part: Axes) -> NDArray[np.bool_]:
    """Whether parts lie before or after the main ones, on the line of whichever of the two is long, (n,)."""
    apart = part.centre - main.centre
    follows = np.zeros(len(apart), bool)
    for axis, other in ((main, part), (part, main)):
        forward = np.abs((apart * axis.along).sum(1))
        aside = np.abs(apart[:, 0] * axis.along[:, 1] - apart[:, 1] * axis.along[:, 0])
        on_line = aside <= 2 + main.thickness / 2 + SLOPE * forward
        beyond = forward >= FURTHER * np.maximum(main.length, part.length) / 2
        follows |= axis.elongated & (~other.elongated | (axis is main)) & on_line & beyond
    return follows
