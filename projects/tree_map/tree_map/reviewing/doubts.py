"""Which trees to look at first: what is doubtful about each tree of a map, as a table."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import shapely

from data_prep.atomic import atomic_write
from tree_map.scene_map import SceneMap
from tree_map.writing.rings import in_pixels

LOW_SCORE = 0.5
LONG_TIMES = 2.0  # the length that nine of ten trees of the scene stay below
LONG_M = 50.0  # longer than nearly all trees of Europe
STUBBY = 3.0  # length by width below which an outline is no trunk
SHARED = 0.02  # of the smaller outline, from which on two trees cross
WEIGHTS = {'score': 1.0, 'crosses': 0.4, 'long': 0.8, 'stubby': 0.4, 'parts': 0.3, 'seams': 0.1}  # by judgement
HEADER = ('scene', 'tree_id', 'file', 'score', 'doubt', 'reason', 'x_px', 'y_px')


@dataclass(frozen=True)
class Doubt:
    """What is doubtful about a tree.

    Attributes:
        scene: Its scene.
        tree_id: Its number.
        score: 0 to 1, or NaN.
        doubt: 1 - score, and a weight for each reason; more is to be looked at first.
        reasons: In words; none where nothing is odd.
        middle_xy: A point of the outline, in source pixels.
    """

    scene: str
    tree_id: int
    score: float
    doubt: float
    reasons: tuple[str, ...]
    middle_xy: tuple[float, float]


def doubts(scene_map: SceneMap) -> list[Doubt]:
    """Judge each tree of a scene, in the order of the map."""
    outlines, trees = in_pixels(scene_map), scene_map.trees
    sides = _sides(outlines)
    long, crossed = _too_long(scene_map, sides[:, 0]), _crossings(outlines)
    ids, found = trees['tree_id'].tolist(), []
    for row, (outline, tree) in enumerate(zip(outlines, trees.to_dict('records'), strict=True)):
        parts = len(shapely.get_parts(outline))
        reasons = {
            'score': 'low score' if tree['score'] < LOW_SCORE else '',
            'long': 'implausibly long' if long[row] else '',
            'crosses': f'crosses {", ".join(str(ids[other]) for other in crossed[row])}' if crossed[row] else '',
            'stubby': 'hardly longer than wide' if sides[row, 0] < STUBBY * sides[row, 1] else '',
            'parts': f'in {parts} parts' if parts > 1 else '',
            'seams': 'joined over seams' if tree['seam_joined'] is True else '',
        }
        score = tree['score']
        doubt = (1 - score if score == score else 0.5) + sum(WEIGHTS[key] for key, text in reasons.items() if text)
        point = shapely.point_on_surface(outline)
        found.append(Doubt(scene_map.provenance['scene'], int(ids[row]), score, round(doubt, 4),
                           tuple(filter(None, reasons.values())), (point.x, point.y)))  # fmt: skip
    return found


def _sides(outlines: np.ndarray) -> np.ndarray:
    """Longer and shorter side of the smallest rectangle around each outline, (n, 2), px."""
    boxes = shapely.oriented_envelope(outlines)
    corners = [shapely.get_coordinates(box)[:3] for box in boxes]
    sides = [np.hypot(*np.diff(points, axis=0).T) if len(points) == 3 else np.zeros(2) for points in corners]
    return np.sort(np.array(sides).reshape(-1, 2), axis=1)[:, ::-1]


def _too_long(scene_map: SceneMap, sides_px: np.ndarray) -> np.ndarray:
    """Whether a tree is far longer than the others, (n,) bool."""
    if not len(sides_px):
        return np.zeros(0, bool)
    metres = scene_map.trees['length_m'].to_numpy(float)
    long = sides_px > LONG_TIMES * np.percentile(sides_px, 90)
    return long | (np.nan_to_num(metres) > LONG_M)


def _crossings(outlines: np.ndarray) -> list[list[int]]:
    """Rows of the trees that share ground with each."""
    found: list[list[int]] = [[] for _ in outlines]
    left, right = shapely.STRtree(outlines).query(outlines, predicate='intersects')
    for a, b in zip(left[left < right].tolist(), right[left < right].tolist(), strict=True):
        shared = shapely.intersection(outlines[a], outlines[b]).area
        if shared > SHARED * min(outlines[a].area, outlines[b].area):
            found[a].append(b)
            found[b].append(a)
    return found


def write_table(rows: Sequence[tuple[str, Doubt]], path: Path, *, uncertain_first: bool) -> None:
    """Write what is doubtful of each tree, and on which file it is corrected; ``x_px``, ``y_px`` are in the scene."""
    ordered = sorted(rows, key=lambda row: -row[1].doubt) if uncertain_first else rows
    with atomic_write(path) as file:
        table = csv.writer(file, lineterminator='\n')
        table.writerow(HEADER)
        for name, item in ordered:
            x, y = (round(value, 1) for value in item.middle_xy)
            table.writerow((item.scene, item.tree_id, name, item.score, item.doubt, '; '.join(item.reasons), x, y))
