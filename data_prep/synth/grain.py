"""Random texture: smooth noise of a chosen grain, periodic for tiles and scene-wide for bands of rows.

Pixels pass only through + - * / and sqrt, which IEEE 754 fixes to the bit, so that a scene does not depend on which
vector instructions a machine has; angles become unit vectors once and are rounded.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Octaves = Sequence[tuple[float, float]]  # (cell in px, weight)
STEP = 4  # px between the computed values of a field


def unit(angle: float | NDArray[np.float64]) -> Floats:
    """Unit vector(s) (..., 2) of an angle in radians, x right, y down, rounded so that a last bit cannot matter."""
    return np.round(np.stack([np.cos(angle), np.sin(angle)], -1), 6).astype(np.float32)


def turns(dx: Floats, dy: Floats) -> Floats:
    """Angle of vectors as a share of a full turn, 0..1, to 0.0002; by a polynomial, for the reason above."""
    ax, ay = np.abs(dx), np.abs(dy)
    ratio = np.minimum(ax, ay) / np.maximum(np.maximum(ax, ay), np.float32(1e-6))
    square = ratio * ratio
    eighth = ratio * (0.15888 + square * (-0.05102 + square * 0.01715))  # arctan(ratio) / 2 pi
    quarter = np.where(ay > ax, np.float32(0.25) - eighth, eighth)
    half = np.where(dx < 0, np.float32(0.5) - quarter, quarter)
    return np.where(dy < 0, np.float32(1) - half, half).astype(np.float32)


def smoothstep(low: float, high: float, values: Floats) -> Floats:
    """Rise from 0 at `low` to 1 at `high` without a corner."""
    share = np.clip((values - np.float32(low)) / np.float32(high - low), 0, 1)
    return share * share * (3 - 2 * share)


def _knots(positions: Floats) -> tuple[NDArray[np.int32], tuple[Floats, Floats, Floats]]:
    """First of the three knots around each position and their weights: a quadratic B-spline, which shows no lattice."""
    first = np.floor(positions).astype(np.int32)
    t = (positions - first).astype(np.float32)
    gain = np.float32(1.16)  # per axis, so that the deviation stays near 0.75 of the knots'
    return first, (gain * (1 - t) * (1 - t) / 2, gain * (t * (1 - t) + np.float32(0.5)), gain * t * t / 2)


def periodic_noise(rng: np.random.Generator, shape: tuple[int, int], cell: tuple[float, float]) -> Floats:
    """Noise of mean 0 that continues over its edges.

    Args:
        rng: Source of randomness.
        shape: Height and width in px.
        cell: Size of its features in px, down and across.

    Returns:
        (H, W) array, deviation about 0.75.
    """
    counts = [max(2, round(length / size)) for length, size in zip(shape, cell, strict=True)]
    grid = rng.standard_normal(counts, dtype=np.float32)
    (low, down), (left, across) = (
        _knots(np.arange(length, dtype=np.float32) * np.float32(count / length))
        for length, count in zip(shape, counts, strict=True)
    )
    rows = sum(weight[:, None] * grid[(low + k) % counts[0]] for k, weight in enumerate(down))
    return sum(rows[:, (left + k) % counts[1]] * weight for k, weight in enumerate(across))


def fractal(rng: np.random.Generator, side: int, octaves: Octaves) -> Floats:
    """Sum of periodic noises; (side, side)."""
    total = np.zeros((side, side), np.float32)
    for cell, weight in octaves:
        total += np.float32(weight) * periodic_noise(rng, (side, side), (cell, cell))
    return total


class Field:
    """Smooth noise over a whole scene, of which only a coarse grid is held and parts are computed."""

    def __init__(self, rng: np.random.Generator, size_wh: tuple[int, int], octaves: Octaves):
        """Draw the grids.

        Args:
            rng: Source of randomness.
            size_wh: Width and height that must be covered, in px.
            octaves: Cells, each at least about 8 px so that the grids stay small, and weights.
        """
        self._layers = []
        for cell, weight in octaves:
            counts = [int(length / cell) + 4 for length in reversed(size_wh)]
            self._layers.append((cell, np.float32(weight) * rng.standard_normal(counts, dtype=np.float32)))

    def part(self, top: int, left: int, height: int, width: int) -> Floats:
        """Values of the rows from `top` and the columns from `left` on; (height, width).

        Only every STEP-th pixel is computed, counted from the scene's corner so that parts join; between them values
        run straight, which nobody sees as no cell is much smaller.
        """
        rows, columns = _every_step(top, height), _every_step(left, width)
        total = np.zeros((len(rows), len(columns)), np.float32)
        for cell, grid in self._layers:
            low, down = _knots(rows / np.float32(cell))
            first, across = _knots(columns / np.float32(cell))
            near = grid[:, first[0] : first[-1] + 3]
            lines = sum(weight[:, None] * near[(low + k) % len(grid)] for k, weight in enumerate(down))
            for k, weight in enumerate(across):
                total += lines[:, first - first[0] + k] * weight
        across = _straight(np.ascontiguousarray(total.T))[left % STEP :][:width]
        return _straight(np.ascontiguousarray(across.T))[top % STEP :][:height]


def _every_step(first: int, count: int) -> Floats:
    """Positions at multiples of STEP from the last before `first` to one behind the last of `count`."""
    return np.arange(first // STEP, (first + count - 1) // STEP + 2, dtype=np.float32) * STEP


def _straight(lines: Floats) -> Floats:
    """Rows between rows (N, W), on straight lines; ((N - 1) STEP, W)."""
    share = np.arange(STEP, dtype=np.float32)[:, None] / np.float32(STEP)
    between = np.diff(lines, axis=0)[:, None] * share
    between += lines[:-1, None]
    return between.reshape(-1, lines.shape[1])
