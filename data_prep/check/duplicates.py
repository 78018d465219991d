"""The same object twice: same image, same class, masks (or boxes, where there is no mask) that cover each other."""

from __future__ import annotations

from typing import Any

import numpy as np
import shapely
from pycocotools import mask as rle

from data_prep.check.columns import Columns
from data_prep.check.geometry import MAX_RASTER_SIDE, iou
from data_prep.check.report import Findings
from data_prep.check.segmentations import Measured

SAME_IOU = 0.98
BOX_IOU = 0.9  # masks can agree better than their boxes, but not by so much
MAX_PIXELS = 1 << 29  # pycocotools has room for six characters of a run, and more are written past it
NEAR = 0.1  # share of its side by which the centre of such a box can move


def check_duplicates(columns: Columns, measured: Measured, findings: Findings) -> None:
    """Tell objects that are in the file twice; crowds are left out.

    Args:
        columns: The annotations.
        measured: Their segmentations.
        findings: Gets the later one of each two.
    """
    pairs = _near(columns)
    parts = columns.content.annotations
    first = {}
    for before, row in pairs.tolist():
        if row not in first and _same(columns, measured, before, row):
            first[row] = before
    findings.rows('object-duplicate', columns.content.file, sorted(first),
                  lambda row: (columns.place(row), f'covers annotation {parts[first[row]]["id"]!r}'))  # fmt: skip


def _near(columns: Columns) -> np.ndarray:
    """Pairs (P, 2) of annotations, earlier one first, whose boxes cover each other; near in linear time."""
    parts, box = columns.content.annotations, columns.bbox_xyxy
    rows = columns.rows(np.isfinite(box).all(axis=1) & (columns.image_row >= 0) & ~columns.crowd)
    names: dict[Any, int] = {}
    kind = np.array([names.setdefault(parts[row]['category_id'], len(names)) for row in rows], np.int64)
    box, image = box[rows], columns.image_row[rows]
    centre, side = (box[:, :2] + box[:, 2:]) / 2, box[:, 2:] - box[:, :2]
    group = image * max(len(names), 1) + kind
    found = [np.zeros((0, 2), np.int64)]
    order = np.argsort(group, kind='stable')
    for members in np.split(order, np.flatnonzero(np.diff(group[order])) + 1):
        if len(members) > 1:
            found.append(members[_close(centre[members], side[members])])
    pairs = np.concatenate(found)
    pairs = pairs[iou(box[pairs[:, 0]], box[pairs[:, 1]]) > BOX_IOU]
    return rows[np.sort(pairs, axis=1)]


def _close(centre: np.ndarray, side: np.ndarray) -> np.ndarray:
    """Pairs (P, 2) of boxes of one image and class whose centres are near for their size."""
    if len(centre) <= 64:  # all pairs at once are faster than an index here
        near = (np.abs(centre[:, None] - centre) <= NEAR * side).all(axis=2)
        one, two = np.nonzero(near & ~np.eye(len(centre), dtype=bool))
    else:
        one, two = _indexed(np.hstack([centre, side]))
    pairs = np.sort(np.stack([one, two], axis=1)[one != two], axis=1)
    return np.unique(pairs, axis=0) if len(pairs) else pairs


def _indexed(place: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The same by an index; of equal boxes, each pairs with the first and the one before, not with all."""
    unique, first, back = np.unique(place, axis=0, return_index=True, return_inverse=True)
    centre, reach = unique[:, :2], NEAR * unique[:, 2:]
    boxes = shapely.box(*(centre - reach).T, *(centre + reach).T)
    one, two = shapely.STRtree(shapely.points(centre)).query(boxes)
    order = np.argsort(back, kind='stable')
    equal = np.flatnonzero(np.diff(back[order]) == 0)
    everyone = np.arange(len(place))
    return (
        np.concatenate([first[one], order[equal], first[back.ravel()]]),
        np.concatenate([first[two], order[equal + 1], everyone]),
    )


def _same(columns: Columns, measured: Measured, first: int, second: int) -> bool:
    masks = [columns.content.annotations[row].get('segmentation') for row in (first, second)]
    if masks[0] == masks[1]:
        return True
    if not all(measured.polygon[row] or measured.rle[row] for row in (first, second)):
        return bool(iou(columns.bbox_xyxy[[first]], columns.bbox_xyxy[[second]])[0] > SAME_IOU)
    width, height = columns.size_wh[first]
    if not width * height < MAX_PIXELS or np.abs(measured.bounds[[first, second]]).max() > MAX_RASTER_SIDE:
        return False
    one, two = (_encoded(mask, int(height), int(width)) for mask in masks)
    return bool(rle.iou([one], [two], [0])[0, 0] > SAME_IOU)


def _encoded(mask: Any, height: int, width: int) -> Any:
    if isinstance(mask, list):
        return rle.merge(rle.frPyObjects(mask, height, width))
    return mask if isinstance(mask['counts'], str) else rle.frPyObjects(mask, height, width)
