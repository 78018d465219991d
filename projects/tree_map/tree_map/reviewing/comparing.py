"""What people changed: each tree of the map is kept, moved, relabelled or deleted, and others are added."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import shapely

from tree_map.reviewing.trees import Corrected, Found, crosses_itself, iou, polygon_of, same_outline

KINDS = ('kept', 'moved', 'relabelled', 'added', 'deleted')
ALIKE = 0.3  # IoU from which on an outline without a number is taken for that of a tree
TWICE = 0.5  # IoU from which on two outlines are taken for one tree, drawn twice

Outlines = Sequence[shapely.Geometry]


@dataclass(frozen=True)
class Change:
    """What became of one tree.

    Attributes:
        scene: Its scene.
        kind: One of KINDS; a tree that was both moved and relabelled is relabelled, its ``iou`` below 1.
        tree_id: Of the map; None for an added tree.
        before, after: Its class.
        iou: Of its outlines; None for an added or deleted one.
        same: Whether its outline is as it was, but for rounding.
        file: Where it was corrected; '' for a deleted one.
        note: What else is worth saying; asks people to look again.
        tree: As it is now; None for a deleted one.
    """

    scene: str
    kind: str
    tree_id: int | None
    before: str
    after: str
    iou: float | None
    same: bool
    file: str
    note: str = ''
    tree: Corrected | None = None


def compare(scene: str, found: Sequence[Found], corrected: Sequence[Corrected], tolerance_px: float) -> list[Change]:
    """Tell what was changed in a scene.

    A tree is known by its number. Where a number comes twice (a shape that was copied), or is missing (a tool that
    drops it), outlines decide: the pairs that share most come first.

    Args:
        scene: Its name.
        found: Trees as they were written.
        corrected: Trees as they came back.
        tolerance_px: An outline that is nowhere farther from the old one was not edited, but rounded by a tool.

    Returns:
        One change for each tree of the map in its order, then one for each added tree in theirs.
    """
    old, new = ([polygon_of(tree.parts) for tree in trees] for trees in (found, corrected))
    partner, pairs = {}, _pairs(found, corrected, old, new)
    for a, b in pairs:
        partner[a] = b
    owner = {b: a for a, b in pairs}
    changes = []
    for a, tree in enumerate(found):
        if a not in partner:
            changes.append(_deleted(scene, tree, corrected, owner, found))
            continue
        after = corrected[partner[a]]
        same = same_outline(tree.parts, after.parts, tolerance_px)
        shared = 1.0 if same else iou(old[a], new[partner[a]])
        kind = 'relabelled' if after.label != tree.label else 'kept' if same else 'moved'
        note = '' if same else _crossing(after)
        what = (kind, tree.tree_id, tree.label, after.label, shared, same)
        changes.append(Change(scene, *what, after.file, note, after))
    added = [b for b in range(len(corrected)) if b not in owner]
    notes = _doubles(added, corrected, new)
    return changes + [
        Change(scene, 'added', None, '', corrected[b].label, None, False, corrected[b].file, notes[b], corrected[b])
        for b in added
    ]


def _pairs(
    found: Sequence[Found], corrected: Sequence[Corrected], old: Outlines, new: Outlines
) -> list[tuple[int, int]]:
    """Which corrected tree is which of the map, as indexes."""
    row = {tree.tree_id: a for a, tree in enumerate(found)}
    claims = [(row[number], b) for b, tree in enumerate(corrected) for number in sorted(tree.claims) if number in row]
    ranked = sorted(((iou(old[a], new[b]), a, b) for a, b in claims), key=lambda pair: (-pair[0], *pair[1:]))
    sure = _greedy((a, b) for _, a, b in ranked)
    taken = {a for a, _ in sure}, {b for _, b in sure}
    left = [a for a in range(len(old)) if a not in taken[0] and old[a].area > 0]
    free = [b for b in range(len(new)) if b not in taken[1] and new[b].area > 0]
    if not left or not free:
        return sure
    index = shapely.STRtree([new[b] for b in free])
    near = [(a, free[n]) for a in left for n in index.query(old[a], predicate='intersects').tolist()]
    alike = sorted(((iou(old[a], new[b]), a, b) for a, b in near), key=lambda pair: (-pair[0], *pair[1:]))
    return sure + _greedy((a, b) for shared, a, b in alike if shared >= ALIKE)


def _greedy(ranked: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """Pairs in their order, each index once."""
    seen: tuple[set[int], set[int]] = (set(), set())
    chosen = []
    for a, b in ranked:
        if a not in seen[0] and b not in seen[1]:
            seen[0].add(a)
            seen[1].add(b)
            chosen.append((a, b))
    return chosen


def _deleted(
    scene: str, tree: Found, corrected: Sequence[Corrected], owner: dict[int, int], found: Sequence[Found]
) -> Change:
    """A tree that is gone; it may have become part of another one."""
    claimed = [b for b, other in enumerate(corrected) if tree.tree_id in other.claims and b in owner]
    note = f'joined to tree {found[owner[claimed[0]]].tree_id}' if claimed else ''
    return Change(scene, 'deleted', tree.tree_id, tree.label, '', None, False, '', note)


def _crossing(tree: Corrected) -> str:
    return 'its outline crosses itself; all that it encloses is taken' if crosses_itself(tree.parts) else ''


def _doubles(added: Sequence[int], corrected: Sequence[Corrected], new: Sequence[shapely.Geometry]) -> dict[int, str]:
    """What is odd about each added tree: drawn over another one, as happens where crops overlap, or crossing itself."""
    index, notes = shapely.STRtree(list(new)), {}
    for b in added:
        notes[b] = _crossing(corrected[b])
        for other in np.sort(index.query(new[b], predicate='intersects')).tolist():
            if other != b and iou(new[b], new[other]) >= TWICE:
                notes[b] = f'drawn over a tree of {corrected[other].sheet}; delete one of them'
    return notes
