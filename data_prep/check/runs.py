"""Run-length masks read as arrays, without pycocotools, which trusts the counts it is given.

A mask is a list of run lengths, outside and inside by turns, down the columns. The compressed form is cocoapi's
``rleToString``: groups of 5 bits as characters from '0' on, the sixth bit saying that more follow; from the fourth
count on the difference to the count two before.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

MAX_CHARS = 7  # of one count: 35 bits


class Runs(NamedTuple):
    """Masks of M objects, laid end to end.

    Attributes:
        counts: (C,) int64.
        starts: (M + 1,) first count of each mask, and the end.
        broken: (M,) bool; the counts of these mean nothing.
    """

    counts: np.ndarray
    starts: np.ndarray
    broken: np.ndarray


def plain_runs(lists: Sequence[Any]) -> Runs:
    """Uncompressed counts: lists of whole numbers."""
    broken = np.array([not _whole(counts) for counts in lists], bool)
    usable = [[] if bad else counts for bad, counts in zip(broken, lists, strict=True)]
    starts = np.cumsum([0, *map(len, usable)])
    return Runs(np.array([count for counts in usable for count in counts], np.int64), starts, broken)


def _whole(counts: Any) -> bool:
    return type(counts) is list and set(map(type, counts)) <= {int} and all(0 <= count < 1 << 40 for count in counts)


def packed_runs(strings: Sequence[str]) -> Runs:
    """Compressed counts.

    Args:
        strings: One for each mask.

    Returns:
        The counts. Broken are characters outside the code, a count that does not end, and negative counts.
    """
    raw = [text.encode('utf-8', 'replace') for text in strings]
    codes = np.frombuffer(b''.join(raw), np.uint8).astype(np.int64) - 48
    lengths = np.array([len(text) for text in raw], np.int64)
    owner = np.repeat(np.arange(len(raw)), lengths)
    broken = np.zeros(len(raw), bool)
    broken[owner[(codes < 0) | (codes > 63)]] = True
    last_char = np.cumsum(lengths)[lengths > 0] - 1
    ends = codes & 32 == 0
    broken[owner[last_char[~ends[last_char]]]] = True
    ends[last_char] = True
    values, first = _values(codes, ends)
    broken[owner[first[np.diff(np.append(first, len(codes))) > MAX_CHARS]]] = True
    per_mask = np.bincount(owner[first], minlength=len(raw))
    starts = np.concatenate([[0], np.cumsum(per_mask)])
    counts = _undo_differences(values, starts)
    broken[np.repeat(np.arange(len(raw)), per_mask)[counts < 0]] = True
    return Runs(counts, starts, broken)


def _values(codes: np.ndarray, ends: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Signed numbers and the first character of each."""
    last = np.flatnonzero(ends)
    first = np.concatenate([[0], last[:-1] + 1]) if len(last) else last
    if not len(last):
        return np.zeros(0, np.int64), first
    place = np.arange(len(codes)) - np.repeat(first, last - first + 1)
    shift = 5 * np.minimum(place, MAX_CHARS - 1)
    values = np.add.reduceat((codes & 31) << shift, first)
    negative = codes[last] & 16 > 0
    return np.where(negative, values - (1 << (shift[last] + 5)), values), first


def _undo_differences(values: np.ndarray, starts: np.ndarray) -> np.ndarray:
    """Add up differences: the first three counts stand as they are, later ones add to the count two before."""
    lengths = np.diff(starts)
    place = np.arange(len(values)) - np.repeat(starts[:-1], lengths)
    chain = np.where(place == 0, 0, np.where(place % 2 == 1, 1, 2)) + 3 * np.repeat(np.arange(len(lengths)), lengths)
    order = np.argsort(chain, kind='stable')
    sums = np.cumsum(values[order])
    new = np.diff(chain[order], prepend=-1) != 0
    base = np.where(new, sums - values[order], 0)
    group = np.cumsum(new) - 1
    counts = np.empty_like(values)
    counts[order] = sums - base[new][group] if len(values) else values
    return counts


def sums(runs: Runs) -> np.ndarray:
    """Number of pixels that the counts of each mask cover, inside and outside, (M,) int64."""
    total = np.concatenate([[0], np.cumsum(runs.counts)])
    return total[runs.starts[1:]] - total[runs.starts[:-1]]


def measure(runs: Runs, heights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Area and bounds of masks.

    Args:
        runs: M masks.
        heights: (M,) rows of each mask, at least 1.

    Returns:
        Pixels inside (M,) float64, and corners (M, 4) float64 ``x0 y0 x1 y1`` in px; NaN for a mask without a pixel.
    """
    lengths = np.diff(runs.starts)
    owner = np.repeat(np.arange(len(lengths)), lengths)
    place = np.arange(len(runs.counts)) - runs.starts[owner]
    total = np.concatenate([[0], np.cumsum(runs.counts)])
    begin = total[:-1] - total[runs.starts[owner]]
    use = (place % 2 == 1) & (runs.counts > 0)
    owner, begin, end = owner[use], begin[use], (begin + runs.counts)[use] - 1
    height = heights[owner]
    x0, x1 = begin // height, end // height
    several = x1 > x0  # a run that goes on in the next column reaches from edge to edge
    y0, y1 = np.where(several, 0, begin % height), np.where(several, height - 1, end % height)
    area = np.bincount(owner, runs.counts[use], minlength=len(lengths)).astype(np.float64)
    bounds = np.full((len(lengths), 4), np.nan)
    if len(owner):
        first = np.flatnonzero(np.diff(owner, prepend=-1))
        low = np.stack([np.minimum.reduceat(v, first) for v in (x0, y0)], axis=1)
        high = np.stack([np.maximum.reduceat(v, first) for v in (x1, y1)], axis=1) + 1
        bounds[owner[first]] = np.hstack([low, high])
    return area, bounds
