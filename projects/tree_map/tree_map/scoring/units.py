"""What intervals are drawn over: whole scenes, or blocks of ground where there are too few scenes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import geopandas as gpd
import numpy as np
import shapely
from numpy.typing import NDArray

from tree_map.scoring.matching import Overlaps, overlaps_of, pairs_of
from tree_map.scoring.scored_scene import ScoredScene

MIN_SCENES = 8  # from here on whole scenes are drawn
BLOCK_M = 100.0  # at most one hectare

Point = tuple[float, float]


@dataclass(frozen=True)
class Units:
    """Parts of the data that are taken as independent of each other.

    Attributes:
        count: Number of units, all with at least one tree where they are blocks.
        kind: 'scene' or 'block'.
        truth: By scene the unit of each labelled tree, (n,) int from 0.
        found: By scene the unit of each found tree, (n,) int from 0; of a paired one that of its partner.
    """

    count: int
    kind: str
    truth: list[NDArray[np.int64]]
    found: list[NDArray[np.int64]]


def units_of(
    scenes: Sequence[ScoredScene],
    block_m: float = BLOCK_M,
    min_scenes: int = MIN_SCENES,
    overlap: Callable[[ScoredScene], Overlaps] = overlaps_of,
) -> Units:
    """Share trees out to units.

    Args:
        scenes: What is scored.
        block_m: Longest side of a block, m. A scene is cut into as few equal blocks as that allows, so that none is a
            sliver; a tree belongs to the block that holds its centre of gravity. Blocks without a tree do not count.
        min_scenes: From so many scenes on each is a unit.
        overlap: Tells which trees of a scene overlap how much.
    """
    if len(scenes) >= min_scenes:
        truth = [np.full(len(scene.truth), number) for number, scene in enumerate(scenes)]
        found = [np.full(len(scene.found), number) for number, scene in enumerate(scenes)]
        return Units(len(scenes), 'scene', truth, found)
    blocks = [_blocks(number, scene, block_m, overlap(scene)) for number, scene in enumerate(scenes)]
    keys = np.concatenate([np.empty((0, 3)), *(key for pair in blocks for key in pair)])
    known, place = np.unique(keys, axis=0, return_inverse=True)
    parts = np.split(place.reshape(-1), np.cumsum([len(key) for pair in blocks for key in pair])[:-1])
    return Units(len(known), 'block', parts[0::2], parts[1::2])


def _blocks(number: int, scene: ScoredScene, block_m: float, overlaps: Overlaps) -> tuple[NDArray, NDArray]:
    """Scene, column and row of each labelled tree's block, and of each found one's."""
    x0, y0, x1, y1 = scene.ground.bounds
    count = np.maximum(np.ceil(np.round(np.array([x1 - x0, y1 - y0]) / block_m, 6)), 1)
    truth, found = (
        np.column_stack([np.full(len(frame), float(number)), _cells(frame, (x0, y0), (x1, y1), count)])
        for frame in (scene.truth, scene.found)
    )
    pairs = pairs_of(scene, -np.inf, overlaps=overlaps)
    found[pairs.found] = truth[pairs.truth]
    return truth, found


def _cells(frame: gpd.GeoDataFrame, low: Point, high: Point, count: NDArray[np.float64]) -> NDArray[np.float64]:
    """Column and row of the block of each tree."""
    middle = shapely.get_coordinates(shapely.centroid(frame.geometry.to_numpy())).reshape(-1, 2)
    cell = np.floor((middle - low) / np.subtract(high, low) * count)
    return np.clip(cell, 0, count - 1)
