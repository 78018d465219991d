"""Where tiles lie in a scene, in whole pixels of the scene, or of the scene resampled as a whole.

    overlapping (train)                     side by side (val, test)
    |----tile----|                          |----tile----|
             |----tile----|                              |----tile----|
               |----tile----|  <- shifted                             |----tile----|
    |========= region =======|              |========= region ============|  <- padded with 0

The same holds for rows and for columns.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from data_prep.errors import DataError


class Window(NamedTuple):
    """A rectangle in pixels, half-open: columns x .. x + width - 1, rows y .. y + height - 1."""

    x: int
    y: int
    width: int
    height: int

    @property
    def right(self) -> int:
        """First column behind the window."""
        return self.x + self.width

    @property
    def bottom(self) -> int:
        """First row below the window."""
        return self.y + self.height

    def intersect(self, other: Window) -> Window:
        """Pixels in both; width or height is 0 where they do not meet."""
        x, y = max(self.x, other.x), max(self.y, other.y)
        width, height = min(self.right, other.right) - x, min(self.bottom, other.bottom) - y
        return Window(x, y, max(width, 0), max(height, 0))


@dataclass(frozen=True)
class Grid:
    """Pixels that tiles are cut from: a scene resampled as a whole.

    The outer corners of the two grids meet, and each side has a whole number of pixels, so a pixel of this grid is
    ``step_xy`` source pixels wide and high: nearly, not always exactly, 1 / scale.
    """

    source_wh: tuple[int, int]
    scale: float = 1.0  # pixels here per source pixel, as asked for

    @property
    def window(self) -> Window:
        """The whole scene in pixels of this grid; at least one pixel."""
        width, height = (max(round(side * self.scale), 1) for side in self.source_wh)
        return Window(0, 0, width, height)

    @property
    def step_xy(self) -> tuple[float, float]:
        """Source pixels per pixel of this grid."""
        return self.source_wh[0] / self.window.width, self.source_wh[1] / self.window.height

    def to_source(self, window: Window) -> list[int] | list[float]:
        """``[x, y, width, height]`` in source pixels: whole numbers at scale 1, else rounded to 6 decimals."""
        if self.scale == 1:
            return list(window)
        return [round(value * step, 6) for value, step in zip(window, self.step_xy * 2, strict=True)]

    def from_source(self, xywh: Sequence[float]) -> Window:
        """Window that ``to_source`` wrote; exact, because edges are rounded to the pixels of this grid."""
        (x, y, width, height), (across, down) = xywh, self.step_xy
        left, top = round(x / across), round(y / down)
        return Window(left, top, round((x + width) / across) - left, round((y + height) / down) - top)


def overlapping_starts(length: int, tile: int, overlap: float) -> list[int]:
    """First pixels of tiles that overlap and stay inside.

    Args:
        length: Pixels to cover, at least 1.
        tile: Side of a tile in pixels.
        overlap: Share of a tile that the next one sees again, 0 <= overlap < 1.

    Returns:
        Ascending starts; the last tile is shifted back to end exactly at ``length``. One tile at 0 where the length is
        at most a tile. Every pixel is covered, and neighbours overlap by at least ``floor(tile * overlap)`` pixels.
    """
    stride = tile - int(tile * overlap)
    last = max(length - tile, 0)
    return [*range(0, last, stride), last]


def tiled_starts(length: int, tile: int, overlap: float = 0) -> list[int]:
    """First pixels of tiles at an even pitch; the last one may reach past ``length``, and every pixel is covered."""
    stride = tile - int(tile * overlap)
    return list(range(0, max(length - tile, 0) + stride, stride))


def tile_windows(region: Window, tile: int, overlap: float | None, border: str = 'auto') -> list[Window]:
    """Windows that cover a region, row by row.

    Args:
        region: The part of the scene to cover.
        tile: Side of the square windows in pixels.
        overlap: Share for train tiles; None lays the windows side by side for val and test.
        border: ``shift`` moves the last tile of a row or column back inside where the region is larger than a tile,
            ``pad`` lets it reach past the region; ``auto`` shifts overlapping tiles and pads the others.

    Returns:
        Windows of exactly ``tile`` x ``tile``. Each pixel of the region lies in at least one of them, in exactly one
        where overlap is None and nothing is shifted.

    Raises:
        DataError: If the tile or the overlap is out of range.
    """
    if tile < 1 or (overlap is not None and not 0 <= overlap < 1):
        raise DataError(f'tile size must be >= 1 and 0 <= overlap < 1; got tile size {tile} and overlap {overlap}')
    shift = overlap is not None if border == 'auto' else border == 'shift'
    starts = overlapping_starts if shift else tiled_starts
    xs, ys = (starts(length, tile, overlap or 0) for length in (region.width, region.height))
    return [Window(region.x + x, region.y + y, tile, tile) for y in ys for x in xs]


def tile_name(scene: str, window: Window, suffix: str = '.png') -> str:
    """File name of a tile. Nothing reads it back: the place is in ``window_xywh``."""
    return f'{scene}_{window.x:06d}_{window.y:06d}{suffix}'
