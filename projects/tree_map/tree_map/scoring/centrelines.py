"""How many metres of trunk are found: completeness, correctness and F1 of centrelines within a tolerance.

Lines are judged as roads are (Heipke, Mayer, Wiedemann and Jamet, Evaluation of automatic road extraction, 1997;
Wiedemann, Heipke, Mayer and Jamet, Empirical evaluation of automatically extracted road axes, 1998): completeness is
the share of labelled metres that run within a tolerance of found ones, correctness the share of found metres that run
within it of labelled ones, however they are cut into trees. Wiedemann counts what is found twice apart, as redundancy,
and lets it be correct; a map on which every trunk lies twice has twice the timber, so here one metre of truth makes one
found tree right.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import geopandas as gpd
import numpy as np
import shapely
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from tree_map.scoring.errors import f1, judged
from tree_map.scoring.figures import Figure, Floats, from_sums
from tree_map.scoring.scored_scene import ScoredScene

if TYPE_CHECKING:
    from tree_map.scoring.matching import Pairs
    from tree_map.scoring.scores import ScoreSettings
    from tree_map.scoring.units import Units

STEPS = 4  # in a tolerance
MOST_TURN = np.deg2rad(30)  # between two lines that run along one another; those of crossing trunks do not
Ints = NDArray[np.intp]


@dataclass(frozen=True)
class Steps:
    """Lines cut into equal steps, at most a quarter of the tolerance long; arrays of one length n.

    Attributes:
        xy: Middle of each step, (n, 2), m.
        along: Unit vector along its line there, over two tolerances, (n, 2).
        length: (n,), m.
        tree: Row of its tree, (n,).
    """

    xy: Floats
    along: Floats
    length: Floats
    tree: Ints


def figures(
    scenes: Sequence[ScoredScene], pairs: Sequence[Pairs], units: Units, settings: ScoreSettings
) -> list[Figure]:
    """Centreline figures of found trees at or above the score threshold.

    Args:
        scenes: Found and labelled trees. Trees without a centreline add no metres.
        pairs: One for each scene; a found tree whose labelled partner has no centreline is left out.
        units: Whose sums are weighted.
        settings: Score threshold and tolerance.

    Returns:
        centreline/completeness, centreline/correctness and centreline/F1, their harmonic mean.
    """
    sums = np.zeros((units.count, 4))
    for number, (scene, pair) in enumerate(zip(scenes, pairs, strict=True)):
        classes = scene.truth['class'].to_numpy(object), scene.found['class'].to_numpy(object)
        truth = steps_of(scene.truth, np.ones(len(scene.truth), bool), settings.tolerance_m)
        found = steps_of(scene.found, _known(scene, pair, settings.score_thr), settings.tolerance_m)
        held, right = run_along(truth, found, settings.tolerance_m, classes)
        of_truth, of_found = units.truth[number][truth.tree], units.found[number][found.tree]
        for column, unit, metres in (
            (0, of_truth, truth.length * held),
            (1, of_truth, truth.length),
            (2, of_found, found.length * right),
            (3, of_found, found.length),
        ):
            sums[:, column] += np.bincount(unit, metres, units.count)
    return [
        from_sums('centreline/completeness', '', 1, sums, lambda held, truth, right, found: held / truth),
        from_sums('centreline/correctness', '', 1, sums, lambda held, truth, right, found: right / found),
        from_sums('centreline/F1', '', 1, sums, f1),
    ]


def _known(scene: ScoredScene, pair: Pairs, score_thr: float) -> NDArray[np.bool_]:
    """Found trees on the map, without those whose labelled partner has no centreline."""
    kept = judged(scene, pair, score_thr)
    kept[pair.found[shapely.is_missing(_lines(scene.truth))[pair.truth]]] = False
    return kept


def _lines(frame: gpd.GeoDataFrame) -> NDArray[np.object_]:
    lines = np.empty(len(frame), object)
    lines[:] = frame['centreline'].to_list()
    return np.where(shapely.is_empty(lines), None, lines)


def steps_of(frame: gpd.GeoDataFrame, kept: NDArray[np.bool_], tolerance_m: float) -> Steps:
    """Steps of the centrelines of a frame's trees.

    Args:
        frame: Found or labelled trees, as in ``ScoredScene``.
        kept: Which of them, (trees,).
        tolerance_m: Above 0.
    """
    lines = np.where(kept, _lines(frame), None)
    xy, line = shapely.get_coordinates(lines, return_index=True)
    run = np.append(0, np.cumsum(np.hypot(*np.diff(xy, axis=0).T)))[: len(xy)]  # through all lines, one after another
    if not len(xy):
        return Steps(np.empty((0, 2)), np.empty((0, 2)), np.empty(0), np.empty(0, int))
    start, end = (np.searchsorted(line, np.arange(len(lines)), side) for side in ('left', 'right'))
    length = np.where(end > start, run[end - 1] - run[np.minimum(start, len(run) - 1)], 0.0)
    count = np.ceil(length * STEPS / tolerance_m - 1e-9).astype(int)
    tree = np.repeat(np.arange(len(lines)), count)
    step = length[tree] / count[tree]
    at = (np.arange(len(tree)) - np.repeat(np.cumsum(count) - count, count) + 0.5) * step
    point = lambda at: np.stack([np.interp(run[start[tree]] + at, run, axis) for axis in xy.T], 1)  # noqa: E731
    along = point(np.minimum(at + tolerance_m, length[tree])) - point(np.maximum(at - tolerance_m, 0))
    return Steps(point(at), along / np.maximum(np.hypot(*along.T), 1e-12)[:, None], step, tree)


def run_along(
    truth: Steps, found: Steps, tolerance_m: float, classes: tuple[NDArray, NDArray]
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Which labelled steps are found, and which found steps are right.

    Two steps agree where they are as near as the tolerance, of one class and of one direction, either way round. The
    pair of trees that runs longest and nearest along one another takes its steps first, then the next, so that a step
    belongs to one tree of the other side: of two found trees on one trunk one is right, and one found tree between two
    parallel trunks is one of them. Ends may differ by the tolerance.

    Args:
        truth: Labelled steps.
        found: Found steps.
        tolerance_m: How far apart they may be.
        classes: Of each labelled and of each found tree.

    Returns:
        One bool for each labelled step, one for each found step.
    """
    a, b, apart = _near(truth, found, tolerance_m)
    agree = np.abs((truth.along[a] * found.along[b]).sum(1)) >= np.cos(MOST_TURN)
    a, b, apart = a[agree], b[agree], apart[agree]
    met, pair = np.unique(truth.tree[a] * len(classes[1]) + found.tree[b], return_inverse=True)
    weight = (1 - apart / (2 * tolerance_m)) * truth.length[a] * found.length[b]
    closeness = np.bincount(pair, weight, len(met))
    same = classes[0][met // len(classes[1])] == classes[1][met % len(classes[1])]
    turn = np.argsort(np.argsort(-closeness, kind='stable'))[pair]
    nobody = len(closeness)
    a, b, turn = a[same[pair]], b[same[pair]], turn[same[pair]]
    taken_a, taken_b = np.full(len(truth.xy), nobody), np.full(len(found.xy), nobody)
    while len(turn):
        now = (turn == _first(turn, a, len(taken_a))[a]) & (turn == _first(turn, b, len(taken_b))[b])
        taken_a[a[now]] = taken_b[b[now]] = turn[now]
        left = ~now
        for taken in (taken_a[a], taken_b[b]):
            left &= (taken == nobody) | (taken == turn)
        a, b, turn = a[left], b[left], turn[left]
    return taken_a < nobody, taken_b < nobody


def _first(turn: Ints, step: Ints, count: int) -> Ints:
    """The earliest turn in which each step could be taken."""
    first = np.full(count, np.iinfo(int).max)
    np.minimum.at(first, step, turn)
    return first


def _near(truth: Steps, found: Steps, tolerance_m: float) -> tuple[Ints, Ints, Floats]:
    """Pairs of steps whose lines are as near as the tolerance, and how far apart their middles are."""
    if not len(truth.xy) or not len(found.xy):
        return np.empty(0, int), np.empty(0, int), np.empty(0)
    reach = tolerance_m * np.hypot(1, 0.5 / STEPS)  # the nearest middle lies up to half a step further on
    near = cKDTree(truth.xy).sparse_distance_matrix(cKDTree(found.xy), reach, output_type='ndarray')
    return near['i'], near['j'], near['v']
