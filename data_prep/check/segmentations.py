"""Outlines and masks of all annotations: what a reader could not use, and bounds and area of the rest."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from data_prep.check import outlines, runs
from data_prep.check.codes import Severity
from data_prep.check.columns import Columns
from data_prep.check.report import Findings
from data_prep.check.structure import shown

OUTSIDE_PX = 0.5  # an outline may reach this far past the image: half a pixel is a matter of convention


@dataclass
class Measured:
    """What the segmentations say.

    Attributes:
        polygon: (N,) bool, readable rings.
        rle: (N,) bool, readable run lengths.
        bounds: (N, 4) float64 corners in px; NaN where there is no readable segmentation.
        area: (N,) float64 in px^2, of polygons the sum of their rings; NaN like ``bounds``.
    """

    polygon: np.ndarray
    rle: np.ndarray
    bounds: np.ndarray
    area: np.ndarray


def measure_segmentations(columns: Columns, findings: Findings) -> Measured:
    """Read and measure the segmentations of all annotations.

    Args:
        columns: The annotations.
        findings: Gets segmentations that cannot be used.
    """
    values = [part.get('segmentation') for part in columns.content.annotations]
    count = len(values)
    measured = Measured(*np.zeros((2, count), bool), np.full((count, 4), np.nan), np.full(count, np.nan))
    missing = [row for row, value in enumerate(values) if value is None or value == []]
    lists = [row for row, value in enumerate(values) if isinstance(value, list) and value]
    objects = [row for row, value in enumerate(values) if isinstance(value, dict)]
    other = [row for row, value in enumerate(values) if not (value is None or isinstance(value, list | dict))]
    mixed = Severity.ERROR if len(missing) < count else None  # a file without any outline holds boxes, on purpose
    findings.rows('segmentation-missing', columns.content.file, missing,
                  lambda row: (columns.place(row), 'no segmentation'), severity=mixed)  # fmt: skip
    findings.rows('segmentation-invalid', columns.content.file, other, _value(columns, values))
    _polygons(columns, values, lists, measured, findings)
    _masks(columns, values, objects, measured, findings)
    return measured


def _value(columns: Columns, values: list[Any]) -> Callable[[int], tuple[str, str]]:
    return lambda row: (columns.place(row), f'segmentation {shown(values[row])}')


def _polygons(columns: Columns, values: list[Any], rows: list[int], measured: Measured, findings: Findings) -> None:
    problems: dict[str, list[int]] = {}
    usable = []
    for row in rows:
        found = {code for ring in values[row] if (code := outlines.ring_problem(ring))}
        for code in found:
            problems.setdefault(code, []).append(row)
        if not found:
            usable.append(row)
    for code, bad in problems.items():
        findings.rows(code, columns.content.file, bad, _value(columns, values))
    rings = outlines.join_rings([values[row] for row in usable])
    index = np.array(usable, np.int64)
    finite = np.ones(len(index), bool)
    point_owner = np.repeat(rings.owner, np.diff(rings.starts))
    finite[point_owner[~np.isfinite(rings.xy).all(axis=1)]] = False
    findings.rows('polygon-not-finite', columns.content.file, index[~finite], _value(columns, values))
    with np.errstate(invalid='ignore', over='ignore'):
        bounds, area = outlines.per_object(rings, len(index))
        flat = np.unique(rings.owner[outlines.ring_areas(rings) == 0])
    good = finite & (area > 0)
    _store(measured, measured.polygon, index[good], bounds[good], area[good])
    flat = flat[good[flat]]
    findings.rows('polygon-ring-flat', columns.content.file, index[flat],
                  lambda row: (columns.place(row), 'a ring encloses nothing'))  # fmt: skip
    empty = index[finite & (area == 0)]
    findings.rows('mask-empty', columns.content.file, empty, lambda row: (columns.place(row), 'no area'))
    _outside(columns, measured, findings)


def _outside(columns: Columns, measured: Measured, findings: Findings) -> None:
    """Tell polygons that leave their image, and those that never enter it."""
    low, high = measured.bounds[:, :2], measured.bounds[:, 2:]
    wholly = measured.polygon & ((high <= 0) | (low >= columns.size_wh)).any(axis=1)
    partly = measured.polygon & ~wholly & ((low < -OUTSIDE_PX) | (high > columns.size_wh + OUTSIDE_PX)).any(axis=1)

    def describe(row: int) -> tuple[str, str]:
        corners = ', '.join(f'{value:g}' for value in measured.bounds[row])
        width, height = columns.size_wh[row]
        return columns.place(row), f'reaches from x0, y0, x1, y1 = {corners}; the image has {width:g} x {height:g} px'

    findings.rows('object-outside', columns.content.file, columns.rows(wholly), describe)
    findings.rows('polygon-outside', columns.content.file, columns.rows(partly), describe)


def _store(measured: Measured, kind: np.ndarray, rows: np.ndarray, bounds: np.ndarray, area: np.ndarray) -> None:
    kind[rows] = True
    measured.bounds[rows], measured.area[rows] = bounds, area


def _masks(columns: Columns, values: list[Any], rows: list[int], measured: Measured, findings: Findings) -> None:
    file = columns.content.file
    sized = [row for row in rows if _size(values[row]) is not None]
    unsized = [row for row in rows if _size(values[row]) is None]
    findings.rows('rle-size', file, unsized, lambda row: (columns.place(row), f'size {shown(values[row].get("size"))}'))
    for kind, read in ((str, runs.packed_runs), (list, runs.plain_runs)):
        chosen = [row for row in sized if type(values[row].get('counts')) is kind]
        if chosen:
            parsed = read([values[row]['counts'] for row in chosen])
            _one_kind(columns, values, np.array(chosen), parsed, measured, findings)
    neither = [row for row in sized if type(values[row].get('counts')) not in (str, list)]
    findings.rows('rle-counts', file, neither,
                  lambda row: (columns.place(row), f'counts {shown(values[row].get("counts"))}'))  # fmt: skip


def _size(value: dict[str, Any]) -> tuple[int, int] | None:
    """Height and width of an RLE object."""
    size = value.get('size')
    good = type(size) is list and len(size) == 2 and all(type(n) is int and 1 <= n < 1 << 24 for n in size)
    return tuple(size) if good else None


def _one_kind(
    columns: Columns, values: list[Any], rows: np.ndarray, parsed: runs.Runs, measured: Measured, findings: Findings
) -> None:
    size_hw = np.array([_size(values[row]) for row in rows], np.int64)
    expected, covered = size_hw.prod(axis=1), runs.sums(parsed)
    bad = parsed.broken | (covered != expected)
    told = dict(zip(rows.tolist(), zip(parsed.broken, covered, expected, strict=True), strict=True))

    def describe(row: int) -> tuple[str, str]:
        broken, sum_of_counts, pixels = told[row]
        text = 'counts cannot be read' if broken else f'counts add up to {sum_of_counts}; size says {pixels} pixels'
        return columns.place(row), text

    findings.rows('rle-counts', columns.content.file, rows[bad], describe)
    known = np.isfinite(columns.size_wh[rows]).all(axis=1)
    other = known & (size_hw[:, ::-1] != columns.size_wh[rows]).any(axis=1)
    findings.rows('rle-size', columns.content.file, rows[other], lambda row: (
        columns.place(row), f'size {values[row]["size"]}; the image has height {columns.size_wh[row][1]:g}, '
                            f'width {columns.size_wh[row][0]:g}'))  # fmt: skip
    area, bounds = runs.measure(parsed, size_hw[:, 0])
    empty = ~bad & (area == 0)
    findings.rows('mask-empty', columns.content.file, rows[empty], lambda row: (columns.place(row), 'no pixel'))
    good = ~bad & ~other & ~empty
    _store(measured, measured.rle, rows[good], bounds[good], area[good])
