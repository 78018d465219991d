"""An annotation's ``segmentation``, whichever of COCO's three ways it is written in, as pixels at any size."""

from __future__ import annotations

from typing import Any

import numpy as np
from pycocotools import mask as rle

from data_prep.errors import DataError
from data_prep.labels.rle import box_mask


def draw_mask(segmentation: Any, size_wh: tuple[int, int], out_wh: tuple[int, int]) -> np.ndarray | None:
    """Draw a segmentation at another size than its image's.

    Polygons are scaled before they are drawn, so they stay sharp when magnified; run lengths are sampled.

    Args:
        segmentation: Of an annotation: polygons, compressed or uncompressed run lengths.
        size_wh: Width and height of its image.
        out_wh: Width and height to draw at.

    Returns:
        (H, W) bool at ``out_wh``; None where the annotation has no segmentation.

    Raises:
        DataError: If the segmentation is damaged. The caller adds the place.
    """
    if not segmentation:
        return None
    if isinstance(segmentation, dict):
        return _draw_runs(segmentation, size_wh, out_wh)
    factor = np.divide(out_wh, size_wh)
    flat = [(ring * factor).ravel().tolist() for ring in polygon_rings(segmentation)]
    return rle.decode(rle.merge(rle.frPyObjects(flat, out_wh[1], out_wh[0]))) > 0


def polygon_rings(segmentation: Any) -> list[np.ndarray]:
    """Rings (V, 2) float64 with V >= 3.

    Raises:
        DataError: If a ring is not made of at least three finite points. The caller adds the place.
    """
    try:
        rings = [np.asarray(ring, np.float64).reshape(-1, 2) for ring in segmentation]
    except (TypeError, ValueError, OverflowError):
        raise DataError('segmentation must hold flat rings x0, y0, x1, y1, .., or be an RLE') from None
    if not all(len(ring) >= 3 and np.isfinite(ring).all() for ring in rings):
        raise DataError('segmentation must hold rings of 3 finite points or more')
    return rings


def _draw_runs(segmentation: dict[str, Any], size_wh: tuple[int, int], out_wh: tuple[int, int]) -> np.ndarray:
    if segmentation.get('size') != [size_wh[1], size_wh[0]]:
        raise DataError(f'the RLE must have the size of its image, [{size_wh[1]}, {size_wh[0]}]; got '
                        f'{str(segmentation.get("size"))[:40]}')  # fmt: skip
    try:
        pixels, (left, top) = box_mask(segmentation)
    except ValueError as error:
        raise DataError(str(error)) from None
    rows, columns = nearest(size_wh[1], out_wh[1]) - top, nearest(size_wh[0], out_wh[0]) - left
    drawn = np.zeros((out_wh[1], out_wh[0]), bool)
    inside = ((rows >= 0) & (rows < pixels.shape[0]), (columns >= 0) & (columns < pixels.shape[1]))
    drawn[np.ix_(*inside)] = pixels[np.ix_(rows[inside[0]], columns[inside[1]])]
    return drawn


def nearest(have: int, want: int) -> np.ndarray:
    """Which of ``have`` pixels the centre of each of ``want`` falls into, (want,) int."""
    return ((np.arange(want) + 0.5) * have / want).astype(int)
