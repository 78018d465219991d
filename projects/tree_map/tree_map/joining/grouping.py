"""Which pieces are one tree."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tree_map.joining.axes import Axes, no_one_trunk, one_after_another
from tree_map.joining.components import connected, group, pairs_within, within_two_links
from tree_map.joining.continuation import continuations
from tree_map.joining.seams import Agreement
from tree_map.joining.settings import JoinSettings
from tree_map.pieces import Pieces

Rows = NDArray[np.intp]


def partition(pieces: Pieces, axes: Axes, found: Agreement, settings: JoinSettings) -> tuple[Rows, NDArray[np.bool_]]:
    """Number of the tree of each piece (n,), 0..t-1, and which pieces are not a window's second answer for it (n,)."""
    n = len(pieces)
    better = better_answers(pieces, axes, found)
    kept = better == np.arange(n)
    links = ~found.same_window & found.same_tree & kept[found.first] & kept[found.second]
    first, second, strength = continuations(pieces, axes, kept, settings)
    first, second = np.append(found.first[links], first), np.append(found.second[links], second)
    strength = np.append(found.iou[links], strength)
    rooms = connected(n, first, second)
    shown, bent = two_trees(pieces, axes, rooms, kept, settings), pointing_apart(axes, first, second)
    apart = np.append(shown[0], bent[0]), np.append(shown[1], bent[1])
    trees = group(n, (first, second), strength, apart, rooms)[better]
    return np.unique(trees, return_inverse=True)[1], kept


def better_answers(pieces: Pieces, axes: Axes, found: Agreement) -> Rows:
    """For each piece the row of its window's best answer for the same tree, itself where it is that one, (n,).

    Best is the highest score x root of area: a whole trunk comes before its better known half.
    """
    better = np.arange(len(pieces))
    rows = np.flatnonzero(found.same_window & found.same_tree)
    quality = pieces.scores * np.sqrt(axes.area)
    a, b = found.first[rows], found.second[rows]
    first_wins = quality[a] >= quality[b]
    winner, loser = np.where(first_wins, a, b), np.where(first_wins, b, a)
    for row in np.lexsort((loser, winner, -quality[winner])):
        if better[winner[row]] == winner[row] and better[loser[row]] == loser[row]:
            better[loser[row]] = winner[row]
    return better


def two_trees(
    pieces: Pieces, axes: Axes, rooms: Rows, kept: NDArray[np.bool_], settings: JoinSettings
) -> tuple[Rows, Rows]:
    """Pairs of pieces that one window showed as two trees although links, by way of others, connect them.

    Two parts of a trunk that another one crosses follow one another along one line, and say nothing.
    """
    big = np.flatnonzero(kept & (axes.area >= settings.min_extent_px))
    first, second = pairs_within(rooms[big] * len(pieces.windows_xywh) + pieces.windows[big])
    first, second = big[first], big[second]
    apart = ~one_after_another(axes[first], axes[second])
    return first[apart], second[apart]


def pointing_apart(axes: Axes, first: Rows, second: Rows) -> tuple[Rows, Rows]:
    """Pairs of long pieces that links connect, straight or by way of one other piece, and that are no one trunk.

    The piece between them covers two trees that cross or meet; the stronger of its links shows whose it is.
    """
    one, other = within_two_links(len(axes.area), first, second)
    long = axes.elongated[one] & axes.elongated[other]
    one, other = one[long], other[long]
    bent = no_one_trunk(axes[one], axes[other])
    return one[bent], other[bent]
