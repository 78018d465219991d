"""Outlines of a file, drawn by pycocotools in the box of each object and nowhere else."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as pycoco

from fallen_trees.loading.pixel_frame import PixelFrame, Window

FIFTHS = 5  # of a pixel: the grid on which pycocotools walks along an outline
Outline = list[NDArray] | dict  # rings of x, y, x, y, ... in px of the file; or COCO's RLE, compressed or not
Piece = tuple[int, int, dict]  # x0, y0 and the RLE of a box, in px of the upright frame


class Covered(NamedTuple):
    """An object under others: what is seen of it is its outline without theirs."""

    outline: Outline
    by: tuple[Outline, ...]


def draw(outlines: Sequence[Outline | Covered], frame: PixelFrame) -> list[Piece]:
    """Draw outlines of a file.

    Args:
        outlines: In px of the file.
        frame: Upright.
    """
    covers = {id(top): top for item in outlines if isinstance(item, Covered) for top in item.by}
    bases = [item.outline if isinstance(item, Covered) else item for item in outlines]
    pieces = _draw(bases + list(covers.values()), frame)
    above = dict(zip(covers, pieces[len(bases) :], strict=True))
    return [
        without(piece, [above[id(top)] for top in item.by]) if isinstance(item, Covered) else piece
        for item, piece in zip(outlines, pieces[: len(bases)], strict=True)
    ]


def without(piece: Piece, others: Sequence[Piece]) -> Piece:
    """Take the pixels of others out of a piece; its box stays."""
    x0, y0, left = *piece[:2], pycoco.decode(piece[2])
    for other_x, other_y, top in others:
        dx, dy, mask = other_x - x0, other_y - y0, pycoco.decode(top)
        part = left[max(dy, 0) : max(dy + mask.shape[0], 0), max(dx, 0) : max(dx + mask.shape[1], 0)]
        part[mask[max(-dy, 0) :, max(-dx, 0) :][: part.shape[0], : part.shape[1]] > 0] = 0
    return x0, y0, pycoco.encode(np.asfortranarray(left))


def _draw(outlines: Sequence[Outline], frame: PixelFrame) -> list[Piece]:
    x0, y0, x1, y1 = frame.seen_pixels
    if x0 >= x1 or y0 >= y1:  # a window beside the image
        return [(0, 0, pycoco.encode(np.zeros((1, 1), np.uint8, 'F')))] * len(outlines)
    polygons = iter(draw_polygons([outline for outline in outlines if not isinstance(outline, dict)], frame))
    return [resampled(outline, frame) if isinstance(outline, dict) else next(polygons) for outline in outlines]


def draw_polygons(objects: Sequence[list[NDArray]], frame: PixelFrame) -> list[Piece]:
    """Draw objects of one or more rings (2 n,); all arithmetic is done for all corners at once."""
    if not objects:
        return []
    rings = [ring for rings in objects for ring in rings]
    whole = np.floor(frame.offset)  # added after rounding, so that moving by whole pixels changes no pixel
    corners = np.concatenate(rings).reshape(-1, 2) * frame.factor + (frame.offset - whole)
    corners = np.floor(FIFTHS * corners + 0.5) + FIFTHS * whole
    of_rings = np.cumsum([0, *(len(ring) // 2 for ring in rings)])  # first corner of each ring
    first_rings = np.cumsum([0, *map(len, objects)])  # of each object
    heads = of_rings[first_rings]
    low, high = (ufunc.reduceat(corners, heads[:-1]) / FIFTHS for ufunc in (np.minimum, np.maximum))
    boxes = common(np.concatenate([np.floor(low), np.ceil(high)], axis=1), frame.seen_pixels)
    moved = corners - np.repeat(FIFTHS * boxes[:, :2], np.diff(heads), axis=0)
    # Corners are on the grid of fifths already; 0.75 keeps pycocotools from rounding negative ones up.
    moved = ((moved - 0.75 * (moved < 0)) / FIFTHS).ravel()
    pieces = []
    for (x0, y0, x1, y1), begin, end in zip(boxes.tolist(), first_rings[:-1], first_rings[1:], strict=True):
        parts = [moved[2 * of_rings[n] : 2 * of_rings[n + 1]] for n in range(begin, end)]
        rles = pycoco.frPyObjects(parts, y1 - y0, x1 - x0)
        pieces.append((x0, y0, pycoco.merge(rles) if len(rles) > 1 else rles[0]))
    return pieces


def resampled(rle: dict, frame: PixelFrame) -> Piece:
    """Read an RLE of the whole file at the centres of the output's pixels."""
    rle = pycoco.frPyObjects(rle, *rle['size']) if isinstance(rle['counts'], list) else rle
    box = np.reshape(pycoco.toBbox(rle), (2, 2)).cumsum(axis=0) * frame.factor + frame.offset
    x0, y0, x1, y1 = common(np.array([[*np.floor(box[0]), *np.ceil(box[1])]]), frame.seen_pixels)[0].tolist()
    columns, rows = (
        np.floor((np.arange(low, high) + 0.5 - shift) / scale).astype(int).clip(0, size - 1)
        for low, high, shift, scale, size in zip(
            (x0, y0), (x1, y1), frame.offset, frame.factor, rle['size'][::-1], strict=True
        )
    )
    return x0, y0, pycoco.encode(np.asfortranarray(pycoco.decode(rle)[rows[:, None], columns]))


def common(boxes_xyxy: NDArray, window: Window) -> NDArray[np.int64]:
    """The part of boxes (N, 4) in a window; at least one pixel of it, be it empty, as there is no RLE of none."""
    low, high = np.array(window[:2]), np.array(window[2:])
    starts = boxes_xyxy[:, :2].clip(low, high - 1)
    return np.concatenate([starts, np.maximum(boxes_xyxy[:, 2:].clip(low, high), starts + 1)], axis=1).astype(int)
