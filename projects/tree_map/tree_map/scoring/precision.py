"""COCO's average precision over whole trees, and precision, recall and F1 at the threshold of the map.

T.-Y. Lin et al., Microsoft COCO, ECCV 2014; the rules are those of pycocotools' COCOeval: precision made to fall with
recall, read at 101 recalls, mean over classes that have a labelled tree. A scene may hold any number of found trees.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tree_map.scoring.figures import Figure, Floats, from_sums
from tree_map.scoring.matching import IOU_THRESHOLDS, Overlaps, Pairs, matched, overlaps_of
from tree_map.scoring.scored_scene import ScoredScene
from tree_map.scoring.units import Units

RECALLS = np.linspace(0, 1, 101)
EPSILON = np.spacing(1)  # of a division by 0, as in COCOeval
AT_50, AT_75 = 0, 5  # places in IOU_THRESHOLDS
MAX_CELLS = 1 << 21  # replicates x found trees that are held at a time


@dataclass(frozen=True)
class Ranked:
    """Found trees of one class in all scenes, surest first.

    Attributes:
        name: Of the class.
        scores: (n,).
        unit: (n,) int.
        right: At each IoU threshold whether a tree is a labelled one, (10, n) bool.
        ignored: Likewise, whether it is an ignored one, (10, n) bool.
        labelled: Labelled trees by unit, (units,).
    """

    name: str
    scores: NDArray[np.float64]
    unit: NDArray[np.int64]
    right: NDArray[np.bool_]
    ignored: NDArray[np.bool_]
    labelled: NDArray[np.float64]


def ranked(
    scenes: Sequence[ScoredScene], units: Units, overlap: Callable[[ScoredScene], Overlaps] = overlaps_of
) -> list[Ranked]:
    """Match all found trees, at each IoU threshold, whatever their score.

    Args:
        scenes: What is scored.
        units: Of the intervals.
        overlap: Tells which trees overlap how much.

    Returns:
        One for each class that was labelled or found, sorted by name.
    """
    overlaps = [overlap(scene) for scene in scenes]
    partners = [np.stack([matched(item, thr) for thr in IOU_THRESHOLDS]) for item in overlaps]
    right = [(p >= 0) & (p < item.counted) for p, item in zip(partners, overlaps, strict=True)]
    ignored = [p >= item.counted for p, item in zip(partners, overlaps, strict=True)]
    # Scene after scene, each surest first: what COCOeval makes of equal scores.
    right, ignored, unit, scores, classes = (
        np.concatenate([part[..., item.order] for part, item in zip(parts, overlaps, strict=True)], axis=-1)
        for parts in (right, ignored, units.found, _column(scenes, 'score', float), _column(scenes, 'class', object))
    )
    names = np.concatenate([scene.truth['class'].to_numpy(object) for scene in scenes])
    homes = np.concatenate(units.truth)
    order = np.argsort(-scores, kind='stable')
    found = []
    for name in sorted({*names, *classes}):
        rows = order[(classes == name)[order]]
        labelled = np.bincount(homes[names == name], minlength=units.count).astype(float)
        found.append(Ranked(name, scores[rows], unit[rows], right[:, rows], ignored[:, rows], labelled))
    return found


def _column(scenes: Sequence[ScoredScene], name: str, kind: type) -> list[NDArray]:
    return [scene.found[name].to_numpy(kind) for scene in scenes]


def average_precision(one: Ranked, place: int, weights: Floats) -> Floats:
    """Average precision of one class at one IoU threshold.

    Args:
        one: The class.
        place: Of the threshold in ``IOU_THRESHOLDS``.
        weights: As ``Figure.of`` takes them.

    Returns:
        One for each row of weights; NaN where there is no labelled tree.
    """
    rows = max(1, MAX_CELLS // max(len(one.unit), 1))
    parts = [_average(one, place, weights[low : low + rows]) for low in range(0, len(weights), rows)]
    return np.concatenate([np.empty(0), *parts])


def _average(one: Ranked, place: int, weights: Floats) -> Floats:
    counts = ~one.ignored[place]
    right, weight = one.right[place][counts], weights[:, one.unit[counts]]
    labelled = weights @ one.labelled
    # Recall changes, and precision peaks, only where a tree is right.
    total = np.cumsum(weight, axis=1)[:, right]
    hits = np.cumsum(weight[:, right], axis=1)
    with np.errstate(divide='ignore', invalid='ignore'):
        recall = hits / labelled[:, None]
    falling = np.maximum.accumulate((hits / (total + EPSILON))[:, ::-1], axis=1)[:, ::-1]
    falling = np.pad(falling, ((0, 0), (0, 1)))  # beyond the last recall precision is 0
    at = [line[np.searchsorted(reached, RECALLS, side='left')] for line, reached in zip(falling, recall, strict=True)]
    return np.where(labelled > 0, np.mean(np.reshape(at, (len(weights), len(RECALLS))), axis=1), np.nan)


def mean_precision(classes: Sequence[Ranked], places: Sequence[int], weights: Floats) -> Floats:
    """Mean over IoU thresholds and over the classes that have a labelled tree."""
    table = [[average_precision(one, place, weights) for place in places] for one in classes]
    by_class = np.reshape(np.mean(table, axis=1) if table else [], (len(classes), len(weights)))
    there = np.isfinite(by_class)
    with np.errstate(invalid='ignore'):
        return np.where(there, by_class, 0).sum(0) / there.sum(0)


def figures(scenes: Sequence[ScoredScene], pairs: Sequence[Pairs], units: Units, settings: object) -> list[Figure]:
    """AP, AP50, AP75 over all found trees; precision, recall and F1 of those at or above ``settings.score_thr``."""
    return average_figures(ranked(scenes, units)) + counted_figures(scenes, pairs, units, settings.score_thr)


def average_figures(classes: Sequence[Ranked]) -> list[Figure]:
    """AP, AP50 and AP75."""
    wanted = {'AP': range(len(IOU_THRESHOLDS)), 'AP50': [AT_50], 'AP75': [AT_75]}
    return [
        Figure(f'scene/{name}', '', 1, lambda weights, places=places: mean_precision(classes, places, weights))
        for name, places in wanted.items()
    ]


def counted_figures(
    scenes: Sequence[ScoredScene], pairs: Sequence[Pairs], units: Units, score_thr: float
) -> list[Figure]:
    """Precision, recall and F1 of the found trees at or above a score, all classes together."""
    sums = np.zeros((units.count, 3))  # right, found, labelled
    for scene, pair, home, place in zip(scenes, pairs, units.truth, units.found, strict=True):
        sure = scene.found['score'].to_numpy(float) >= score_thr
        sure[pair.ignored] = False
        for column, members in enumerate((home[pair.truth], place[sure], home)):
            sums[:, column] += np.bincount(members, minlength=units.count)
    return [
        from_sums('scene/precision', '', 1, sums, lambda right, found, labelled: right / found),
        from_sums('scene/recall', '', 1, sums, lambda right, found, labelled: right / labelled),
        from_sums('scene/F1', '', 1, sums, lambda right, found, labelled: 2 * right / (found + labelled)),
    ]


def curve(one: Ranked, place: int = AT_50) -> dict[str, list[float]]:
    """Recall, precision and score after each found tree, surest first; of equal scores after the last alone."""
    counts = ~one.ignored[place]
    right, scores = one.right[place][counts], one.scores[counts]
    last = np.append(scores[1:] != scores[:-1], True)[: len(scores)]
    hits = np.cumsum(right)[last]
    recall = hits / max(one.labelled.sum(), 1)
    precision = hits / (np.flatnonzero(last) + 1)
    return {'recall': recall.tolist(), 'precision': precision.tolist(), 'score': scores[last].tolist()}
