"""Rasters, safely: an allow-list of drivers, windows only, every handle closed, one rule for pixels without data."""

from __future__ import annotations

import hashlib
import math
import os
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import rasterio
from affine import Affine
from rasterio.enums import ColorInterp
from rasterio.errors import NotGeoreferencedWarning, RasterioError, RasterioIOError
from rasterio.windows import Window as RasterioWindow

from data_prep.errors import DataError
from data_prep.grid import Window

# Kinds of files that are opened, by their first bytes. None follows a name inside the file to another file or host.
DRIVERS = {
    b'II*\0': 'GTiff',
    b'MM\0*': 'GTiff',
    b'II+\0': 'GTiff',  # BigTIFF
    b'MM\0+': 'GTiff',
    b'\x89PNG': 'PNG',
    b'\xff\xd8\xff': 'JPEG',
}
SUFFIXES = ('.tif', '.tiff', '.png', '.jpg', '.jpeg')


@dataclass(frozen=True)
class RasterInfo:
    """What a raster says about itself."""

    path: Path
    width: int
    height: int
    count: int  # bands
    dtype: str  # widest of the bands
    crs: rasterio.CRS | None
    transform: Affine  # pixel corner -> map; identity where the file has none
    nodata: float | None

    @property
    def window(self) -> Window:
        """The whole raster."""
        return Window(0, 0, self.width, self.height)

    @property
    def gsd_m(self) -> float | None:
        """Side of a pixel in metres (root of its area); None without a CRS in length units."""
        if self.crs is None or not self.crs.is_projected:
            return None
        metres_per_unit = self.crs.linear_units_factor[1]
        return round(math.sqrt(abs(self.transform.determinant)) * metres_per_unit, 9)

    @property
    def crs_name(self) -> str | None:
        """Authority string such as EPSG:25832, else WKT, else None."""
        return None if self.crs is None else self.crs.to_string()


@contextmanager
def open_raster(path: str | os.PathLike[str]) -> Iterator[rasterio.DatasetReader]:
    """Open a GeoTIFF, PNG or JPEG for reading and close it afterwards.

    Raises:
        DataError: If there is no such file, or it is none of the three (a VRT dressed as .tif is refused), or a block
            read inside the ``with`` fails.
    """
    path, driver = Path(path), _driver(path)
    with rasterio.Env(GDAL_DISABLE_READDIR_ON_OPEN='EMPTY_DIR'), warnings.catch_warnings():
        warnings.simplefilter('ignore', NotGeoreferencedWarning)
        try:
            dataset = rasterio.open(os.path.abspath(path), driver=driver)
        except RasterioError as error:
            raise DataError(f'{path} is not a readable {driver} file: {error}; copy it again from its source') from None
        try:
            with dataset:
                yield dataset
        except RasterioIOError as error:
            raise DataError(f'{path} is truncated or damaged: {error}; copy it again from its source') from None


def _driver(path: str | os.PathLike[str]) -> str:
    try:
        with open(path, 'rb') as file:
            start = file.read(4)
    except OSError as error:
        raise DataError(f'{path} cannot be read: {error.strerror}; name a raster on this machine') from None
    for magic, driver in DRIVERS.items():
        if start.startswith(magic):
            return driver
    raise DataError(f'{path} must be a GeoTIFF, PNG or JPEG; it begins with {start!r}; convert it to GeoTIFF')


def raster_info(path: str | os.PathLike[str]) -> RasterInfo:
    """Read the header.

    Raises:
        DataError: If the file cannot be opened, holds a colour table, or has numbers that are not real.
    """
    with open_raster(path) as dataset:
        if dataset.colorinterp[0] == ColorInterp.palette:
            raise DataError(f'{path} holds colour-table indexes; expand it first: gdal_translate -expand rgb')
        dtype = np.result_type(*dataset.dtypes)
        if dtype.kind not in 'uif':
            raise DataError(f'{path} must hold integers or floats; got {dtype}')
        return RasterInfo(
            path=Path(path),
            width=dataset.width,
            height=dataset.height,
            count=dataset.count,
            dtype=str(dtype),
            crs=dataset.crs,
            transform=dataset.transform,
            nodata=dataset.nodata,
        )


def three_bands(info: RasterInfo, bands: Sequence[int] | None) -> tuple[int, int, int]:
    """Bands, counted from 1, that become red, green and blue of a tile.

    Args:
        info: The raster.
        bands: One band (grey: it fills all three) or three; None takes 1,2,3, or band 1 of a raster with one band.

    Raises:
        DataError: If it is neither one nor three bands, or the raster has no such band.
    """
    chosen = tuple(bands or ((1,) if info.count == 1 else (1, 2, 3)))
    if len(chosen) not in (1, 3):
        raise DataError(f'--bands takes one band or three; got {len(chosen)}')
    if not all(1 <= band <= info.count for band in chosen):
        raise DataError(f'{info.path} has bands 1..{info.count}; got --bands {",".join(map(str, chosen))}')
    return chosen * 3 if len(chosen) == 1 else chosen


def read_window(
    dataset: rasterio.DatasetReader, window: Window, bands: Sequence[int], *, max_side: int | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Read pixels and where they hold data.

    A pixel holds data where the mask of the file (nodata value, mask band or alpha) says so and its values are finite.
    A file that declares no mask at all has black holes: there a pixel that is 0 in all bands read holds no data.

    Args:
        dataset: An open raster.
        window: Inside the raster.
        bands: Bands, counted from 1; repeats are read once.
        max_side: Thin out to at most this many rows and columns, for statistics.

    Returns:
        Pixels (B, H, W) in the file's dtype and the valid mask (H, W) bool.
    """
    shape = (window.height, window.width) if max_side is None else tuple(min(n, max_side) for n in window[:1:-1])
    area = RasterioWindow(*window)
    unique = sorted(set(bands))
    pixels = dataset.read(unique, window=area, out_shape=(len(unique), *shape))
    valid = dataset.dataset_mask(window=area, out_shape=shape) > 0
    if pixels.dtype.kind == 'f':
        valid &= np.isfinite(pixels).all(axis=0)
    if all(flags == [rasterio.enums.MaskFlags.all_valid] for flags in dataset.mask_flag_enums):
        valid &= (pixels != 0).any(axis=0)
    return pixels[[unique.index(band) for band in bands]], valid


def sha256(path: str | os.PathLike[str]) -> str:
    """Hash of a file's bytes, as hex.

    Raises:
        DataError: If the file cannot be read.
    """
    try:
        with open(path, 'rb') as file:
            return hashlib.file_digest(file, 'sha256').hexdigest()
    except OSError as error:
        raise DataError(f'{path} cannot be read: {error.strerror}') from None
