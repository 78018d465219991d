"""Tiles are read by the block: windows that lie together share one read, so that a pixel is decoded about once.

    |--tile--|
          |--tile--|        a block of 3 x 2 tiles is read as one rectangle; its tiles are views of it
                |--tile--|
          ...

A block is also the unit of work: blocks do not depend on each other, and a process holds one at a time, so memory
depends on neither the width nor the height of a scene.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import rasterio

from data_prep.grid import Window
from data_prep.imagery.pixels import place
from data_prep.imagery.rasters import read_window
from data_prep.imagery.stretch import LoHi

BLOCK_BYTES = 48 << 20  # of pixels; larger blocks read fewer pixels twice
CACHE_BYTES = 32 << 20  # of GDAL: a row of the file's blocks that masks are read from again
STRIP_ROWS = 256  # read at a time, where most files' blocks begin


@dataclass(frozen=True)
class Layout:
    """How a raster lies in its file."""

    block_wh: tuple[int, int]  # pixels that are decoded together
    width: int
    pixel_bytes: int  # of all bands that are read

    @property
    def is_striped(self) -> bool:
        """Whether every read decodes whole rows."""
        return self.block_wh[0] >= self.width


def layout(dataset: rasterio.DatasetReader, bands: Sequence[int]) -> Layout:
    """Layout of an open raster."""
    rows, columns = dataset.block_shapes[0]
    dtype = np.result_type(*(dataset.dtypes[band - 1] for band in bands))
    return Layout((columns, rows), dataset.width, len(bands) * dtype.itemsize)


def group(windows: Sequence[Window], raster: Layout) -> list[list[Window]]:
    """Share windows out into blocks.

    Args:
        windows: All windows of a region, a full grid of rows and columns.
        raster: A striped one gets blocks as wide as can be, others get square ones.

    Returns:
        Windows by block, row by row within each; a block reaches over ``BLOCK_BYTES`` at most, or is a single tile.
    """
    xs, ys = sorted({window.x for window in windows}), sorted({window.y for window in windows})
    by_place = {(window.x, window.y): window for window in windows}
    tile, area = windows[0].width, BLOCK_BYTES // raster.pixel_bytes
    side = max(int(area**0.5), tile)
    across = max(area // tile, tile) if raster.is_striped else side
    columns = _runs(xs, tile, across)
    widest = max(run[-1] - run[0] + tile for run in columns)
    rows = _runs(ys, tile, max(area // widest, tile))
    return [[by_place[x, y] for y in row for x in column] for row in rows for column in columns]


def _runs(starts: Sequence[int], tile: int, reach: int) -> list[list[int]]:
    """Cut ascending starts into the fewest runs of equal length that reach over at most so many pixels each."""
    longest = 1
    while longest < len(starts) and starts[longest] + tile - starts[0] <= reach:
        longest += 1
    runs = -(-len(starts) // longest)
    edges = [round(len(starts) * n / runs) for n in range(runs + 1)]
    return [list(starts[a:b]) for a, b in zip(edges, edges[1:], strict=False)]


class Block:
    """Pixels of a rectangle of a scene, read once; without ``keep_pixels`` only where they hold data is kept."""

    def __init__(
        self,
        dataset: rasterio.DatasetReader,
        area: Window,
        bands: Sequence[int],
        scale: float,
        *,
        keep_pixels: bool = True,
    ) -> None:
        self.area = area
        dtype = np.result_type(*(dataset.dtypes[band - 1] for band in bands))
        height = area.height if keep_pixels else min(STRIP_ROWS, area.height)
        # One allocation: glibc hands what is above 32 MB back to the system at once, and keeps pieces of what is below.
        memory = np.empty(len(bands) * dtype.itemsize * height * area.width + area.height * area.width, np.uint8)
        pixels, valid = np.split(memory, [-area.height * area.width])
        self.pixels = pixels.view(dtype).reshape(len(bands), height, area.width)
        self.valid = valid.view(bool).reshape(area.height, area.width)
        for strip in _strips(area):
            rows = slice(strip.y - area.y, strip.bottom - area.y)
            out = self.pixels[:, rows] if keep_pixels else self.pixels[:, : strip.height]
            self.valid[rows] = read_window(dataset, strip, bands, scale=scale, out=out)[1]

    def nodata_share(self, window: Window, read: Window) -> float:
        """Share of a window's pixels that hold no data, padding included."""
        return 1 - int(np.count_nonzero(self.valid[self._inside(read)])) / (window.width * window.height)

    def tile(self, window: Window, read: Window, limits: LoHi | None) -> np.ndarray:
        """The same array as ``imagery.pixels.read_tile`` gives."""
        inside = self._inside(read)
        return place(self.pixels[:, *inside], self.valid[inside], window, read, limits)

    def _inside(self, read: Window) -> tuple[slice, slice]:
        x, y = read.x - self.area.x, read.y - self.area.y
        return slice(y, y + read.height), slice(x, x + read.width)


def _strips(area: Window) -> Iterator[Window]:
    """Cut a rectangle at multiples of STRIP_ROWS, where most files' blocks begin."""
    top = area.y
    while top < area.bottom:
        bottom = min((top // STRIP_ROWS + 1) * STRIP_ROWS, area.bottom)
        yield Window(area.x, top, area.width, bottom - top)
        top = bottom


def around(windows: Sequence[Window]) -> Window:
    """Smallest rectangle that holds all windows."""
    x, y = min(window.x for window in windows), min(window.y for window in windows)
    return Window(x, y, max(w.right for w in windows) - x, max(w.bottom for w in windows) - y)
