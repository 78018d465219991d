"""At which scale a scene is cut: as asked for, or so that a tile's pixel has a size in metres."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import rasterio
import rasterio.warp
from rasterio._err import CPLE_BaseError  # what warp.transform raises; rasterio.errors does not offer it

from data_prep.errors import DataError
from data_prep.imagery.rasters import RasterInfo

SCALES = (0.02, 16.0)  # tile pixels per source pixel: beyond them somebody has mistaken a unit


def scaled(info: RasterInfo, *, scale: float | None = None, gsd_m: float | None = None) -> RasterInfo:
    """Set the scale at which tiles are cut from a raster.

    Args:
        info: Its header.
        scale: Tile pixels per source pixel, or
        gsd_m: side of a tile's pixel in metres; at most one of the two.

    Returns:
        The header with that scale; with scale 1 where resampling would leave the number of pixels as it is.

    Raises:
        DataError: If the size of the raster's pixels in metres is not known, or the scale is out of range.
    """
    if gsd_m is not None:
        size = pixel_size_m(info)
        scale = size / gsd_m
        if not SCALES[0] <= scale <= SCALES[1]:
            raise DataError(f'{info.path} has pixels of {size:.6g} m, so --gsd {gsd_m:g} would resample it {scale:.4g} '
                            f'times; it must be {SCALES[0]:g} to {SCALES[1]:g} times')  # fmt: skip
    resampled = replace(info, scale=scale or 1.0)
    return replace(info, scale=1.0) if resampled.grid.window == info.window else resampled


def pixel_size_m(info: RasterInfo) -> float:
    """Side of a pixel in metres, the root of its area; at the raster's centre where the CRS is geographic.

    Raises:
        DataError: If the raster has no CRS, no place on the map, or one in other units than lengths and degrees.
    """
    if info.crs is not None and not info.transform.is_identity:
        size = info.gsd_m if info.crs.is_projected else _geographic_size_m(info) if info.crs.is_geographic else None
        if size:
            return size
    raise DataError(f'{info.path} has no georeference, so --gsd cannot be met; pass --scale (tile pixels per pixel)')


def _geographic_size_m(info: RasterInfo) -> float | None:
    """Measure the pixel at the centre on a plane that touches the ellipsoid there (azimuthal equidistant)."""
    column, row = info.width / 2, info.height / 2
    longitude, latitude = info.transform * (column, row)
    if not (abs(latitude) < 90 and abs(longitude) <= 540):
        return None
    plane = rasterio.CRS.from_proj4(f'+proj=aeqd +lat_0={latitude!r} +lon_0={longitude!r} +datum=WGS84 +units=m')
    corners = [info.transform * corner for corner in ((column, row), (column + 1, row), (column, row + 1))]
    try:
        x, y = rasterio.warp.transform(info.crs, plane, *zip(*corners, strict=True))
    except CPLE_BaseError:
        return None
    across, down = np.diff(np.array([x, y]), axis=1).T[0], np.array([x[2] - x[0], y[2] - y[0]])
    area = abs(across[0] * down[1] - across[1] * down[0])
    return math.sqrt(area) if math.isfinite(area) and area > 0 else None
