"""Parts of a scene as JPEG within a number of bytes: the overview, and crops at full resolution."""

from __future__ import annotations

import base64
from dataclasses import dataclass

import numpy as np

from data_prep.grid import Grid, Window
from data_prep.imagery.encode import encode_jpeg
from data_prep.imagery.pixels import read_tile
from data_prep.imagery.rasters import RasterInfo, open_raster
from data_prep.imagery.stretch import LoHi

QUALITIES = (85, 75, 65, 50)  # tried in turn; below them fewer pixels look better than worse ones
SHRINK = 0.75  # of a side, tried next
FEWEST = 64  # pixels of a side, below which a picture is not made smaller


@dataclass(frozen=True)
class Source:
    """Where a scene's pixels come from, and how its map's network saw them.

    Attributes:
        info: Header of the raster.
        bands: Three, counted from 1, shown as red, green and blue.
        limits: What becomes 0 and 255, by band; None for 8 bits as they are.
    """

    info: RasterInfo
    bands: tuple[int, int, int]
    limits: LoHi | None


@dataclass(frozen=True)
class Picture:
    """A JPEG of a part of a scene.

    Attributes:
        window: Source pixels that it shows.
        size_wh: Its own pixels.
        jpeg: The file.
    """

    window: Window
    size_wh: tuple[int, int]
    jpeg: bytes

    @property
    def uri(self) -> str:
        """The picture as text for a page."""
        return f'data:image/jpeg;base64,{base64.b64encode(self.jpeg).decode("ascii")}'


def overview(source: Source, most_side: int, most_bytes: int) -> Picture:
    """A whole scene, thinned out to at most ``most_side`` pixels a side; memory does not grow with the scene."""
    return picture(source, source.info.window, most_side, most_bytes)


def picture(source: Source, window: Window, most_side: int, most_bytes: int) -> Picture:
    """A part of a scene as JPEG.

    Args:
        source: The scene.
        window: Source pixels, inside the raster.
        most_side: Pixels of the longer side at most; the scene is never enlarged.
        most_bytes: Of the file: less quality and then fewer pixels are taken until it fits, or a side has few.

    Raises:
        DataError: If the raster is damaged.
    """
    scale = min(1.0, most_side / max(window.width, window.height))
    while True:
        tile = _read(source, window, scale)
        for quality in QUALITIES:
            jpeg = encode_jpeg(tile, quality)
            if len(jpeg) <= most_bytes:
                return Picture(window, (tile.shape[2], tile.shape[1]), jpeg)
        if max(tile.shape[1:]) * SHRINK < FEWEST:
            return Picture(window, (tile.shape[2], tile.shape[1]), jpeg)
        scale *= min(SHRINK, (most_bytes / len(jpeg)) ** 0.5)  # bytes go with the area


def _read(source: Source, window: Window, scale: float) -> np.ndarray:
    """(3, h, w) uint8."""
    grid = Grid((source.info.width, source.info.height), scale)
    if not all(grid.from_source(window)[2:]):  # a strip thinner than a pixel
        scale = 1.0
    with open_raster(source.info.path) as dataset:
        return read_tile(dataset, window, window, source.bands, source.limits, scale)[0]
