"""Where the image of a document lies on disk and on the map, and coordinates from pixels to the map and back."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np
import rasterio
import rasterio.warp
from affine import Affine
from rasterio._err import CPLE_BaseError  # what warp.transform raises; rasterio.errors does not offer it

from data_prep.convert.document import Document, Item, Place
from data_prep.errors import DataError
from data_prep.imagery.rasters import SUFFIXES, open_raster
from data_prep.labels.coco_file import base_name
from data_prep.labels.features import parse_crs

DECIMALS = 6  # of pixels that come from a map: a millionth of a pixel is beyond what the map's numbers hold


def find_image(document: Document, raster: Path | None, images: Path | None) -> Path | None:
    """File of a document's image: ``raster``, else by name in ``images``, else beside the labels; None if nowhere.

    Raises:
        DataError: If an image that was named does not exist.
    """
    if raster is not None:
        if not raster.is_file():
            raise DataError(f'--raster {raster} does not exist; name a raster on this machine')
        return raster
    if images is not None and not images.is_dir():
        raise DataError(f'--images {images} must be a folder; name the one with the images')
    parents = [images] if images is not None else [document.source.parent]
    for folder in parents:
        for name in _names(document):
            inside = Path(os.path.normpath(folder / name)).is_relative_to(os.path.normpath(folder))
            if inside and (folder / name).is_file():
                return folder / name
    return None


def _names(document: Document) -> Iterable[str]:
    """Names that the image may have, the likeliest first."""
    if document.file_name:
        yield document.file_name
        yield base_name(document.file_name)
    if document.split and document.file_name:
        yield f'{document.split}/{document.file_name}'
    if document.crs is not None or not document.file_name:
        yield from (document.name + suffix for suffix in SUFFIXES)


def read_place(path: Path) -> Place:
    """Size and map of an image; PNG and JPEG have no map.

    Raises:
        DataError: If it cannot be read.
    """
    with open_raster(path) as dataset:
        transform = dataset.transform if dataset.crs is not None else None
        return Place((dataset.width, dataset.height), dataset.crs, transform, path)


def recorded_place(document: Document) -> Place | None:
    """Map that a COCO image entry of ours records with ``crs`` and ``transform``; None where it does not."""
    crs, transform = document.extra.get('crs'), document.extra.get('transform')
    if not isinstance(crs, str) or not isinstance(transform, list) or len(transform) != 6 or not document.size_wh:
        return None
    if not all(type(value) in (int, float) for value in transform) or not Affine(*transform).determinant:
        return None
    return Place(document.size_wh, parse_crs(crs, document.source), Affine(*transform))


def check_size(document: Document, place: Place) -> None:
    """Compare the size that the labels name with that of the image.

    Raises:
        DataError: If they differ.
    """
    if document.size_wh is not None and document.size_wh != place.size_wh:
        drawn, real = ('{} x {} px'.format(*size) for size in (document.size_wh, place.size_wh))
        raise DataError(f'{document.source}: {document.name} was drawn on {drawn}; {place.path} has {real}; pair it '
                        f'with the image it was drawn on')  # fmt: skip


def to_map(document: Document, place: Place) -> Document:
    """Pixels to the map of their image, in its CRS.

    Raises:
        DataError: If the image has no CRS.
    """
    if place.crs is None or place.transform is None:
        raise DataError(f'{place.path or document.source} has no CRS, so its labels have no place on a map; set one '
                        f'(gdal_edit.py -a_srs), or write LabelMe or COCO')  # fmt: skip

    def move(points: np.ndarray) -> np.ndarray:
        return _affine(place.transform, points)

    return replace(document, items=_moved(document.items, move), crs=place.crs)


def to_pixels(document: Document, place: Place) -> Document:
    """Map coordinates to pixels of an image, through the CRS of both.

    Raises:
        DataError: If the image has no CRS, or a coordinate has no place on its map.
    """
    if place.crs is None or place.transform is None:
        raise DataError(f'{place.path} has no CRS, so {document.source} ({document.crs.to_string()[:60]}) cannot be '
                        f'placed on it; set one (gdal_edit.py -a_srs)')  # fmt: skip

    def move(points: np.ndarray) -> np.ndarray:
        if document.crs != place.crs:
            x, y = points.T
            points = np.stack(rasterio.warp.transform(document.crs, place.crs, x, y), axis=1)
        return np.round(_affine(~place.transform, points), DECIMALS) + 0.0  # + 0.0 turns -0.0 into 0.0

    try:
        items = _moved(document.items, move)
    except CPLE_BaseError as error:
        raise DataError(f'{document.source} holds coordinates that have no place on the map of {place.path}: {error}; '
                        f'correct them, or the CRS') from None  # fmt: skip
    if any(not np.isfinite(ring).all() for item in items for part in item.parts for ring in part):
        raise DataError(f'{document.source} holds coordinates that have no place on the map of {place.path}; '
                        f'correct them, or the CRS')  # fmt: skip
    return replace(document, items=items, crs=None)


def _affine(transform: Affine, points: np.ndarray) -> np.ndarray:
    x, y = points.T
    return np.stack(
        (transform.a * x + transform.b * y + transform.c, transform.d * x + transform.e * y + transform.f), axis=1
    )


def _moved(items: list[Item], move: Callable[[np.ndarray], np.ndarray]) -> list[Item]:
    """All points in one call: PROJ is slow to start."""
    rings = [ring for item in items for part in item.parts for ring in part]
    if not rings:
        return items
    with np.errstate(invalid='ignore', over='ignore'):
        points = move(np.array([point for ring in rings for point in ring], np.float64)).tolist()
    following = iter(points)
    return [
        replace(item, coco=None, parts=[[[next(following) for _ in ring] for ring in part] for part in item.parts])
        for item in items
    ]
