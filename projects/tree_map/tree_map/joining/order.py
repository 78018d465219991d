"""One order of pieces and trees, whichever order they came in."""

from __future__ import annotations

import numpy as np
import shapely
from numpy.typing import NDArray

from tree_map.pieces import Pieces


def in_order(pieces: Pieces) -> Pieces:
    """Sort pieces by class, place, window, area and score: what comes after then depends on no order of theirs."""
    x0, y0, x1, y1 = shapely.bounds(pieces.polygons).reshape(-1, 4).T
    order = np.lexsort((x0, y0, pieces.labels))
    first = np.stack([x0, y0, pieces.labels], 1)[order]
    if (first[1:] == first[:-1]).all(1).any():  # what comes first decides nearly always
        windows = pieces.windows_xywh[pieces.windows].T
        order = np.lexsort((pieces.scores, shapely.area(pieces.polygons), *windows, x1, y1, x0, y0, pieces.labels))
    return without(pieces, order)


def without(pieces: Pieces, rows: NDArray) -> Pieces:
    """Those pieces at `rows` alone; windows stay as they are."""
    return Pieces(
        pieces.polygons[rows], pieces.scores[rows], pieces.labels[rows], pieces.windows[rows], pieces.windows_xywh
    )


def renumbered(labels: NDArray, polygons: NDArray) -> NDArray[np.intp]:
    """Rows of the trees by class, then from top to bottom and left to right."""
    x0, y0, x1, y1 = shapely.bounds(polygons).T
    return np.lexsort((y1, x1, x0, y0, labels))
