"""One tile's pixels: read the part that lies in the split's region, stretch, pad."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import rasterio

from data_prep.grid import Grid, Window
from data_prep.imagery.rasters import read_window
from data_prep.imagery.stretch import LoHi, apply_stretch


def read_tile(
    dataset: rasterio.DatasetReader,
    window: Sequence[float],
    read: Sequence[float],
    bands: Sequence[int],
    limits: LoHi | None,
    scale: float = 1.0,
) -> tuple[np.ndarray, float]:
    """Read the tile that an image entry describes; the same call repeats it from the source at any time.

    Args:
        dataset: The open source.
        window: ``window_xywh`` in source pixels, may reach past the raster.
        read: ``read_xywh``, the part of the window to fill; inside the raster.
        bands: Bands, counted from 1.
        limits: ``stretch_lo_hi``.
        scale: ``scale``.

    Returns:
        Tile (B, height, width) in 8 bits where it was stretched, else in the type of the source, and the share of its
        pixels that hold no data. Pixels without data and pixels
        outside ``read`` are 0.
    """
    grid = Grid((dataset.width, dataset.height), scale)
    window, read = grid.from_source(window), grid.from_source(read)
    pixels, valid = read_window(dataset, read, bands, scale=scale)
    return place(pixels, valid, window, read, limits), 1 - int(valid.sum()) / (window.width * window.height)


def place(pixels: np.ndarray, valid: np.ndarray, window: Window, read: Window, limits: LoHi | None) -> np.ndarray:
    """Make a tile from the pixels of its filled part: stretch, blacken what holds no data, pad.

    Args:
        pixels: (B, read.height, read.width).
        valid: Where they hold data, (read.height, read.width) bool.
        window: The tile.
        read: Its filled part.
        limits: One ``[lo, hi]`` per band, or None.

    Returns:
        Tile (B, window.height, window.width): uint8 where it was stretched, else in the dtype of ``pixels``.
    """
    filled = apply_stretch(pixels, limits)
    tile = np.zeros((len(pixels), window.height, window.width), filled.dtype)
    y, x = read.y - window.y, read.x - window.x
    np.copyto(tile[:, y : y + read.height, x : x + read.width], filled, where=valid)
    return tile
