"""Pieces that windows saw, joined to whole trees.

order -> axes -> seams (masks agree where two windows looked) -> components (who is one tree) -> stitching (its outline)
specks           continuation (ends that face each other where windows share nothing)          bridging (gaps in a tree)

Different classes never join, boxes only say whom to compare, and no piece is dropped for touching a border.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from tree_map.joining.alignment import steps_to_agree
from tree_map.joining.axes import main_axes
from tree_map.joining.bridging import bridged
from tree_map.joining.grouping import partition
from tree_map.joining.order import in_order, renumbered, without
from tree_map.joining.seams import agreement, cut_sides
from tree_map.joining.settings import JoinSettings
from tree_map.joining.specks import without_specks
from tree_map.joining.stitching import outlines_of_trees
from tree_map.pieces import Pieces, Trees

__all__ = ['JoinSettings', 'join']


def join(pieces: Pieces, settings: JoinSettings = JoinSettings()) -> Trees:  # noqa: B008
    """Unite the pieces of each tree and keep different trees apart.

    The result does not depend on the order of pieces or windows, and comes sorted by class and position. Time and
    memory grow with the number of pairs that lie on one another, so with n where the density of trees is given.

    Args:
        pieces: Parts of trees, as the windows saw them.
        settings: What counts as the same tree.

    Returns:
        Whole trees. Every piece is in exactly one: `parts` adds up to ``len(pieces)``.
    """
    pieces = in_order(replace(pieces, polygons=without_specks(pieces.polygons)))
    axes = main_axes(pieces.polygons)
    cut = cut_sides(pieces, axes, settings.cut_px)
    found = agreement(pieces, axes, settings)
    trees, kept = partition(pieces, axes, found, settings)
    labels = np.zeros(trees.max(initial=-1) + 1, int)
    labels[trees] = pieces.labels
    parts = np.bincount(trees, minlength=len(labels))
    steps = steps_to_agree(axes, found, trees)
    polygons, scores, seams = outlines_of_trees(without(pieces, kept), axes[kept], trees[kept], cut[kept], steps[kept])
    whole = bridged(Trees(polygons, scores, labels, parts, seams), settings)
    order = renumbered(whole.labels, whole.polygons)
    return Trees(*(values[order] for values in vars(whole).values()))
