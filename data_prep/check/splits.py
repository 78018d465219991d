"""What two splits share: whole objects, pixels of a source raster, copies of a file.

A tile made by ``tile`` says which part of which source fills it (``source_sha256`` and ``read_xywh``), so two tiles
share a pixel exactly where these rectangles overlap. Images without that are compared by their bytes.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np
import shapely

from data_prep.check.columns import numbers
from data_prep.check.report import Findings, SplitProof
from data_prep.check.structure import Content, Record, shown
from data_prep.errors import DataError
from data_prep.grid import Window
from data_prep.imagery.rasters import sha256

Progress = Callable[[], object]

ROUNDING_PX = 1e-3  # windows of resampled tiles are rounded


@dataclass
class Split:
    """One COCO file of a data set, with the image files that exist, by row of the image."""

    name: str
    content: Content
    files: dict[int, Path]


def check_splits(splits: Sequence[Split], findings: Findings, on_hash: Progress = lambda: None) -> SplitProof:
    """Find what is in two splits.

    Args:
        splits: At least two.
        findings: Gets everything that is shared.
        on_hash: Called after each file that was read whole.

    Returns:
        What was compared.
    """
    _categories(splits, findings)
    objects = _objects(splits, findings)
    placed = [{row for row, image in enumerate(split.content.images) if region(image)} for split in splits]
    _pixels(splits, findings)
    _copies(splits, placed, findings, on_hash)
    loose = [set(range(len(split.content.images))) - rows for split, rows in zip(splits, placed, strict=True)]
    by_bytes = sum(len(rows & split.files.keys()) for split, rows in zip(splits, loose, strict=True))
    return SplitProof(
        splits=tuple(split.name for split in splits),
        object_ids=objects,
        regions=sum(map(len, placed)),
        by_bytes=by_bytes,
        unproved=sum(map(len, loose)) - by_bytes,
    )


def comparable(one: Split, two: Split) -> bool:
    """Whether two splits must not share anything: each fold of a cross-validation is a division of its own."""
    folds = {split.name.rpartition('/')[0] for split in (one, two)} - {''}
    return len(folds) < 2


def _categories(splits: Sequence[Split], findings: Findings) -> None:
    first = {entry['id']: entry['name'] for entry in splits[0].content.categories}
    for split in splits[1:]:
        names = {entry['id']: entry['name'] for entry in split.content.categories}
        if names != first:
            key = next(key for key in [*first, *names] if first.get(key) != names.get(key))
            problem = f'is {names.get(key)!r} here and {first.get(key)!r} in {splits[0].name}'
            findings.add('split-categories', split.content.file, f'category {shown(key)}', problem)


def _objects(splits: Sequence[Split], findings: Findings) -> int:
    """Compare ``object_id``; returns how many different ones there are."""
    rows = []
    for split in splits:
        ids = [part.get('object_id') for part in split.content.annotations]
        rows.append({key: row for row, key in enumerate(ids) if isinstance(key, str | int)})
    for one, two in combinations(range(len(splits)), 2):
        if not comparable(splits[one], splits[two]):
            continue
        shared = [key for key in rows[two] if key in rows[one]]
        parts = splits[two].content.annotations
        findings.rows('split-object', splits[two].content.file, range(len(shared)), lambda number, one=one, two=two,
                      shared=shared, parts=parts: (f'annotation {shown(parts[rows[two][shared[number]]]["id"])}',
                      f'object_id {shown(shared[number])} is also in {splits[one].name}'))  # fmt: skip
    return len(set().union(*rows))


def region(image: Record) -> tuple[str, Window] | None:
    """Source and filled part of a tile in source pixels; None where the entry does not say."""
    source = image.get('source_sha256')
    values = image.get('read_xywh', image.get('window_xywh'))
    if not isinstance(source, str) or not np.isfinite(numbers(values, 4) or np.nan).all():
        return None
    return source, Window(*values)


def _regions(splits: Sequence[Split]) -> dict[str, dict[int, tuple[list[int], np.ndarray]]]:
    """By source and split: rows of images and their rectangles (N, 4) ``x0 y0 x1 y1``."""
    found: dict[str, dict[int, list[tuple[int, Window]]]] = defaultdict(lambda: defaultdict(list))
    for number, split in enumerate(splits):
        for row, image in enumerate(split.content.images):
            if (placed := region(image)) is not None:
                found[placed[0]][number].append((row, placed[1]))
    return {
        source: {
            number: (
                [row for row, _ in items],
                np.array([(w.x, w.y, w.right, w.bottom) for _, w in items], np.float64),
            )
            for number, items in by_split.items()
        }
        for source, by_split in found.items()
    }


def overlaps(first: np.ndarray, second: np.ndarray) -> Iterator[tuple[int, int, float, float]]:
    """Pairs of rectangles ``x0 y0 x1 y1`` that share an area, one from each array (N, 4) and (M, 4).

    Yields:
        Row in ``first``, row in ``second``, shared width, shared height.
    """
    two, one = shapely.STRtree(shapely.box(*first.T)).query(shapely.box(*second.T))
    low, high = np.maximum(first[one, :2], second[two, :2]), np.minimum(first[one, 2:], second[two, 2:])
    shared = high - low
    for index in np.flatnonzero((shared > ROUNDING_PX).all(axis=1)):
        yield int(one[index]), int(two[index]), *shared[index].tolist()


def _pixels(splits: Sequence[Split], findings: Findings) -> None:
    for by_split in _regions(splits).values():
        for one, two in combinations(sorted(by_split), 2):
            if not comparable(splits[one], splits[two]):
                continue
            (rows_one, first), (rows_two, second) = by_split[one], by_split[two]
            pairs = list(overlaps(first, second))

            def describe(
                number: int, pairs: list = pairs, one: int = one, two: int = two, rows: tuple = (rows_one, rows_two)
            ) -> tuple[str, str]:
                row_one, row_two, width, height = pairs[number]
                other = shown(splits[one].content.images[rows[0][row_one]]['file_name'])
                text = f'shares {width:g} x {height:g} source px with {other} in {splits[one].name}'
                return splits[two].content.image_place(rows[1][row_two]), text

            findings.rows('split-pixels', splits[two].content.file, range(len(pairs)), describe)


def _copies(splits: Sequence[Split], placed: Sequence[set[int]], findings: Findings, on_hash: Progress) -> None:
    """Find files with the same bytes in two splits; only files of the same length are read."""
    by_length: dict[int, list[tuple[int, int]]] = defaultdict(list)
    for number, split in enumerate(splits):
        for row, path in split.files.items():
            by_length[os.path.getsize(path)].append((number, row))
    for items in by_length.values():
        if len({number for number, _ in items}) < 2 or all(row in placed[number] for number, row in items):
            continue
        seen: dict[str, list[tuple[int, int]]] = defaultdict(list)
        for number, row in items:
            on_hash()
            try:
                alike = seen[sha256(splits[number].files[row])]
            except DataError:
                continue  # told as file-unreadable
            _tell_copy(splits, placed, alike, (number, row), findings)
            alike.append((number, row))


def _tell_copy(
    splits: Sequence[Split],
    placed: Sequence[set[int]],
    alike: Sequence[tuple[int, int]],
    item: tuple[int, int],
    findings: Findings,
) -> None:
    """Tell an image whose bytes came before in another split, unless both say where in a source they lie."""
    number, row = item
    for other, before in alike:
        both_placed = before in placed[other] and row in placed[number]
        if other != number and comparable(splits[other], splits[number]) and not both_placed:
            content, name = splits[number].content, shown(splits[other].content.images[before]['file_name'])
            problem = f'has the bytes of {name} in {splits[other].name}'
            findings.add('split-file', content.file, content.image_place(row), problem)
            return
