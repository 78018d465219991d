"""The trees of a map, and below them those that a lower score threshold would add.

Joining looks at all pieces at once: with many unsure ones among them other trees come out, those of high score too. So
the surest pieces are joined as if there were no others, and give the map as it is used. What all pieces together give
besides lies below it, and serves to draw a curve over scores.
"""

from __future__ import annotations

import numpy as np
import shapely
from numpy.typing import NDArray

from tree_map.joining import JoinSettings, join
from tree_map.joining.order import renumbered
from tree_map.pieces import Pieces, Trees

SAME = 0.5  # of the smaller one's area: two that share so much are one tree


def sure_ones(pieces: Pieces, score_thr: float) -> Pieces:
    """Pieces at or above a score; the windows stay."""
    rows = np.flatnonzero(pieces.scores >= score_thr)
    return Pieces(
        pieces.polygons[rows], pieces.scores[rows], pieces.labels[rows], pieces.windows[rows], pieces.windows_xywh
    )


def join_with_those_below(pieces: Pieces, settings: JoinSettings, score_thr: float) -> Trees:
    """Join pieces so that the trees at or above a score are exactly those of the pieces at or above it.

    Args:
        pieces: Of a low score on.
        settings: What counts as the same tree.
        score_thr: Of the map as it is used.

    Returns:
        The trees of ``join(sure_ones(pieces, score_thr), settings)``, and besides, all below the threshold, the trees
        of ``join(pieces, settings)`` that share with none of them half of the smaller one's area.
    """
    sure, lower = join(sure_ones(pieces, score_thr), settings), join(pieces, settings)
    new = np.ones(len(lower), bool)
    new[_again(lower, sure)] = False
    below = np.minimum(lower.scores[new], np.nextafter(score_thr, 0))
    columns = {name: np.concatenate([values, getattr(lower, name)[new]]) for name, values in vars(sure).items()}
    columns['scores'] = np.concatenate([sure.scores, below])
    order = renumbered(columns['labels'], columns['polygons'])
    return Trees(*(values[order] for values in columns.values()))


def _again(trees: Trees, others: Trees) -> NDArray[np.intp]:
    """Rows of trees that are one of the others."""
    row, other = shapely.STRtree(others.polygons).query(trees.polygons, predicate='intersects')
    same = trees.labels[row] == others.labels[other]
    row, other = row[same], other[same]
    shared = shapely.area(shapely.intersection(trees.polygons[row], others.polygons[other]))
    smaller = np.minimum(shapely.area(trees.polygons[row]), shapely.area(others.polygons[other]))
    return row[shared >= SAME * smaller]
