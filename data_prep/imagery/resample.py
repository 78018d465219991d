"""A scene resampled as a whole, computed window by window.

A pixel of the new grid is the mean of the source pixels under it when shrinking, each weighted by the share of it that
lies under the pixel, and the bilinear value at its centre when enlarging. Both depend on the pixel's place in the scene
alone, so tiles that overlap agree exactly, and neither leaves the range of its source pixels. Overviews are not used:
how they were made is not known. Pixels without data have no weight.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from data_prep.grid import Grid, Window

MIN_VALID = 0.5  # weight of source pixels with data from which on a pixel holds data itself


class Taps(NamedTuple):
    """Source pixels of each new pixel along one axis, and their weights, both (N, K); weights of a pixel sum to 1."""

    indexes: np.ndarray
    weights: np.ndarray


def taps(start: int, count: int, source_length: int, length: int) -> Taps:
    """Which source pixels make the new pixels ``start .. start + count - 1`` of ``length``, along one axis."""
    step = source_length / length
    at = np.arange(start, start + count, dtype=np.float64)
    if step >= 1:
        low, high = at * step, (at + 1) * step
        indexes = np.floor(low)[:, None] + np.arange(math.ceil(step) + 1)
        weights = np.minimum(high[:, None], indexes + 1) - np.maximum(low[:, None], indexes)
        weights = np.clip(weights, 0, None) / step
    else:
        centre = (at + 0.5) * step - 0.5
        indexes = np.floor(centre)[:, None] + np.arange(2)
        weights = 1 - np.abs(centre[:, None] - indexes)
    return Taps(np.clip(indexes, 0, source_length - 1).astype(np.int64), weights)


def source_window(window: Window, grid: Grid) -> Window:
    """Source pixels that a window of the grid is made from."""
    spans = []
    for start, count, length, new_length in _axes(window, grid):
        indexes = taps(start, count, length, new_length).indexes
        spans.append((int(indexes.min()), int(indexes.max()) + 1))
    (left, right), (top, bottom) = spans
    return Window(left, top, right - left, bottom - top)


def resample(
    pixels: np.ndarray, valid: np.ndarray, source: Window, window: Window, grid: Grid
) -> tuple[np.ndarray, np.ndarray]:
    """Make the pixels of a window of the grid.

    Args:
        pixels: (B, h, w) of ``source``.
        valid: Where they hold data, (h, w) bool.
        source: What ``source_window`` gives for ``window``.
        window: In pixels of the grid.
        grid: Of the whole scene.

    Returns:
        Pixels (B, H, W) in the dtype they came in, and where they hold data.
    """
    dtype = pixels.dtype
    working = np.float32 if dtype.itemsize <= 2 or dtype == np.float32 else np.float64
    stack = np.empty((len(pixels) + 1, *valid.shape), working)
    stack[:-1] = np.where(valid, pixels, 0)
    stack[-1] = valid
    columns, rows = (taps(*axis) for axis in _axes(window, grid))
    stack = _weighted(stack, rows.indexes - source.y, rows.weights, axis=1)
    stack = _weighted(stack, columns.indexes - source.x, columns.weights, axis=2)
    share = stack[-1]
    values = stack[:-1] / np.maximum(share, 1e-6)
    if dtype.kind in 'ui':
        limits = np.iinfo(dtype)
        values = np.clip(np.rint(values), limits.min, limits.max)
    return values.astype(dtype), share >= MIN_VALID


def _axes(window: Window, grid: Grid) -> tuple[tuple[int, int, int, int], tuple[int, int, int, int]]:
    """Arguments of ``taps`` for columns and rows."""
    whole, (width, height) = grid.window, grid.source_wh
    return (window.x, window.width, width, whole.width), (window.y, window.height, height, whole.height)


def _weighted(stack: np.ndarray, indexes: np.ndarray, weights: np.ndarray, *, axis: int) -> np.ndarray:
    """Sum of weighted source rows (axis 1) or columns (axis 2), tap by tap, always in the same order."""
    shape = (1, -1, 1) if axis == 1 else (1, 1, -1)
    weights = weights.astype(stack.dtype)
    total = None
    for index, weight in zip(indexes.T, weights.T, strict=True):
        part = np.take(stack, index, axis=axis)
        part *= weight.reshape(shape)
        total = part if total is None else np.add(total, part, out=total)
    return total
