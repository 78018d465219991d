"""Numbers of all annotations as arrays, so that a hundred thousand are checked at once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from data_prep.check.report import Findings
from data_prep.check.structure import Content, image_size, shown

NUMBERS = {int, float}


@dataclass
class Columns:
    """Annotations of one file, in order; N of them.

    Attributes:
        content: The entries.
        image_row: (N,) int64, row of the image in ``content.images``, -1 where none has the id.
        size_wh: (N, 2) float64 of that image in px; NaN where unknown.
        bbox_xyxy: (N, 4) float64 corners in px; NaN where the box is not usable.
        area: (N,) float64 in px^2; NaN where it is not usable.
        crowd: (N,) bool.
    """

    content: Content
    image_row: np.ndarray
    size_wh: np.ndarray
    bbox_xyxy: np.ndarray
    area: np.ndarray
    crowd: np.ndarray

    def place(self, row: int) -> str:
        """Name of an annotation for messages."""
        part, image = self.content.annotations[row], self.image_row[row]
        where = '' if image < 0 else f' in {shown(self.content.images[image]["file_name"])}'
        return f'annotation {shown(part["id"])}{where}'

    def rows(self, where: np.ndarray) -> np.ndarray:
        """Numbers of the annotations that a mask (N,) selects."""
        return np.flatnonzero(where)


def numbers(values: Any, count: int) -> list[float] | None:
    """Exactly ``count`` numbers as floats, None for anything else."""
    if type(values) is not list or len(values) != count or not set(map(type, values)) <= NUMBERS:
        return None
    try:
        return [float(value) for value in values]
    except OverflowError:  # an integer of 400 digits
        return [float('inf')] * count


def read_columns(content: Content, findings: Findings) -> Columns:
    """Take boxes, areas and crowd flags from the annotations and check each by itself.

    Args:
        content: The entries.
        findings: Gets boxes, areas and flags that are not what COCO says.
    """
    parts, file = content.annotations, content.file
    rows = {image['id']: row for row, image in enumerate(content.images)}
    image_row = np.array([rows.get(part['image_id'], -1) for part in parts], np.int64)
    sizes = np.array([image_size(image) or (np.nan, np.nan) for image in content.images] + [(np.nan, np.nan)])
    boxes = np.array([numbers(part.get('bbox'), 4) or [np.nan] * 4 for part in parts]).reshape(-1, 4)
    area = np.array([(numbers([part.get('area')], 1) or [np.nan])[0] for part in parts], np.float64)
    columns = Columns(
        content,
        image_row,
        size_wh=sizes[image_row],
        bbox_xyxy=np.hstack([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]]),
        area=area,
        crowd=np.array([part.get('iscrowd') in (1, True) for part in parts], bool),
    )

    def tell(key: str) -> Callable[[int], tuple[str, str]]:
        return lambda row: (columns.place(row), f'{key} {shown(parts[row][key])}' if key in parts[row] else f'no {key}')

    bad_box = ~(np.isfinite(boxes).all(axis=1) & (boxes[:, 2:] > 0).all(axis=1))
    bad_area = ~(np.isfinite(area) & (area > 0))
    bad_flag = [row for row, part in enumerate(parts) if part.get('iscrowd') not in (0, 1)]
    findings.rows('bbox-invalid', file, columns.rows(bad_box), tell('bbox'))
    findings.rows('area-invalid', file, columns.rows(bad_area), tell('area'))
    findings.rows('iscrowd-invalid', file, bad_flag, tell('iscrowd'))
    columns.bbox_xyxy[bad_box], columns.area[bad_area] = np.nan, np.nan
    return columns
