"""The tile planner: what each tile size and overlap would show of the whole objects of scenes.

Mask2Former predicts masks on a grid of 4 network pixels. Where the network sees a tile at ``scale`` network pixels per
tile pixel, a mask pixel is 4 / scale tile pixels wide: its pitch. Against a straight trunk w px wide, averaged over the
grid, a pitch of 4 px gives an IoU of 0.39 at w = 3, 0.74 at 4, 0.92 at 5, 0.94 at 6 (drawn trunks of 200 px at random
angles, bilinear, threshold 0.5). The planner asks for a pitch of at most 0.6 w.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import shapely

from data_prep.errors import DataError
from data_prep.grid import Window, tile_windows
from data_prep.stats.instances import length_and_width

MASK_STRIDE_PX, PITCH_BY_WIDTH = 4, 0.6
SLACK_PX = 1e-6  # coordinates that were reprojected end this far beside the whole number that was drawn


@dataclass(frozen=True)
class PlanScene:
    """A scene as the planner needs it."""

    size: Window  # in pixels of the tiles' resolution
    polygons: Sequence[shapely.Geometry]  # whole objects, in the same pixels


@dataclass(frozen=True)
class PlanRule:
    """What is tried, and what a setting must reach."""

    tile_sizes: tuple[int, ...] = (256, 384, 512, 768, 1024, 1536, 2048)
    overlaps: tuple[float, ...] = (0, 0.1, 0.2, 0.25, 0.33, 0.5)
    scales: tuple[float, ...] = (0.5, 1, 1.5, 2, 3, 4)  # network pixels per tile pixel
    num_queries: int = 100
    min_visible: float = 0.0
    whole_share: float = 0.95
    max_input: int = 1024  # network pixels a side


@dataclass(frozen=True)
class PlanRow:
    """One tile size with one overlap. Objects per tile are counted over the tiles that show any."""

    tile_size: int
    overlap: float
    tiles: int
    tiles_with_objects: int
    whole_share: float  # of the objects: seen whole in at least one tile
    mean_per_tile: float
    p95_per_tile: float
    max_per_tile: int


@dataclass(frozen=True)
class Scale:
    """One network scale."""

    scale: float
    pitch_px: float
    resolved_share: float  # of the objects: wide enough for the pitch


@dataclass(frozen=True)
class Plan:
    """All that was tried. Lengths in pixels of the tiles' resolution."""

    rows: list[PlanRow]
    scales: list[Scale]
    objects: int
    extent_px: dict[str, float]  # longer side of the upright box: median, p99, max
    width_px: dict[str, float]  # p10, median


def plan(
    scenes: Sequence[PlanScene], rule: PlanRule, progress: Callable[[Iterable], Iterable] = lambda rows: rows
) -> Plan:
    """Try all tile sizes and overlaps on whole scenes, with the windows that ``tile`` lays over train scenes.

    Args:
        scenes: With at least one object among them.
        rule: What is tried.
        progress: Wraps the settings that are gone through.

    Raises:
        DataError: If there is no object.
    """
    polygons = [polygon for scene in scenes for polygon in scene.polygons]
    if not polygons:
        raise DataError('the planner needs objects, and the scenes show none; check --labels and --classes')
    shown = [_Shown.of(scene) for scene in scenes]
    settings = [(tile, overlap) for tile in rule.tile_sizes for overlap in rule.overlaps]
    rows = [_row(shown, tile, overlap, rule.min_visible) for tile, overlap in progress(settings)]
    bounds = np.concatenate([item.bounds for item in shown])
    extents = np.maximum(bounds[:, 2] - bounds[:, 0], bounds[:, 3] - bounds[:, 1])
    widths = length_and_width(polygons)[:, 1]
    return Plan(
        rows,
        [_scale(scale, widths) for scale in rule.scales],
        len(polygons),
        {'median': _percentile(extents, 50), 'p99': _percentile(extents, 99), 'max': _percentile(extents, 100)},
        {'p10': _percentile(widths, 10), 'median': _percentile(widths, 50)},
    )


@dataclass(frozen=True)
class _Shown:
    """What a raster shows of its objects; object n is row n everywhere."""

    size: Window
    polygons: np.ndarray  # the part inside the raster
    bounds: np.ndarray  # (N, 4) of that part
    areas: np.ndarray  # of that part
    whole_areas: np.ndarray
    tree: shapely.STRtree

    @classmethod
    def of(cls, scene: PlanScene) -> _Shown:
        whole = np.array(scene.polygons, object)
        inside = shapely.intersection(whole, shapely.box(0, 0, scene.size.width, scene.size.height))
        bounds = shapely.bounds(inside).reshape(-1, 4)
        return cls(scene.size, inside, bounds, shapely.area(inside), shapely.area(whole), shapely.STRtree(inside))


def _row(scenes: Sequence[_Shown], tile: int, overlap: float, min_visible: float) -> PlanRow:
    counted = [_count(scene, tile_windows(scene.size, tile, overlap), min_visible) for scene in scenes]
    whole = np.concatenate([flags for flags, _ in counted])
    per_tile = np.concatenate([counts for _, counts in counted])
    busy = per_tile[per_tile > 0]
    return PlanRow(
        tile,
        overlap,
        len(per_tile),
        len(busy),
        float(whole.mean()),
        round(float(busy.mean()), 3) if len(busy) else 0.0,
        _percentile(busy, 95) if len(busy) else 0.0,
        int(per_tile.max(initial=0)),
    )


def _count(scene: _Shown, windows: Sequence[Window], min_visible: float) -> tuple[np.ndarray, np.ndarray]:
    """Which objects are whole in a window (N,) bool, and how many objects each window keeps (W,) int."""
    corners = np.array([(w.x, w.y, w.right, w.bottom) for w in windows], float)
    boxes = shapely.box(*corners.T)
    window, item = scene.tree.query(boxes)
    bounds, box = scene.bounds[item], corners[window]
    whole = (bounds[:, :2] >= box[:, :2] - SLACK_PX).all(axis=1) & (bounds[:, 2:] <= box[:, 2:] + SLACK_PX).all(axis=1)
    area = scene.areas[item]
    area[~whole] = shapely.area(shapely.intersection(scene.polygons[item[~whole]], boxes[window[~whole]]))
    kept = (area > 0) & (area / scene.whole_areas[item] >= min_visible - 1e-9)
    flags = np.zeros(len(scene.polygons), bool)
    flags[item[whole]] = True
    return flags, np.bincount(window[kept], minlength=len(windows))


def _scale(scale: float, widths: np.ndarray) -> Scale:
    pitch = MASK_STRIDE_PX / scale
    return Scale(scale, round(pitch, 3), float((pitch <= PITCH_BY_WIDTH * widths).mean()))


def _percentile(values: np.ndarray, share: float) -> float:
    return round(float(np.percentile(values, share)), 3)
