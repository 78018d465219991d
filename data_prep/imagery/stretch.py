"""From a scene's own numbers to the 8 bits of a tile, with one pair of limits per band and scene."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import rasterio

from data_prep.errors import DataError
from data_prep.grid import Window
from data_prep.imagery.rasters import RasterInfo, read_window

LoHi = list[list[float]]  # one [lo, hi] per band

MODES = ('auto', 'p2-p98', 'min-max', 'none')
SAMPLE_SIDE = 1024  # rows and columns of the thinned-out read that the percentiles come from
STRIP_PIXELS = 1 << 22  # read at a time for the extremes


def needs_stretch(info: RasterInfo, mode: str) -> bool:
    """Whether a scene is stretched: by ``p2-p98`` and ``min-max`` always, by ``auto`` unless it is uint8 already.

    Raises:
        DataError: If the mode is ``none`` and the scene is not uint8.
    """
    if mode == 'none' and info.dtype != 'uint8':
        raise DataError(f'{info.path} holds {info.dtype}, which tiles of 8 bits cannot; pass --stretch p2-p98')
    return mode in ('p2-p98', 'min-max') or info.dtype != 'uint8'


def stretch_limits(dataset: rasterio.DatasetReader, bands: Sequence[int], mode: str = 'auto') -> LoHi:
    """What becomes 0 and 255, over the pixels that hold data: one pair per band and scene, so neighbouring tiles match.

    ``min-max`` takes the extremes of all pixels, the other modes percentiles 2 and 98 of a thinned-out read. Memory
    does not grow with the scene.

    Returns:
        ``[[lo, hi], ...]`` with lo < hi, in the order of ``bands``; ``[0, 1]`` for a band without any data.
    """
    limits = _extremes(dataset, bands) if mode == 'min-max' else _percentiles(dataset, bands)
    if limits is None:
        return [[0.0, 1.0] for _ in bands]
    return [[float(lo), float(hi) if hi > lo else float(lo) + 1.0] for lo, hi in limits]


def _percentiles(dataset: rasterio.DatasetReader, bands: Sequence[int]) -> np.ndarray | None:
    """Percentiles 2 and 98, (B, 2); None where nothing holds data."""
    pixels, valid = read_window(dataset, Window(0, 0, dataset.width, dataset.height), bands, max_side=SAMPLE_SIDE)
    return np.percentile(pixels[:, valid].astype(np.float64), (2, 98), axis=1).T if valid.any() else None


def _extremes(dataset: rasterio.DatasetReader, bands: Sequence[int]) -> np.ndarray | None:
    """Least and greatest value, (B, 2), read by strips of whole blocks; None where nothing holds data."""
    block = dataset.block_shapes[0][0]
    rows = max(STRIP_PIXELS // dataset.width // block, 1) * block
    found = []
    for top in range(0, dataset.height, rows):
        strip = Window(0, top, dataset.width, min(rows, dataset.height - top))
        pixels, valid = read_window(dataset, strip, bands)
        if valid.any():
            found.append([(band[valid].min(), band[valid].max()) for band in pixels])
    if not found:
        return None
    low, high = np.moveaxis(np.array(found, np.float64), 2, 0)
    return np.stack((low.min(axis=0), high.max(axis=0)), axis=1)


def apply_stretch(pixels: np.ndarray, limits: LoHi | None) -> np.ndarray:
    """Map lo..hi of each band to 0..255, rounded, with everything outside cut off.

    Args:
        pixels: (B, H, W), any real dtype; what is not finite counts as 0.
        limits: One pair per band; None hands uint8 pixels through.

    Returns:
        (B, H, W) uint8.
    """
    if limits is None:
        return pixels
    lo, hi = np.asarray(limits, np.float64).T[:, :, None, None]
    values = np.nan_to_num(pixels.astype(np.float64), copy=False, nan=0, posinf=0, neginf=0)
    values -= lo
    values *= 255 / (hi - lo)
    return np.clip(np.rint(values, out=values), 0, 255, out=values).astype(np.uint8)
