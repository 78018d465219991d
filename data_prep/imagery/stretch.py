"""From a scene's own numbers to the 8 bits of a tile, with one pair of limits per band and scene."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import rasterio

from data_prep.errors import DataError
from data_prep.grid import Window
from data_prep.imagery.rasters import RasterInfo, read_window

LoHi = list[list[float]]  # one [lo, hi] per band

SAMPLE_SIDE = 1024  # rows and columns of the thinned-out read that the percentiles come from


def needs_stretch(info: RasterInfo, mode: str) -> bool:
    """Whether a scene is stretched: ``p2-p98`` always, ``auto`` unless it is uint8 already, ``none`` never.

    Raises:
        DataError: If the mode is ``none`` and the scene is not uint8.
    """
    if mode == 'none' and info.dtype != 'uint8':
        raise DataError(f'{info.path} holds {info.dtype}, which tiles of 8 bits cannot; pass --stretch p2-p98')
    return mode == 'p2-p98' or info.dtype != 'uint8'


def stretch_limits(dataset: rasterio.DatasetReader, bands: Sequence[int]) -> LoHi:
    """Percentiles 2 and 98 of each band over the pixels that hold data.

    Read thinned out, so memory does not grow with the scene. One pair for the whole scene, so neighbouring tiles match.

    Returns:
        ``[[lo, hi], ...]`` with lo < hi, in the order of ``bands``; ``[0, 1]`` for a band without any data.
    """
    pixels, valid = read_window(dataset, Window(0, 0, dataset.width, dataset.height), bands, max_side=SAMPLE_SIDE)
    if not valid.any():
        return [[0.0, 1.0] for _ in bands]
    limits = np.percentile(pixels[:, valid].astype(np.float64), (2, 98), axis=1).T
    return [[float(lo), float(hi) if hi > lo else float(lo) + 1.0] for lo, hi in limits]


def apply_stretch(pixels: np.ndarray, limits: LoHi | None) -> np.ndarray:
    """Map lo..hi of each band to 0..255, rounded, with everything outside cut off.

    Args:
        pixels: (B, H, W), any real dtype.
        limits: One pair per band; None hands uint8 pixels through.

    Returns:
        (B, H, W) uint8.
    """
    if limits is None:
        return pixels
    lo, hi = np.asarray(limits, np.float64).T[:, :, None, None]
    scaled = (np.nan_to_num(pixels.astype(np.float64)) - lo) * (255 / (hi - lo))
    return np.clip(np.rint(scaled), 0, 255).astype(np.uint8)
