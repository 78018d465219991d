"""Tiles as the bytes of a file: PNG and zstd GeoTIFF without loss, JPEG with some."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np
import rasterio
from affine import Affine
from rasterio.errors import NotGeoreferencedWarning
from rasterio.io import MemoryFile


def encode_png(tile: np.ndarray) -> bytes:
    """Encode a tile as PNG, without loss.

    Args:
        tile: (3, H, W) uint8, or (1, H, W) uint8 or uint16.
    """
    return _through_gdal(tile, {'driver': 'PNG', 'ZLEVEL': 1})  # level 6: five times the time, a tenth fewer bytes


def encode_jpeg(tile: np.ndarray, quality: int) -> bytes:
    """Encode (3, H, W) uint8 as JPEG of a quality from 1 to 100."""
    return _through_gdal(tile, {'driver': 'JPEG', 'QUALITY': quality})


def encode_zstd(tile: np.ndarray, crs: str | None, transform: Sequence[float]) -> bytes:
    """Encode a tile of any number of bands and any numeric dtype as GeoTIFF, without loss.

    Args:
        tile: (B, H, W).
        crs: Name or WKT, or None.
        transform: ``a b c d e f`` of the tile.
    """
    options = {
        'driver': 'GTiff',
        'compress': 'zstd',
        'zstd_level': 1,  # 9: six times the time and the same number of bytes
        'predictor': 3 if tile.dtype.kind == 'f' else 2,
        'interleave': 'pixel',
        'blockysize': tile.shape[1],
        'crs': crs,
    }
    placed = Affine(*transform)
    return _through_gdal(tile, options | ({} if placed == Affine.identity() else {'transform': placed}))


def _through_gdal(tile: np.ndarray, options: dict) -> bytes:
    count, height, width = tile.shape
    with warnings.catch_warnings():
        warnings.simplefilter('ignore', NotGeoreferencedWarning)
        # GDAL_PAM: a file in memory needs no file of statistics beside it.
        with rasterio.Env(GDAL_PAM_ENABLED='NO'), MemoryFile() as memory:
            with memory.open(width=width, height=height, count=count, dtype=tile.dtype, **options) as dataset:
                dataset.write(tile)
            return memory.read()
