"""Whole scenes shared out so that each group gets its share of the objects.

The number of scenes of each group is given; which scenes they are is found by swapping pairs as long as that brings the
objects closer to the shares. Several shuffles are tried until one is good enough, so another seed finds another split
of the same quality where there is one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence

import numpy as np

TRIES = 200
GOOD_ENOUGH = 0.02  # of all objects, in the wrong group


def rank(seed: int | str, name: str) -> str:
    """Sort key that shuffles names by the seed and by nothing else: not their order, number or Python's hash."""
    return hashlib.sha256(f'{seed}:{name}'.encode()).hexdigest()


def share_out(objects: Mapping[str, int], sizes: Sequence[int], shares: Sequence[float], seed: int) -> dict[str, int]:
    """Give each scene to one group.

    Args:
        objects: Number of objects of each scene; the order of scenes does not matter.
        sizes: Number of scenes of each group; they sum to all scenes.
        shares: Of the objects, for each group; they sum to 1.
        seed: Another seed shuffles differently.

    Returns:
        Group, from 0, by scene.
    """
    groups = np.repeat(np.arange(len(sizes)), sizes)
    best, best_gap = None, np.inf
    for attempt in range(TRIES):
        names = sorted(objects, key=lambda name, key=f'{seed}.{attempt}' if attempt else seed: rank(key, name))
        counts = np.array([objects[name] for name in names], np.float64)
        found = _swap(counts, groups.copy(), np.asarray(shares) * counts.sum())
        gap = misplaced(counts, found, shares)
        if gap < best_gap - 1e-12:
            best, best_gap = dict(zip(names, found.tolist(), strict=True)), gap
        if best_gap <= GOOD_ENOUGH:
            break
    return best


def misplaced(counts: np.ndarray, groups: np.ndarray, shares: Sequence[float]) -> float:
    """Share of the objects that would have to change groups for every group to have its share; 0 without objects."""
    total = counts.sum()
    held = np.bincount(groups, counts, len(shares))
    return float(np.abs(held / total - shares).sum() / 2) if total else 0.0


def _swap(counts: np.ndarray, groups: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Swap the pair of scenes that brings most, until none brings anything."""
    gaps = np.bincount(groups, counts, len(wanted)) - wanted
    while True:
        change = counts[None, :] - counts[:, None]  # of the group of the first when it gets the second instead
        own, other = gaps[groups][:, None], gaps[groups][None, :]
        gain = np.abs(own) + np.abs(other) - np.abs(own + change) - np.abs(other - change)
        gain[groups[:, None] == groups[None, :]] = 0
        first, second = np.unravel_index(np.argmax(gain), gain.shape)
        if gain[first, second] < 1e-6:
            return groups
        gaps[groups[first]] += change[first, second]
        gaps[groups[second]] -= change[first, second]
        groups[[first, second]] = groups[[second, first]]
