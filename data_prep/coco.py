"""The COCO contract: how an image, an annotation and a category are written. The folder's README lists every key."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from pycocotools import mask as rle

from data_prep.grid import Window
from data_prep.imagery.rasters import RasterInfo
from data_prep.imagery.stretch import LoHi
from data_prep.polygons import Area, has_holes, rings

Record = dict[str, Any]


def categories(classes: Sequence[str]) -> list[Record]:
    """Entries with ids from 1 in the given order."""
    return [{'id': number, 'name': name, 'supercategory': 'object'} for number, name in enumerate(classes, 1)]


def segmentation(
    polygon: Area, size_wh: tuple[int, int], *, as_rle: bool = False
) -> tuple[list[list[float]] | Record, float]:
    """Outline of an object in a tile and the area it encloses.

    Args:
        polygon: In tile pixels, rounded.
        size_wh: Width and height of the tile.
        as_rle: Whether polygons without holes become RLE too.

    Returns:
        A list of flat rings ``[x0, y0, x1, y1, ...]`` with the polygon's area in px^2. COCO rings cannot have holes:
        a polygon with holes becomes a compressed RLE (``counts`` as str) with the number of its pixels.
    """
    if has_holes(polygon):
        encoded = rle.encode(np.asfortranarray(_mask(polygon, size_wh)))
    else:
        flat = [ring.ravel().tolist() for ring in rings(polygon)]
        if not as_rle:
            return flat, round(polygon.area, 6)
        encoded = rle.merge(rle.frPyObjects(flat, size_wh[1], size_wh[0]))
    return {'size': [size_wh[1], size_wh[0]], 'counts': encoded['counts'].decode('ascii')}, float(rle.area(encoded))


def _mask(polygon: Area, size_wh: tuple[int, int]) -> np.ndarray:
    """Pixels (H, W) uint8 of a polygon with holes, drawn as pycocotools draws the polygons of other objects."""
    width, height = size_wh
    mask = np.zeros((height, width), bool)

    def drawn(ring: Any) -> np.ndarray:
        flat = np.asarray(ring.coords)[:-1].ravel().tolist()
        return rle.decode(rle.frPyObjects([flat], height, width))[:, :, 0] > 0

    for part in getattr(polygon, 'geoms', [polygon]):
        inside = drawn(part.exterior)
        for hole in part.interiors:
            inside &= ~drawn(hole)
        mask |= inside
    return mask.astype(np.uint8)


def annotation(
    polygon: Area,
    size_wh: tuple[int, int],
    *,
    category_id: int,
    object_id: str,
    visible_fraction: float,
    as_rle: bool = False,
    iscrowd: bool = False,
) -> Record:
    """Entry of one object in one tile, still without ``id`` and ``image_id``.

    Args:
        polygon: The visible part in tile pixels, rounded.
        size_wh: Width and height of the tile.
        category_id: From 1.
        object_id: ``scene/feature``, the same in every tile that shows a part of the object.
        visible_fraction: Visible area by whole area.
        as_rle: Whether the outline is written as a mask.
        iscrowd: Whether it is a region to ignore; COCO wants a mask for it.
    """
    x0, y0, x1, y1 = polygon.bounds
    outline, area = segmentation(polygon, size_wh, as_rle=as_rle or iscrowd)
    return {
        'category_id': category_id,
        'bbox': [x0, y0, round(x1 - x0, 6), round(y1 - y0, 6)],
        'area': area,
        'iscrowd': int(iscrowd),
        'segmentation': outline,
        'object_id': object_id,
        'visible_fraction': round(visible_fraction, 6),
    }


def image(
    file_name: str,
    window: Window,
    read: Window,
    *,
    scene: Record,
    info: RasterInfo,
) -> Record:
    """Entry of one tile, still without ``id``: what it takes to read the tile again from its source.

    Args:
        file_name: Name of the tile inside ``images/SPLIT``.
        window: The tile in pixels of ``info.grid``; may reach past the raster or the split's block.
        read: The part of the window that is filled; the rest of the tile is 0.
        scene: Keys that all tiles of a scene share, see ``scene_keys``.
        info: Header of the source, with the scale.
    """
    a, b, c, d, e, f = info.grid_transform
    return {
        'file_name': file_name,
        'width': window.width,
        'height': window.height,
        'window_xywh': info.grid.to_source(window),
        'read_xywh': info.grid.to_source(read),
        'transform': [a, b, a * window.x + b * window.y + c, d, e, d * window.x + e * window.y + f],
        **scene,
    }


def scene_keys(
    name: str, source: str, source_sha256: str, *, bands: Sequence[int], limits: LoHi | None, info: RasterInfo
) -> Record:
    """Keys that are the same for every tile of a scene."""
    finite = info.nodata is None or math.isfinite(info.nodata)
    return {
        'scene': name,
        'source': source,
        'source_sha256': source_sha256,
        'scale': info.scale,
        'bands': list(bands),
        'stretch_lo_hi': limits,
        'nodata': info.nodata if finite else str(info.nodata),  # JSON has no NaN
        'crs': info.crs_name,
        'gsd_m': info.grid_gsd_m,
    }


def number_records(tiles: Sequence[tuple[Record, Sequence[Record]]], classes: Sequence[str], note: str) -> Record:
    """Whole COCO file from images with their annotations, in order; ids count from 1.

    Args:
        tiles: Image entry and its annotation entries, without ids.
        classes: Category names in the order of their ids.
        note: Goes into ``info.description``.
    """
    images, annotations = [], []
    for image_id, (entry, parts) in enumerate(tiles, 1):
        images.append({'id': image_id, **entry})
        for part in parts:
            annotations.append({'id': len(annotations) + 1, 'image_id': image_id, **part})
    return {
        'info': {'description': note, 'version': '1.0'},
        'licenses': [],
        'images': images,
        'annotations': annotations,
        'categories': categories(classes),
    }
