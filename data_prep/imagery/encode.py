"""Tiles as the bytes of a file: PNG and zstd GeoTIFF without loss, JPEG with some."""

from __future__ import annotations

import struct
import warnings
import zlib
from collections.abc import Sequence

import numpy as np
import rasterio
from affine import Affine
from rasterio.errors import NotGeoreferencedWarning
from rasterio.io import MemoryFile

AVERAGE = 3  # PNG filter: each byte as difference from the mean of its left and upper neighbours


def encode_png(tile: np.ndarray) -> bytes:
    """Encode a tile as PNG, without loss.

    One filter for all rows and runs as the only matches: for photographs as small as libpng's search through all
    filters, in less than half the time (https://www.w3.org/TR/png/ chapters 5, 9 and 10).

    Args:
        tile: (3, H, W) uint8, or (1, H, W) uint8 or uint16.
    """
    count, height, width = tile.shape
    samples = np.ascontiguousarray(tile.transpose(1, 2, 0)).astype(tile.dtype.newbyteorder('>'), copy=False)
    flat = samples.view(np.uint8).reshape(height, -1)
    rows = np.empty((height, 1 + flat.shape[1]), np.uint8)
    rows[:, 0] = AVERAGE
    np.subtract(flat, _mean_of_neighbours(flat, count * tile.itemsize), out=rows[:, 1:])
    packer = zlib.compressobj(1, zlib.DEFLATED, zlib.MAX_WBITS, 9, zlib.Z_RLE)
    colour = {1: 0, 3: 2}[count]
    header = struct.pack('>IIBBBBB', width, height, 8 * tile.itemsize, colour, 0, 0, 0)
    chunks = ((b'IHDR', header), (b'IDAT', packer.compress(rows) + packer.flush()), (b'IEND', b''))
    return b'\x89PNG\r\n\x1a\n' + b''.join(_chunk(*chunk) for chunk in chunks)


def _mean_of_neighbours(flat: np.ndarray, pixel_bytes: int) -> np.ndarray:
    """Half the sum of the byte one pixel to the left and the byte above, rounded down; what is outside is 0."""
    left, above = np.zeros_like(flat), np.zeros_like(flat)
    left[:, pixel_bytes:] = flat[:, :-pixel_bytes]
    above[1:] = flat[:-1]
    return (left & above) + ((left ^ above) >> 1)  # never more than 8 bits


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack('>I', len(content)) + kind + content + struct.pack('>I', zlib.crc32(kind + content))


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
        # GDAL_PAM: a JPEG in memory needs no file of statistics beside it.
        with rasterio.Env(GDAL_PAM_ENABLED='NO'), MemoryFile() as memory:
            with memory.open(width=width, height=height, count=count, dtype=tile.dtype, **options) as dataset:
                dataset.write(tile)
            return memory.read()
