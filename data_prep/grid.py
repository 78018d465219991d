"""Where tiles lie in a scene, in whole source pixels.

    overlapping (train)                     side by side (val, test)
    |----tile----|                          |----tile----|
             |----tile----|                              |----tile----|
               |----tile----|  <- shifted                             |----tile----|
    |========= region =======|              |========= region ============|  <- padded with 0

The same holds for rows and for columns.
"""

from __future__ import annotations

from typing import NamedTuple

from data_prep.errors import DataError


class Window(NamedTuple):
    """A rectangle in source pixels, half-open: columns x .. x + width - 1, rows y .. y + height - 1."""

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


def tiled_starts(length: int, tile: int) -> list[int]:
    """First pixels of tiles that lie side by side; the last one may reach past ``length``."""
    return list(range(0, length, tile))


def tile_windows(region: Window, tile: int, overlap: float | None) -> list[Window]:
    """Windows that cover a region, row by row.

    Args:
        region: The part of the scene to cover.
        tile: Side of the square windows in pixels.
        overlap: Share for train tiles; None lays the windows side by side for val and test.

    Returns:
        Windows of exactly ``tile`` x ``tile``. Each pixel of the region lies in at least one of them, in exactly one
        where overlap is None.

    Raises:
        DataError: If the tile or the overlap is out of range.
    """
    if tile < 1 or (overlap is not None and not 0 <= overlap < 1):
        raise DataError(f'tile size must be >= 1 and 0 <= overlap < 1; got tile size {tile} and overlap {overlap}')

    def starts(length: int) -> list[int]:
        return tiled_starts(length, tile) if overlap is None else overlapping_starts(length, tile, overlap)

    return [Window(region.x + x, region.y + y, tile, tile) for y in starts(region.height) for x in starts(region.width)]


def tile_name(scene: str, window: Window) -> str:
    """File name of a tile. Nothing reads it back: the place is in ``window_xywh``."""
    return f'{scene}_{window.x:06d}_{window.y:06d}.png'
