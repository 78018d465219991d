"""One tile's pixels: read the part that lies in the split's region, stretch, pad, encode."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import rasterio
from rasterio.io import MemoryFile

from data_prep.grid import Window
from data_prep.imagery.rasters import read_window
from data_prep.imagery.stretch import LoHi, apply_stretch


def read_tile(
    dataset: rasterio.DatasetReader, window: Window, read: Window, bands: Sequence[int], limits: LoHi | None
) -> tuple[np.ndarray, float]:
    """Read the tile that an image entry describes; the same call repeats it from the source at any time.

    Args:
        dataset: The open source.
        window: ``window_xywh``, may reach past the raster.
        read: ``read_xywh``, the part of the window to fill; inside the raster.
        bands: Bands, counted from 1.
        limits: ``stretch_lo_hi``.

    Returns:
        Tile (3, height, width) uint8, and the share of its pixels that hold no data. Pixels without data and pixels
        outside ``read`` are 0.
    """
    tile = np.zeros((len(bands), window.height, window.width), np.uint8)
    pixels, valid = read_window(dataset, read, bands)
    y, x = read.y - window.y, read.x - window.x
    tile[:, y : y + read.height, x : x + read.width] = np.where(valid, apply_stretch(pixels, limits), 0)
    return tile, 1 - int(valid.sum()) / (window.width * window.height)


def encode_png(tile: np.ndarray) -> bytes:
    """Encode (3, H, W) uint8 as PNG, without loss."""
    _, height, width = tile.shape
    profile = {'driver': 'PNG', 'width': width, 'height': height, 'count': 3, 'dtype': 'uint8'}
    with MemoryFile() as memory:
        with memory.open(**profile, ZLEVEL=1) as dataset:  # level 6: five times the time, a tenth fewer bytes
            dataset.write(tile)
        return memory.read()
