"""COCO run lengths to outlines and back, exact to the pixel, in memory of the object's box rather than of the image.

COCO counts pixels column by column, zeros and ones in turn, zeros first. pycocotools decodes whole images, and counts
that do not fill the image become bytes of whatever lay in memory; here they are a ValueError.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import rasterio.features
import shapely
from affine import Affine
from pycocotools import mask as coco_mask

Ring = list[list[float]]  # vertices [x, y], the first not repeated at the end
Part = list[Ring]  # outer ring, then holes


def run_lengths(segmentation: dict[str, Any]) -> tuple[np.ndarray, tuple[int, int]]:
    """Check and unpack the run lengths of a COCO segmentation.

    Args:
        segmentation: ``size`` (height, width) and ``counts``, a list of numbers or the compressed text.

    Returns:
        Lengths of the runs (N,) int64, which add up to all pixels, and width and height.

    Raises:
        ValueError: With the reason, if it is no such thing.
    """
    size, counts = segmentation.get('size'), segmentation.get('counts')
    if not isinstance(size, list) or len(size) != 2 or not all(type(side) is int and side > 0 for side in size):
        raise ValueError(f'RLE size must be [height, width]; got {str(size)[:40]}')
    if isinstance(counts, str):
        counts = _unpack(counts)
    if not isinstance(counts, list) or not all(type(count) is int and 0 <= count < 1 << 40 for count in counts):
        raise ValueError('RLE counts must be text or a list of numbers from 0')
    lengths = np.array(counts, np.int64)
    if lengths.sum() != size[0] * size[1]:
        raise ValueError(f'RLE counts {lengths.sum()} pixels; its image has {size[0] * size[1]}')
    return lengths, (size[1], size[0])


def _unpack(text: str) -> list[int]:
    """Numbers of the compressed text: five bits a character from '0' on, a sixth says that more follow.

    From the fourth number on each is the difference to the one two before it (pycocotools, maskApi.c).
    """
    counts: list[int] = []
    value = shift = 0
    for character in text:
        bits = ord(character) - 48
        if not 0 <= bits < 64:
            raise ValueError(f'RLE counts hold {character!r}, which is none of their letters')
        value |= (bits & 0x1F) << shift
        shift += 5
        if shift > 60:
            raise ValueError('RLE counts hold a number of more than 60 bits')
        if bits & 0x20:
            continue
        if bits & 0x10:
            value -= 1 << shift
        counts.append(value + counts[-2] if len(counts) > 2 else value)
        value = shift = 0
    if shift:
        raise ValueError('RLE counts end in the middle of a number')
    return counts


def box_mask(segmentation: dict[str, Any]) -> tuple[np.ndarray, tuple[int, int]]:
    """Decode the box that holds the object.

    Args:
        segmentation: As for ``run_lengths``.

    Returns:
        Pixels (H, W) bool of the box, and its left and top; (0, 0) pixels where the mask is empty.

    Raises:
        ValueError: If the run lengths are wrong.
    """
    lengths, (_, height) = run_lengths(segmentation)
    edges = np.concatenate(([0], np.cumsum(lengths)))
    starts, ends = edges[1:-1:2], edges[2::2]
    starts, ends = starts[starts < ends], ends[starts < ends]
    if not len(starts):
        return np.zeros((0, 0), bool), (0, 0)
    (first, top), (last, bottom) = np.divmod(starts, height), np.divmod(ends - 1, height)
    left, columns = int(first[0]), int(last[-1] - first[0]) + 1
    # A run that goes on in the next column reaches from the last row to the first.
    low, high = (int(top.min()), int(bottom.max()) + 1) if (first == last).all() else (0, height)
    steps = np.zeros(columns * (high - low) + 1, np.int8)
    np.add.at(steps, (first - left) * (high - low) + top - low, 1)
    np.add.at(steps, (last - left) * (high - low) + bottom - low + 1, -1)
    mask = np.cumsum(steps[:-1], dtype=np.int8).view(bool).reshape(columns, high - low).T
    return mask, (left, low)


def to_parts(segmentation: dict[str, Any]) -> list[Part]:
    """Outline the pixels of a mask along their edges; the area is the number of pixels.

    Raises:
        ValueError: If the run lengths are wrong.
    """
    mask, (left, top) = box_mask(segmentation)
    if not mask.size:
        return []
    place = Affine.translation(left, top)
    found = rasterio.features.shapes(mask.view(np.uint8), mask=mask, connectivity=4, transform=place)
    return [[[list(point) for point in ring[:-1]] for ring in outline['coordinates']] for outline, _ in found]


def from_parts(parts: Sequence[Part], size_wh: tuple[int, int]) -> dict[str, Any]:
    """Encode the pixels whose centre lies inside an outline, holes left out.

    Outlines from ``to_parts`` give the same pixels again. What reaches past the image is cut off.

    Args:
        parts: Outer rings with holes, in pixels, of at least three points each; they may cross themselves and overlap.
        size_wh: Width and height of the image.

    Returns:
        ``size`` and compressed ``counts``; all zeros where no pixel's centre is inside.
    """
    polygons = [shapely.Polygon(np.array(part[0]), [np.array(hole) for hole in part[1:]]) for part in parts]
    polygons = [p if p.is_valid else shapely.make_valid(p, method='structure', keep_collapsed=False) for p in polygons]
    solid = [polygon for polygon in polygons if polygon.area > 0]
    if not solid:
        return _encode(np.zeros((0, 0), bool), (0, 0), size_wh)
    bounds = shapely.total_bounds(solid)
    left, top = (max(0, int(np.floor(low))) for low in bounds[:2])
    right, bottom = (min(side, int(np.ceil(high))) for side, high in zip(size_wh, bounds[2:], strict=True))
    if right <= left or bottom <= top:
        return _encode(np.zeros((0, 0), bool), (0, 0), size_wh)
    place = Affine.translation(left, top)
    mask = rasterio.features.rasterize(solid, (bottom - top, right - left), transform=place, dtype='uint8')
    return _encode(mask.astype(bool), (left, top), size_wh)


def _encode(mask: np.ndarray, left_top: tuple[int, int], size_wh: tuple[int, int]) -> dict[str, Any]:
    """Run lengths of a mask in its place in the image."""
    (left, top), (width, height) = left_top, size_wh
    columns = np.zeros((mask.shape[1], mask.shape[0] + 1), np.int8)
    columns[:, :-1] = mask.T
    column, row = np.divmod(np.flatnonzero(np.diff(columns.ravel(), prepend=0)), mask.shape[0] + 1)
    changes = (left + column) * height + top + row  # a run ends, the next one begins
    ends_here = (
        np.flatnonzero(changes[1:-1:2] == changes[2::2]) * 2 + 1
    )  # at the foot of a column, to go on in the next
    changes = np.delete(changes, np.concatenate((ends_here, ends_here + 1)))
    counts = np.diff(np.concatenate(([0], changes, [width * height]))).tolist()
    if not counts[-1]:  # the last pixel is inside
        counts.pop()
    packed = coco_mask.frPyObjects({'size': [height, width], 'counts': counts}, height, width)
    return {'size': [height, width], 'counts': packed['counts'].decode('ascii')}
