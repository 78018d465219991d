"""The split of an older data set, read from its ``split_info.json`` to be repeated."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import shapely

from data_prep.errors import DataError
from data_prep.grid import Grid, Window
from data_prep.labels.strict_json import read_json
from data_prep.polygons import Area
from data_prep.tile.splits import SPLITS, Region

KINDS = ('scene', 'blocks', 'kfold')
EPS = 1e-4  # source pixels; more than the rounding of what ``Grid.to_source`` writes


@dataclass(frozen=True)
class KnownRegion:
    """One row of ``regions``."""

    scene: str
    split: str
    region_xywh: tuple[float, float, float, float]  # source pixels
    guard_px: int = 0


@dataclass(frozen=True)
class KnownSplit:
    """How an older data set was split."""

    split_by: str
    regions: tuple[KnownRegion, ...]
    folds: dict[str, int]  # by scene, for k-fold

    def of_scene(self, name: str) -> list[KnownRegion]:
        """Regions of one scene.

        Raises:
            DataError: If the older data set has no such scene.
        """
        if found := [row for row in self.regions if row.scene == name]:
            return found
        known = ', '.join(sorted({row.scene for row in self.regions}))
        raise DataError(f'scene {name} is not in the split to repeat (it knows {known}); leave it out, or split anew')


def read_known_split(path: Path) -> KnownSplit:
    """Read a ``split_info.json``.

    Raises:
        DataError: If it is none, or not consistent: a scene in two splits, regions that share pixels.
    """
    content = read_json(path)
    try:
        rows = tuple(_row(row) for row in content['regions'])
        folds = {str(name): int(fold) for name, fold in content.get('folds', {}).items()}
        known = KnownSplit(content['split_by'], rows, folds)
        if known.split_by not in KINDS or not rows or (known.split_by == 'kfold') != bool(folds):
            raise ValueError
    except (KeyError, TypeError, ValueError, AttributeError):
        raise DataError(f'{path} is not the split_info.json of a data set made here; name that file') from None
    _check(path, known)
    return known


def _row(row: dict[str, Any]) -> KnownRegion:
    xywh = tuple(float(value) for value in row['region_xywh'])
    if row['split'] not in SPLITS or len(xywh) != 4 or not all(map(math.isfinite, xywh)) or min(xywh[2:]) <= 0:
        raise ValueError
    return KnownRegion(str(row['scene']), row['split'], xywh, int(row.get('guard_px', 0)))


def _check(path: Path, known: KnownSplit) -> None:
    for one, two in combinations(known.regions, 2) if known.split_by != 'kfold' else ():
        if one.scene != two.scene:
            continue
        if known.split_by == 'scene':
            raise DataError(f'{path} gives scene {one.scene} to {one.split} and {two.split}; keep one')
        if shapely.intersection(_box(one.region_xywh), _box(two.region_xywh)).area > EPS:
            raise DataError(f'{path} has regions of scene {one.scene} ({one.split}, {two.split}) that share pixels; '
                            f'use the file as it was written')  # fmt: skip


def _box(xywh: Sequence[float]) -> shapely.Geometry:
    x, y, width, height = xywh
    return shapely.box(x, y, x + width, y + height)


def repeat_blocks(rows: Sequence[KnownRegion], grid: Grid, polygons: Sequence[Area]) -> list[Region]:
    """Place the blocks of a scene on a grid, which may have another scale than before.

    Args:
        rows: Of this scene.
        grid: Of the scene now.
        polygons: Its objects now, in pixels of the grid.

    Raises:
        DataError: If a block lies outside the scene, or an object is in two splits: labels or raster have changed.
    """
    regions = [Region(row.split, _inside(row, grid), row.guard_px) for row in rows]
    tree = shapely.STRtree(list(polygons))
    owner: dict[int, str] = {}
    for region in regions:
        box = _box(region.window)
        for index in sorted(tree.query(box).tolist()):
            if shapely.intersection(polygons[index], box).area <= EPS:
                continue
            if owner.setdefault(index, region.split) != region.split:
                raise DataError(f'scene {rows[0].scene}: an object around column {polygons[index].bounds[0]:.0f}, row '
                                f'{polygons[index].bounds[1]:.0f} lies in {owner[index]} and {region.split} of the '
                                f'split to repeat; the labels have changed, so split anew')  # fmt: skip
    return regions


def _inside(row: KnownRegion, grid: Grid) -> Window:
    """Whole pixels of the grid inside a region."""
    x, y, width, height = row.region_xywh
    if x < -EPS or y < -EPS or x + width > grid.source_wh[0] + EPS or y + height > grid.source_wh[1] + EPS:
        raise DataError(f'scene {row.scene} has {grid.source_wh[0]} x {grid.source_wh[1]} px, but the split to repeat '
                        f'has a region {list(row.region_xywh)}; it is another raster, so split anew')  # fmt: skip
    across, down = grid.step_xy
    left, top = math.ceil((x - EPS) / across), math.ceil((y - EPS) / down)
    right, bottom = math.floor((x + width + EPS) / across), math.floor((y + height + EPS) / down)
    if right <= left or bottom <= top:
        raise DataError(f'scene {row.scene}: nothing is left of {row.split} at scale {grid.scale:g}; take a larger one')
    return Window(left, top, right - left, bottom - top)
