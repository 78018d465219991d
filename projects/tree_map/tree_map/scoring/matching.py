"""Which found tree is which labelled one: COCO's greedy matching by score, on exact overlaps of outlines."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import shapely
from numpy.typing import NDArray

from tree_map.scoring.scored_scene import ScoredScene

IOU_THRESHOLDS = np.linspace(0.5, 0.95, 10)  # COCO's
ALMOST_ONE = 1 - 1e-10  # likewise: an IoU of 1 must pass a threshold of 1

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Pairs:
    """Found trees and the labelled trees that they are, one to one.

    Attributes:
        truth: Row in ``scene.truth``, (n,) int.
        found: Row in ``scene.found``, (n,) int.
        iou: Of the two outlines, (n,) float.
        ignored: Rows in ``scene.found`` of trees that match none but an ignored one: neither right nor wrong, (m,) int.
    """

    truth: Ints
    found: Ints
    iou: NDArray[np.float64]
    ignored: Ints = field(default_factory=lambda: np.empty(0, np.int64))


@dataclass(frozen=True)
class Overlaps:
    """Found and labelled trees of one class whose outlines share area; ordered by found tree, then by labelled tree.

    Attributes:
        found: Row in ``scene.found``, (k,) int.
        truth: Row in ``scene.truth``, or behind its last row that in ``scene.ignored``, (k,) int.
        iou: Area in both over area in either, above 0, (k,) float.
        counted: Rows of ``scene.truth``: from this number on a tree is ignored.
        order: Rows of ``scene.found``, surest first; of equal scores the first in the frame, (n,) int.
    """

    found: Ints
    truth: Ints
    iou: NDArray[np.float64]
    counted: int
    order: Ints


def overlaps_of(scene: ScoredScene) -> Overlaps:
    """Overlaps of all found trees with labelled and ignored ones of their class."""
    found, counted = scene.found.geometry.to_numpy(), len(scene.truth)
    truth = np.concatenate([scene.truth.geometry.to_numpy(), scene.ignored.geometry.to_numpy()])
    classes = np.concatenate([scene.truth['class'].to_numpy(object), scene.ignored['class'].to_numpy(object)])
    first, second = shapely.STRtree(truth).query(found, predicate='intersects')
    same = scene.found['class'].to_numpy(object)[first] == classes[second]
    first, second = first[same.astype(bool)], second[same.astype(bool)]
    shared = shapely.area(shapely.intersection(found[first], truth[second]))
    iou = shared / (shapely.area(found)[first] + shapely.area(truth)[second] - shared)
    kept = np.lexsort((second, first))
    kept = kept[iou[kept] > 0]
    order = np.argsort(-scene.found['score'].to_numpy(float), kind='stable')
    return Overlaps(first[kept], second[kept], iou[kept], counted, order)


def matched(overlaps: Overlaps, iou_thr: float, score_rank: int | None = None) -> Ints:
    """Give each found tree, surest first, the free labelled tree that it overlaps most.

    The rule of pycocotools: a counted tree goes before an ignored one, and of equal overlaps the later row is taken.

    Args:
        overlaps: Of a scene.
        iou_thr: Least overlap.
        score_rank: How many of the surest trees take part; None: all.

    Returns:
        Row of the labelled tree, numbered as in ``Overlaps.truth``, or -1, for each found tree, (n,).
    """
    partner = np.full(len(overlaps.order), -1, np.int64)
    enough = overlaps.iou >= min(iou_thr, ALMOST_ONE)
    found, truth, iou = overlaps.found[enough], overlaps.truth[enough], overlaps.iou[enough]
    start, end = np.searchsorted(found, overlaps.order, 'left'), np.searchsorted(found, overlaps.order, 'right')
    taken: set[int] = set()
    for row, low, high in zip(overlaps.order[:score_rank], start[:score_rank], end[:score_rank], strict=True):
        free = [k for k in range(low, high) if truth[k] not in taken]
        if free:
            best = max(free, key=lambda k: (truth[k] < overlaps.counted, iou[k], truth[k]))
            partner[row] = truth[best]
            taken.add(truth[best])
    return partner


def pairs_of(scene: ScoredScene, score_thr: float, iou_thr: float = 0.5, overlaps: Overlaps | None = None) -> Pairs:
    """Pair the found trees at or above a score with labelled ones.

    Args:
        scene: What is scored.
        score_thr: Least score of a found tree.
        iou_thr: Least overlap of two outlines.
        overlaps: Of the scene, where they are known.
    """
    overlaps = overlaps_of(scene) if overlaps is None else overlaps
    sure = int((scene.found['score'].to_numpy(float) >= score_thr).sum())
    partner = matched(overlaps, iou_thr, sure)
    found = np.flatnonzero((partner >= 0) & (partner < overlaps.counted))
    # Of the overlaps with its partner a found tree has one, and found trees come in order.
    iou = overlaps.iou[(partner[overlaps.found] == overlaps.truth) & (overlaps.truth < overlaps.counted)]
    return Pairs(
        truth=partner[found],
        found=found,
        iou=iou,
        ignored=np.flatnonzero(partner >= overlaps.counted),
    )
