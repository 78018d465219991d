"""A thing to be drawn once and laid into each band of rows it meets: only its own pixels are kept."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from data_prep.synth.grain import Floats

TREE, COVER, NOTHING = 1, 2, 0  # what a pixel of a stamp means for the truth


@dataclass
class Canvas:
    """A band of rows while it is drawn.

    Attributes:
        top: Row of the scene that the first row is.
        rgb: (3, H, W) colours, 0-255.
        trees: (H, W) number of the fallen tree that is seen there, counted from 1, else 0.
        sunless: (H, W) depth of the cast shadow, 0..1, applied when everything on the ground is drawn.
    """

    top: int
    rgb: Floats
    trees: NDArray[np.int32]
    sunless: Floats


@dataclass(frozen=True)
class Stamp:
    """Pixels of one thing, sorted by row.

    Attributes:
        row: (N,) of the scene.
        column: (N,) of the scene, may lie outside.
        rgb: (3, N) 8-bit.
        alpha: (N,) cover, 0-255.
        dark: (N,) how much it darkens what lies below before it is painted, 0-255.
        mark: (N,) TREE, COVER (hides trees) or NOTHING.
        number: Of the fallen tree, 0 for other things.
    """

    row: NDArray[np.int32]
    column: NDArray[np.int32]
    rgb: NDArray[np.uint8]
    alpha: NDArray[np.uint8]
    dark: NDArray[np.uint8]
    mark: NDArray[np.uint8]
    number: int = 0

    def _inside(self, canvas: Canvas) -> tuple[slice, NDArray[np.bool_], NDArray[np.int64]]:
        height, width = canvas.trees.shape
        part = slice(*np.searchsorted(self.row, (canvas.top, canvas.top + height)))
        column = self.column[part]
        kept = (column >= 0) & (column < width)
        return part, kept, (self.row[part][kept] - canvas.top).astype(np.int64) * width + column[kept]

    def paint(self, canvas: Canvas) -> None:
        """Darken, then cover, then mark."""
        part, kept, at = self._inside(canvas)
        if not len(at):
            return
        rgb, scale = canvas.rgb.reshape(3, -1), np.float32(1 / 255)
        alpha, dark = self.alpha[part][kept] * scale, self.dark[part][kept] * scale
        below = rgb[:, at] * (1 - dark)
        rgb[:, at] = below + (self.rgb[:, part][:, kept] - below) * alpha
        mark = self.mark[part][kept]
        trees = canvas.trees.reshape(-1)
        trees[at[mark == TREE]] = self.number
        trees[at[mark == COVER]] = 0

    def cast(self, canvas: Canvas) -> None:
        """Add its darkness to the shadow on the ground, where it is the deeper one."""
        part, kept, at = self._inside(canvas)
        sunless = canvas.sunless.reshape(-1)
        sunless[at] = np.maximum(sunless[at], self.dark[part][kept] * np.float32(1 / 255))


def press(
    corner_xy: tuple[int, int],
    rgb: Floats,
    alpha: Floats,
    *,
    dark: Floats | None = None,
    mark: NDArray[np.uint8] | None = None,
    number: int = 0,
) -> Stamp:
    """Keep the pixels of a patch that show or darken.

    Args:
        corner_xy: Column and row of the scene of the patch's first pixel.
        rgb: (3, h, w) colours, 0-255.
        alpha: (h, w) cover, 0..1.
        dark: (h, w), 0..1; none by default.
        mark: (h, w); by default COVER where alpha is at least a half.
        number: Of the fallen tree.
    """
    dark = np.zeros_like(alpha) if dark is None else dark
    mark = np.where(alpha >= 0.5, COVER, NOTHING).astype(np.uint8) if mark is None else mark
    at = np.flatnonzero((alpha > 0.01) | (dark > 0.01) | (mark > 0))
    row, column = np.divmod(at.astype(np.int32), np.int32(alpha.shape[1]))
    pick = lambda values: values.reshape(-1).take(at)  # noqa: E731
    byte = lambda values: np.clip(pick(values) * 255 + 0.5, 0, 255).astype(np.uint8)  # noqa: E731
    return Stamp(
        row + np.int32(corner_xy[1]),
        column + np.int32(corner_xy[0]),
        np.clip(rgb.reshape(3, -1).take(at, 1), 0, 255).astype(np.uint8),
        byte(alpha),
        byte(dark),
        pick(mark),
        number,
    )


def pixel_grid(corner_xy: tuple[int, int], shape: tuple[int, int]) -> tuple[Floats, Floats]:
    """Centres of a patch's pixels, x (1, w) and y (h, 1) in scene px."""
    height, width = shape
    x = np.arange(corner_xy[0], corner_xy[0] + width, dtype=np.float32)[None, :] + np.float32(0.5)
    y = np.arange(corner_xy[1], corner_xy[1] + height, dtype=np.float32)[:, None] + np.float32(0.5)
    return x, y
