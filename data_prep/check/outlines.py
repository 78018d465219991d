"""Polygon rings of all annotations as arrays: refused where they cannot be read, measured where they can."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import Any, NamedTuple

import numpy as np

from data_prep.check.columns import NUMBERS


class Rings(NamedTuple):
    """R rings of M objects, laid end to end.

    Attributes:
        xy: (P, 2) float64 points in px.
        starts: (R + 1,) first point of each ring, and the end.
        owner: (R,) object of each ring, ascending.
    """

    xy: np.ndarray
    starts: np.ndarray
    owner: np.ndarray


def ring_problem(ring: Any) -> str | None:
    """Code of what makes a ring unreadable, or None."""
    if type(ring) is not list or not set(map(type, ring)) <= NUMBERS:
        return 'segmentation-invalid'
    if len(ring) < 6:
        return 'polygon-short'
    return 'polygon-odd' if len(ring) % 2 else None


def join_rings(outlines: Sequence[list[list[float]]]) -> Rings:
    """Lay readable rings end to end; numbers too large for a float become infinite."""
    owner = np.repeat(np.arange(len(outlines)), [len(outline) for outline in outlines])
    rings = list(chain.from_iterable(outlines))
    lengths = [len(ring) for ring in rings]
    try:
        flat = np.fromiter(chain.from_iterable(rings), np.float64, sum(lengths))
    except OverflowError:
        flat = np.array([_float(value) for ring in rings for value in ring], np.float64)
    return Rings(flat.reshape(-1, 2), np.cumsum([0, *lengths]) // 2, owner)


def _float(value: float) -> float:
    try:
        return float(value)
    except OverflowError:
        return np.inf


def ring_areas(rings: Rings) -> np.ndarray:
    """Area (R,) of each ring in px^2 by the shoelace formula, about its first point for the sake of precision."""
    if not len(rings.owner):
        return np.zeros(0)
    lengths = np.diff(rings.starts)
    local = rings.xy - np.repeat(rings.xy[rings.starts[:-1]], lengths, axis=0)
    following = np.arange(1, len(local) + 1)
    following[rings.starts[1:] - 1] = rings.starts[:-1]
    x, y = local.T
    return np.abs(np.add.reduceat(x * y[following] - x[following] * y, rings.starts[:-1])) / 2


def per_object(rings: Rings, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Bounds (M, 4) ``x0 y0 x1 y1`` and area (M,) of objects, the sum of their rings; NaN bounds where a point is NaN.

    Args:
        rings: All rings; each object has at least one.
        count: M.
    """
    if not count:
        return np.zeros((0, 4)), np.zeros(0)
    area = np.bincount(rings.owner, ring_areas(rings), minlength=count)
    first = rings.starts[np.searchsorted(rings.owner, np.arange(count))]
    bounds = np.hstack([np.minimum.reduceat(rings.xy, first), np.maximum.reduceat(rings.xy, first)])
    return bounds, area
