"""Which windows of a scene the network looks at, and in what groups they are read.

windows overlap, the last of a row or column is shifted back inside   (data_prep.grid)
blocks  k x k neighbours, read at once, so that a pixel is decoded about once however much windows overlap
empty   windows over blocks of the file that were never written are left out before anything is read
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.enums import MaskFlags

from data_prep.errors import DataError
from data_prep.grid import Grid, Window, tile_windows

BLOCK_PIXELS = 1 << 22  # of the source, read at once; a single window may have more
MOST_ACROSS = 6  # windows along the side of a block: small scenes are shared out too


@dataclass(frozen=True)
class Plan:
    """Windows of a scene, in pixels of its grid.

    Attributes:
        windows_xywh: x y width height, (w, 4) int; they may reach past a scene that is smaller than a window.
        blocks: Rows of `windows_xywh` that are read together; each window stands in one block or, if nothing of it was
            ever written to the file, in none.
        grid: Of the scene.
        whole: Whether the one window is the scene, shown as the config shows any picture.
    """

    windows_xywh: NDArray[np.int64]
    blocks: tuple[tuple[int, ...], ...]
    grid: Grid
    whole: bool = False

    @property
    def side(self) -> int | None:
        """Of the square windows in px; None for a whole picture."""
        return None if self.whole else int(self.windows_xywh[0, 2])

    def window(self, index: int) -> Window:
        """One of the windows."""
        return Window(*map(int, self.windows_xywh[index]))

    def read_of(self, indexes: Sequence[int]) -> Window:
        """The part of the scene under some windows: the smallest rectangle around them."""
        x, y = self.windows_xywh[list(indexes), :2].min(axis=0)
        right, bottom = (self.windows_xywh[list(indexes), :2] + self.windows_xywh[list(indexes), 2:]).max(axis=0)
        return Window(int(x), int(y), int(right - x), int(bottom - y)).intersect(self.grid.window)


def plan_windows(grid: Grid, side: int | None, overlap: float, written: Written | None = None) -> Plan:
    """Lay windows over a scene.

    Args:
        grid: Of the scene at the pixel size of prediction.
        side: Of the square windows in px; None makes one window of the whole scene.
        overlap: Share of a window that the next one sees again, 0 to 0.95.
        written: Of `written_blocks`; None takes every window.

    Raises:
        DataError: If side or overlap are out of range.
    """
    if side is not None and side < 32:
        raise DataError(f'--window must be at least 32 px; got {side}')
    if not 0 <= overlap <= 0.95:
        raise DataError(f'--overlap must be a share from 0 to 0.95; got {overlap:g}')
    windows = [grid.window] if side is None else tile_windows(grid.window, side, overlap)
    windows_xywh = np.array(windows, np.int64).reshape(-1, 4)
    columns = len(np.unique(windows_xywh[:, 0]))
    across = _windows_per_block(grid, windows_xywh)
    shown = np.ones(len(windows_xywh), bool) if written is None else _shown(grid, windows_xywh, written)
    blocks: dict[tuple[int, int], list[int]] = {}
    for index in np.flatnonzero(shown).tolist():
        row, column = divmod(index, columns)
        blocks.setdefault((row // across, column // across), []).append(index)
    return Plan(windows_xywh, tuple(tuple(indexes) for _, indexes in sorted(blocks.items())), grid, side is None)


def _windows_per_block(grid: Grid, windows_xywh: NDArray[np.int64]) -> int:
    """Windows along the side of a block."""
    side, xs = windows_xywh[0, 2], np.unique(windows_xywh[:, 0])
    stride = int(xs[1] - xs[0]) if len(xs) > 1 else int(side)
    block_side = (BLOCK_PIXELS / (grid.step_xy[0] * grid.step_xy[1])) ** 0.5
    return min(max(int((block_side - side) // stride) + 1, 1), MOST_ACROSS)


@dataclass(frozen=True)
class Written:
    """Which blocks of a file hold something.

    Attributes:
        blocks: (rows, columns) bool.
        block_hw: Rows and columns of pixels in a block.
    """

    blocks: NDArray[np.bool_]
    block_hw: tuple[int, int]


def written_blocks(dataset: rasterio.DatasetReader, bands: Sequence[int]) -> Written | None:
    """Find the blocks of a sparse GeoTIFF that hold something, without reading any.

    A block that was never written reads as the nodata value, or as 0 where there is none, and both mean no data here.

    Args:
        dataset: An open raster.
        bands: That will be read, from 1.

    Returns:
        None where the file does not tell, or a mask of its own may say otherwise.
    """
    if dataset.driver != 'GTiff' or len(set(dataset.block_shapes)) > 1:
        return None
    if any(flags == [MaskFlags.per_dataset] for flags in dataset.mask_flag_enums):
        return None
    height, width = dataset.block_shapes[0]
    written = np.zeros((-(-dataset.height // height), -(-dataset.width // width)), bool)
    by_band = dataset.tags(ns='IMAGE_STRUCTURE').get('INTERLEAVE') == 'BAND'
    for band in sorted(set(bands)) if by_band else (1,):
        for y, x in np.argwhere(~written).tolist():
            written[y, x] = dataset.get_tag_item(f'BLOCK_OFFSET_{x}_{y}', 'TIFF', bidx=band) is not None
    return Written(written, (height, width))


def _shown(grid: Grid, windows_xywh: NDArray[np.int64], written: Written) -> NDArray[np.bool_]:
    """Whether a window has a written block under it, (w,)."""
    sums = np.pad(written.blocks.astype(np.int64).cumsum(0).cumsum(1), ((1, 0), (1, 0)))
    margin = 0 if grid.scale == 1 else 1  # source pixels that resampling may reach beside the window
    first = windows_xywh[:, :2] * grid.step_xy - margin
    last = (windows_xywh[:, :2] + windows_xywh[:, 2:]) * grid.step_xy + margin
    block_wh = np.array(written.block_hw[::-1])
    left, top = np.maximum(first // block_wh, 0).astype(np.int64).T
    right, bottom = np.minimum(np.ceil(last / block_wh), written.blocks.shape[::-1]).astype(np.int64).T
    return sums[bottom, right] - sums[top, right] - sums[bottom, left] + sums[top, left] > 0
