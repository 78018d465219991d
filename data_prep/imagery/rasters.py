"""Rasters, safely: an allow-list of drivers, windows only, every handle closed, one rule for pixels without data."""

from __future__ import annotations

import hashlib
import math
import os
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import rasterio
from affine import Affine
from rasterio.enums import ColorInterp, MaskFlags
from rasterio.errors import NotGeoreferencedWarning, RasterioError, RasterioIOError
from rasterio.windows import Window as RasterioWindow

from data_prep.errors import DataError
from data_prep.grid import Grid, Window
from data_prep.imagery.file_end import lacks_pixels
from data_prep.imagery.resample import resample, source_window

# Kinds of files that are opened, by their first bytes. None follows a name inside the file to another file or host.
DRIVERS = {
    b'II*\0': 'GTiff',
    b'MM\0*': 'GTiff',
    b'II+\0': 'GTiff',  # BigTIFF
    b'MM\0+': 'GTiff',
    b'\x89PNG': 'PNG',
    b'\xff\xd8\xff': 'JPEG',
}
MAX_PIXELS = 1 << 21  # of source or grid, resampled at a time

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
    alpha_band: int | None = None  # from 1
    scale: float = 1.0  # at which tiles are cut from it, see ``grid.Grid``

    @property
    def window(self) -> Window:
        """The whole raster, in its own pixels."""
        return Window(0, 0, self.width, self.height)

    @property
    def grid(self) -> Grid:
        """The pixels that tiles are cut from."""
        return Grid((self.width, self.height), self.scale)

    @cached_property
    def grid_transform(self) -> tuple[float, ...]:
        """``a b c d e f`` from corners of the grid's pixels to the map."""
        return tuple(self.transform * Affine.scale(*self.grid.step_xy))[:6]

    @property
    def gsd_m(self) -> float | None:
        """Side of a pixel in metres (root of its area); None without a CRS in length units."""
        if self.crs is None or not self.crs.is_projected:
            return None
        metres_per_unit = self.crs.linear_units_factor[1]
        return round(math.sqrt(abs(self.transform.determinant)) * metres_per_unit, 9)

    @property
    def grid_gsd_m(self) -> float | None:
        """Side of a pixel of the grid in metres, likewise."""
        return None if self.gsd_m is None else round(self.gsd_m * math.sqrt(math.prod(self.grid.step_xy)), 9)

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
        DataError: If the file cannot be opened, ends before its pixels, holds a colour table, or has numbers that are
            not real.
    """
    with open_raster(path) as dataset:
        if lacks_pixels(dataset, length := os.path.getsize(path), last_only=True):
            raise DataError(f'{path} is truncated or damaged: it stops after {length} bytes, before its pixels end; '
                            'copy it again from its source')  # fmt: skip
        if dataset.colorinterp[0] == ColorInterp.palette:
            raise DataError(f'{path} holds colour-table indexes; expand it first: gdal_translate -expand rgb')
        dtype = np.result_type(*dataset.dtypes)
        alpha = [band for band, kind in enumerate(dataset.colorinterp, 1) if kind == ColorInterp.alpha]
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
            alpha_band=alpha[0] if alpha else None,
        )


def three_bands(info: RasterInfo, bands: Sequence[int] | None) -> tuple[int, int, int]:
    """Bands, counted from 1, that become red, green and blue of a tile.

    Args:
        info: The raster.
        bands: One band (grey: it fills all three) or three; None takes 1,2,3, or band 1 of a raster that has no other
            but alpha.

    Raises:
        DataError: If it is neither one nor three bands, or the raster has no such band.
    """
    colours = info.count - (info.alpha_band is not None)
    if not bands and colours == 2:
        raise DataError(f'{info.path} has two bands, which is neither grey nor colour; choose one with --bands 1')
    chosen = tuple(bands or ((1,) if colours <= 1 else (1, 2, 3)))
    if len(chosen) not in (1, 3):
        raise DataError(f'--bands takes one band or three; got {len(chosen)}')
    if not all(1 <= band <= info.count for band in chosen):
        raise DataError(f'{info.path} has bands 1..{info.count}; got --bands {",".join(map(str, chosen))}')
    return chosen * 3 if len(chosen) == 1 else chosen


def read_window(
    dataset: rasterio.DatasetReader,
    window: Window,
    bands: Sequence[int],
    *,
    scale: float = 1.0,
    max_side: int | None = None,
    out: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Read pixels and where they hold data.

    A pixel holds data where the mask of the file (nodata value, mask band or alpha) says so and its values are finite.
    A file that declares no mask at all has black holes: there a pixel that is 0 in all bands read holds no data. Where
    there is a nodata value, one band read that differs from it is enough.

    Args:
        dataset: An open raster.
        window: Inside the raster, or inside its ``Grid`` where ``scale`` is not 1.
        bands: Bands, counted from 1; repeats are read once.
        scale: Of the grid. A pixel of it depends on its place in the scene alone, not on the window it is read with.
        max_side: Thin out to at most this many rows and columns, for statistics; at scale 1.
        out: (B, H, W) of the file's dtype that gets the pixels and is returned; None makes a new array.

    Returns:
        Pixels (B, H, W) in the file's dtype and the valid mask (H, W) bool.
    """
    unique = sorted(set(bands))
    if scale == 1:
        shape = (window.height, window.width) if max_side is None else tuple(min(n, max_side) for n in window[:1:-1])
        if out is not None and unique == list(bands):
            return _read(dataset, window, unique, shape, out)
        pixels, valid = _read(dataset, window, unique, shape)
    else:
        pixels, valid = _read_resampled(dataset, window, unique, Grid((dataset.width, dataset.height), scale))
    order = [unique.index(band) for band in bands]
    return (pixels[order] if out is None else np.take(pixels, order, axis=0, out=out)), valid


