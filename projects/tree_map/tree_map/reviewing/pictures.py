"""Pictures of crops, stretched as the network saw the scene, with the trees of other crops drawn in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import shapely
from PIL import Image, ImageDraw

from data_prep.atomic import atomic_write
from data_prep.grid import Window
from data_prep.imagery.encode import encode_jpeg
from data_prep.imagery.pixels import read_tile
from data_prep.imagery.rasters import open_raster, raster_info, three_bands
from data_prep.imagery.stretch import needs_stretch, stretch_limits
from tree_map.reviewing.sheets import Sheet
from tree_map.scene_map import SceneMap
from tree_map.writing.rings import in_pixels

QUALITY = 92  # of JPEG
ELSEWHERE = (0, 255, 255)  # outline of a tree that is corrected on another crop
DASH_PX = 6.0


def write_pictures(raster: Path, trees: SceneMap, sheets: Sequence[Sheet], folder: Path) -> list[Sheet]:
    """Write the picture of each crop; crops without a pixel of data and without a tree are left out.

    A tree that is corrected on another crop is drawn in with a dashed line, so that nobody draws it again.

    Args:
        raster: The scene.
        trees: Those that ``rows`` of the sheets count; the bands and stretch of their provenance are used.
        sheets: Crops of the scene.
        folder: Of the pictures.

    Returns:
        Crops that have a picture.

    Raises:
        DataError: If the raster cannot be read.
        OSError: If the disk is full or the folder not writable.
    """
    outlines, kept = in_pixels(trees), []
    index = shapely.STRtree(outlines)
    info, made = raster_info(raster), trees.provenance
    bands = tuple(made.get('bands') or ())
    bands = three_bands(info, bands if len(bands) in (1, 3) else bands[:3] or None)
    with open_raster(raster) as dataset:
        limits = made.get('stretch_lo_hi')
        if limits is None or len(limits) != len(bands):
            limits = stretch_limits(dataset, bands) if needs_stretch(info, 'auto') else None
        for sheet in sheets:
            pixels, empty = read_tile(dataset, sheet.window, sheet.window, bands, limits)
            if empty == 1 and not sheet.rows:
                continue
            near = set(index.query(shapely.box(*sheet.window[:2], sheet.window.right, sheet.window.bottom)).tolist())
            pixels = draw_elsewhere(pixels, outlines[sorted(near - set(sheet.rows))], sheet.window)
            with atomic_write(folder / sheet.image, 'wb') as file:
                file.write(encode_jpeg(pixels, QUALITY))
            kept.append(replace(sheet))
    return kept


def draw_elsewhere(pixels: np.ndarray, outlines: Sequence[shapely.Geometry], window: Window) -> np.ndarray:
    """Draw outlines, in pixels of the scene, as dashed lines into a picture of a window, (3, H, W) uint8."""
    if not len(outlines):
        return pixels
    picture = Image.fromarray(np.ascontiguousarray(pixels.transpose(1, 2, 0)))
    pen = ImageDraw.Draw(picture)
    for outline in outlines:
        for line in shapely.get_parts(shapely.boundary(outline)):
            for start in np.arange(0, line.length, 2 * DASH_PX):
                marks = [line.interpolate(start), line.interpolate(start + DASH_PX / 2),
                         line.interpolate(min(start + DASH_PX, line.length))]  # fmt: skip
                pen.line([(mark.x - window.x, mark.y - window.y) for mark in marks], fill=ELSEWHERE, width=1)
    return np.ascontiguousarray(np.asarray(picture).transpose(2, 0, 1))
