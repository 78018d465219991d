"""From pairs to trees: connected, but never two pieces in one tree that one window showed as two."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array, triu
from scipy.sparse.csgraph import connected_components

Rows = NDArray[np.intp]


def pairs_within(groups: Rows) -> tuple[Rows, Rows]:
    """All pairs of rows with the same group number, the lower row first; linear in their number."""
    order = np.argsort(groups, kind='stable')
    _, start, size = np.unique(groups[order], return_index=True, return_counts=True)
    position = np.arange(len(groups)) - np.repeat(start, size)
    later = np.repeat(size, size) - position - 1  # members of the group after each
    first = np.repeat(np.arange(len(groups)), later)
    step = np.arange(later.sum()) - np.repeat(np.cumsum(later) - later, later) + 1
    return order[first], order[first + step]


def connected(n: int, first: Rows, second: Rows) -> Rows:
    """Number of the component of each of n pieces, (n,)."""
    graph = coo_array((np.ones(len(first), bool), (first, second)), shape=(n, n))
    return connected_components(graph, directed=False)[1]


def within_two_links(n: int, first: Rows, second: Rows) -> tuple[Rows, Rows]:
    """Pairs of n pieces that are linked or share a linked neighbour, the lower row first.

    Their number grows with that of links, however many pieces hang together.
    """
    one = coo_array((np.ones(len(first), np.int32), (first, second)), shape=(n, n)).tocsr()
    graph = one + one.T
    near = triu(graph + graph @ graph, k=1).tocoo()
    return near.row, near.col


def group(
    n: int, links: tuple[Rows, Rows], strength: NDArray[np.floating], apart: tuple[Rows, Rows], rooms: Rows
) -> Rows:
    """Number of the tree of each piece, so that no pair of `apart` is in one tree.

    Links are taken from the strongest down (ties: by row), and one that would bring together what must stay apart is
    left out. Only components that hold such a pair are gone through link by link.

    Args:
        n: Number of pieces.
        links: Pairs of rows that show one tree.
        strength: Of each link, (links,).
        apart: Pairs of rows that show two trees.
        rooms: Components of all links, (n,).
    """
    torn = np.unique(rooms[apart[0]])
    careful = np.isin(rooms[links[0]], torn)
    free = ~careful
    order = np.lexsort((links[1][careful], links[0][careful], -strength[careful]))
    first, second = links[0][careful][order], links[1][careful][order]
    taken = strongest_first(first.tolist(), second.tolist(), apart)
    return connected(n, np.concatenate([links[0][free], first[taken]]), np.concatenate([links[1][free], second[taken]]))


def strongest_first(first: list[int], second: list[int], apart: tuple[Rows, Rows]) -> list[int]:
    """Which links, in the given order, can be taken (Kruskal's algorithm with cannot-link pairs)."""
    parent: dict[int, int] = {}
    enemies: dict[int, set[int]] = {}
    for a, b in zip(apart[0].tolist(), apart[1].tolist(), strict=True):
        enemies.setdefault(a, set()).add(b)
        enemies.setdefault(b, set()).add(a)

    def root(row: int) -> int:
        while parent.get(row, row) != row:
            parent[row] = parent.get(parent[row], parent[row])
            row = parent[row]
        return row

    taken = []
    for index, (a, b) in enumerate(zip(first, second, strict=True)):
        a, b = root(a), root(b)
        if b in enemies.get(a, ()):
            continue
        taken.append(index)
        if a != b:
            parent[b] = a
            for enemy in enemies.pop(b, ()):
                enemies[enemy].discard(b)
                enemies[enemy].add(a)
                enemies.setdefault(a, set()).add(enemy)
    return taken