def _read(
    dataset: rasterio.DatasetReader,
    window: Window,
    bands: list[int],
    shape: tuple[int, int],
    out: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Pixels and validity of a window of the source, thinned out to a shape."""
    area = RasterioWindow(*window)
    into = {'out_shape': (len(bands), *shape)} if out is None else {'out': out}
    pixels = dataset.read(bands, window=area, **into)
    flags = dataset.mask_flag_enums
    if all(kinds == [MaskFlags.all_valid] for kinds in flags):
        whole = pixels.dtype.kind in 'ui'  # their bits together are three times as fast as a comparison of each
        valid = np.bitwise_or.reduce(pixels, axis=0) != 0 if whole else (pixels != 0).any(axis=0)
    elif MaskFlags.per_dataset in flags[0]:
        valid = dataset.read_masks(1, window=area, out_shape=shape) > 0
    else:
        valid = (dataset.read_masks(bands, window=area, out_shape=(len(bands), *shape)) > 0).any(axis=0)
    if pixels.dtype.kind == 'f':
        valid &= np.isfinite(pixels).all(axis=0)
    return pixels, valid


def _read_resampled(
    dataset: rasterio.DatasetReader, window: Window, bands: list[int], grid: Grid
) -> tuple[np.ndarray, np.ndarray]:
    """Pixels and validity of a window of a grid, a few rows at a time, so that memory is bounded at any scale."""
    dtype = np.result_type(*(dataset.dtypes[band - 1] for band in bands))
    pixels = np.empty((len(bands), window.height, window.width), dtype)
    valid = np.empty((window.height, window.width), bool)
    across, down = grid.step_xy
    rows = max(int(MAX_PIXELS / (window.width * max(across, 1) * max(down, 1))), 1)
    for top in range(0, window.height, rows):
        part = Window(window.x, window.y + top, window.width, min(rows, window.height - top))
        source = source_window(part, grid)
        read = _read(dataset, source, bands, (source.height, source.width))
        strip = slice(top, top + part.height)
        pixels[:, strip], valid[strip] = resample(*read, source, part, grid)
    return pixels, valid


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
