"""Boxes, areas and crowd flags against the segmentations and the image."""

from __future__ import annotations

from typing import Any

import numpy as np
from pycocotools import mask as rle

from data_prep.check.columns import Columns
from data_prep.check.report import Findings
from data_prep.check.segmentations import Measured

LOOSE_PX = 1.0  # rounding to whole pixels moves a side by less
LOOSE_RLE_PX = 3.0  # boxes of outlines whose thinnest ends no pixel shows
WRONG_IOU = 0.5  # of the box with the box of the segmentation
AREA_SHARE = 0.05
MAX_RASTER_SIDE = 1 << 15  # drawing an outline takes memory for each pixel of its length


def check_boxes(columns: Columns, measured: Measured, findings: Findings) -> None:
    """Compare boxes with the segmentations where there are any, else with the image."""
    box, bounds, file = columns.bbox_xyxy, measured.bounds, columns.content.file
    as_corners = np.hstack([box[:, :2], box[:, 2:] - box[:, :2]])  # what the four numbers mean as x0 y0 x1 y1
    slack = np.where(measured.rle, LOOSE_RLE_PX, LOOSE_PX)
    off = np.abs(box - bounds).max(axis=1)  # NaN where either is unknown: every comparison below is then False
    corners = (off > slack) & (np.abs(as_corners - bounds).max(axis=1) <= slack)
    wrong = (off > slack) & ~corners & (iou(box, bounds) < WRONG_IOU)
    loose = (off > slack) & ~corners & ~wrong
    alone = ~(measured.polygon | measured.rle)
    outside = _leaves(box, columns.size_wh) & (alone | ~_leaves(bounds, columns.size_wh)) & ~(corners | wrong | loose)
    ordered = (as_corners[:, 2:] > as_corners[:, :2]).all(axis=1)
    guessed = outside & alone & ordered & ~_leaves(as_corners, columns.size_wh)

    def against_outline(row: int) -> tuple[str, str]:
        return columns.place(row), f'bbox {_bbox(columns, row)}; the segmentation has {_xywh(bounds[row])}'

    def against_image(row: int) -> tuple[str, str]:
        width, height = columns.size_wh[row]
        return columns.place(row), f'bbox {_bbox(columns, row)} leaves the image of {width:g} x {height:g} px'

    findings.rows('bbox-xyxy', file, columns.rows(corners), against_outline)
    findings.rows('bbox-xyxy', file, columns.rows(guessed), against_image)
    findings.rows('bbox-disagrees', file, columns.rows(wrong), against_outline)
    findings.rows('bbox-loose', file, columns.rows(loose), against_outline)
    findings.rows('bbox-outside', file, columns.rows(outside & ~guessed), against_image)


def iou(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Intersection over union of boxes (N, 4) ``x0 y0 x1 y1`` row by row; NaN where a number is."""
    low, high = np.maximum(first[:, :2], second[:, :2]), np.minimum(first[:, 2:], second[:, 2:])
    inter = np.clip(high - low, 0, None).prod(axis=1)
    union = (first[:, 2:] - first[:, :2]).prod(axis=1) + (second[:, 2:] - second[:, :2]).prod(axis=1) - inter
    with np.errstate(invalid='ignore', divide='ignore'):
        return inter / union


def _leaves(box: np.ndarray, size_wh: np.ndarray) -> np.ndarray:
    return ((box[:, :2] < -LOOSE_PX) | (box[:, 2:] > size_wh + LOOSE_PX)).any(axis=1)


def _bbox(columns: Columns, row: int) -> Any:
    return _xywh(columns.bbox_xyxy[row])


def _xywh(corners: np.ndarray) -> str:
    x0, y0, x1, y1 = corners.tolist()
    return '[' + ', '.join(f'{round(value, 2):g}' for value in (x0, y0, x1 - x0, y1 - y0)) + ']'


def check_areas(columns: Columns, measured: Measured, findings: Findings) -> None:
    """Compare ``area`` with the segmentation.

    The difference may be 5 % and what half a pixel around the object makes, because some tools count pixels and others
    measure the outline. Polygons that disagree are counted in pixels before they are told: rings may overlap.
    """
    sides = measured.bounds[:, 2:] - measured.bounds[:, :2]
    slack = AREA_SHARE * measured.area + sides.sum(axis=1) / 2
    rows = columns.rows(np.abs(columns.area - measured.area) > slack)
    off = []
    for row in rows:
        if measured.polygon[row] and abs(columns.area[row] - _pixels(columns, measured, row)) <= slack[row]:
            continue
        off.append(row)

    def describe(row: int) -> tuple[str, str]:
        box = columns.bbox_xyxy[row]
        of_box = (box[2] - box[0]) * (box[3] - box[1])
        hint = ' (it is that of the box)' if abs(columns.area[row] - of_box) <= 1e-3 * of_box else ''
        return columns.place(row), f'area {columns.area[row]:g}{hint}; the segmentation has {measured.area[row]:g}'

    findings.rows('area-disagrees', columns.content.file, off, describe)


def _pixels(columns: Columns, measured: Measured, row: int) -> float:
    """Pixels of a polygon's mask; NaN where its bounds are too large to draw."""
    x0, y0, x1, y1 = measured.bounds[row]
    if max(x1 - x0, y1 - y0) > MAX_RASTER_SIDE:
        return np.nan
    shift = np.array([np.floor(x0), np.floor(y0)])
    rings = columns.content.annotations[row]['segmentation']
    moved = [(np.reshape(ring, (-1, 2)) - shift).ravel().tolist() for ring in rings]
    height, width = int(y1 - shift[1]) + 2, int(x1 - shift[0]) + 2
    return float(rle.area(rle.merge(rle.frPyObjects(moved, height, width))))


def check_crowds(columns: Columns, measured: Measured, findings: Findings) -> None:
    """Tell crowds drawn as polygons: readers take ``iscrowd`` 1 for run lengths."""
    findings.rows('iscrowd-polygon', columns.content.file, columns.rows(columns.crowd & measured.polygon),
                  lambda row: (columns.place(row), 'iscrowd 1 with a polygon'))  # fmt: skip
