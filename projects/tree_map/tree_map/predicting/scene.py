"""A scene as the network shall see it: which bands, stretched how, resampled to which pixel size.

What the user asks for comes first, then what the tiles of training had, then the scene as it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from affine import Affine

from data_prep.errors import DataError
from data_prep.imagery.rasters import RasterInfo, open_raster, raster_info, three_bands
from data_prep.imagery.scale import pixel_size_m, scaled
from data_prep.imagery.stretch import LoHi, needs_stretch, stretch_limits

SAME_GSD = 0.02  # pixel sizes that differ by less are taken for the same, and nothing is resampled
MAX_BANDS_SHOWN = 8


@dataclass(frozen=True)
class Wishes:
    """What a user may ask for; None leaves it to the checkpoint."""

    gsd_m: float | None = None
    scale: float | None = None
    bands: tuple[int, ...] | None = None
    stretch: str | None = None
    gsd_of_scene_m: float | None = None  # side of its pixel, for a scene without a georeference


@dataclass(frozen=True)
class Scene:
    """A raster, and how it is read.

    Attributes:
        info: Header, with the scale of prediction; its `grid` is what windows are cut from.
        bands: From 1, in the order that the network takes.
        limits: What becomes 0 and 255 of each band; None hands 8-bit pixels through.
        gsd_m: Side of a pixel of the grid in metres; None where nobody knows.
        notes: Lines for the user.
    """

    info: RasterInfo
    bands: tuple[int, ...]
    limits: LoHi | None
    gsd_m: float | None
    notes: tuple[str, ...] = field(default=())

    @property
    def path(self) -> Path:
        """Of the raster."""
        return self.info.path

    @property
    def is_photo(self) -> bool:
        """Whether it lies nowhere on a map."""
        return self.info.crs is None and self.info.transform == Affine.identity()


def read_scene(path: str | Path, wishes: Wishes, tiles: dict | None, num_bands: int) -> Scene:
    """Read a scene's header and settle how its pixels are read.

    Args:
        path: GeoTIFF, PNG or JPEG.
        wishes: Of the user.
        tiles: How the tiles of training were cut; None where the checkpoint does not say.
        num_bands: That the network takes.

    Raises:
        DataError: If the raster cannot be read, or the network cannot take its bands or numbers.
    """
    tiles = tiles or {}
    info, mode = raster_info(path), wishes.stretch or tiles.get('stretch') or 'auto'
    bands = choose_bands(info, wishes.bands, tiles.get('bands'), num_bands)
    info, gsd_m, notes = _resampled(info, wishes, tiles)
    limits = None
    if needs_stretch(info, mode):
        with open_raster(path) as dataset:
            limits = stretch_limits(dataset, bands, mode)
    return Scene(info, bands, limits, gsd_m, tuple(notes))


def choose_bands(
    info: RasterInfo, asked: Sequence[int] | None, trained: Sequence[int] | None, num_bands: int
) -> tuple[int, ...]:
    """Choose the bands of a scene that the network is given, from 1.

    Raises:
        DataError: If the scene has no such bands, or they are not as many as the network takes.
    """
    chosen = tuple(asked or trained or range(1, num_bands + 1))
    if asked is not None and num_bands == 3:
        return three_bands(info, asked)
    if len(chosen) != num_bands:
        raise DataError(f'the network takes {num_bands} bands; got --bands {",".join(map(str, chosen))}')
    if max(chosen) > info.count:
        raise DataError(
            f'{info.path} has {info.count} band{"s" * (info.count != 1)}, and the network takes bands '
            f'{",".join(map(str, chosen[:MAX_BANDS_SHOWN]))} as in training; choose others with --bands '
            '(--bands 1 shows a grey scene as colour)'
        )
    return chosen


def _resampled(info: RasterInfo, wishes: Wishes, tiles: dict) -> tuple[RasterInfo, float | None, list[str]]:
    """Set the scale of prediction; returns the header, the pixel's side in metres, and lines for the user."""
    own = wishes.gsd_of_scene_m or _pixel_size(info)
    wanted = wishes.gsd_m or (None if wishes.scale else tiles.get('gsd_m'))
    notes: list[str] = []
    if wishes.gsd_m and own is None:
        raise DataError(f'{info.path} has no georeference, so --gsd needs --gsd-of-scene METRES too')
    if wishes.scale:
        info = scaled(info, scale=wishes.scale)
    elif wanted and own and abs(own / wanted - 1) > SAME_GSD:
        info = _scaled_to(info, own, wanted)
        notes.append(f'{info.path.name}: pixels of {own:.4g} m, resampled to the {wanted:.4g} m of '
                     f'{"--gsd" if wishes.gsd_m else "training"}.')  # fmt: skip
    elif tiles.get('gsd_m') and own is None:
        notes.append(
            f'{info.path.name}: no georeference, so its pixels are taken as they are, and the network knows pixels of '
            f'{tiles["gsd_m"]:.4g} m; --gsd-of-scene METRES says their size.'
        )
    step = (info.grid.step_xy[0] * info.grid.step_xy[1]) ** 0.5
    return info, None if own is None else own * step, notes


def _scaled_to(info: RasterInfo, own: float, wanted: float) -> RasterInfo:
    if own != _pixel_size(info):
        return scaled(info, scale=own / wanted)
    return scaled(info, gsd_m=wanted)


def _pixel_size(info: RasterInfo) -> float | None:
    """Side of a pixel in metres; None where the raster does not say."""
    try:
        return pixel_size_m(info)
    except DataError:
        return None
