"""AP that forgives borders: what lies within a margin of the other outline counts as agreeing.

A found trunk 0.3 m wide that lies 5 cm beside its label has an IoU of 0.71, one 10 cm beside it of 0.5: on thin things
IoU measures how they were labelled. Relaxed precision p and recall r are those of Mnih and Hinton, Learning to detect
roads in high-resolution aerial images, ECCV 2010: the share of found area within a margin of the labelled, and of
labelled area within a margin of the found. With exact borders p and r are the shares of the common area, and IoU is
p r / (p + r - p r); the relaxed IoU is the same of the relaxed shares. A margin of 0 gives the plain AP.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import shapely
from numpy.typing import NDArray

from tree_map.scoring.figures import Figure
from tree_map.scoring.matching import IOU_THRESHOLDS, Overlaps
from tree_map.scoring.precision import AT_50, mean_precision, ranked
from tree_map.scoring.scored_scene import ScoredScene

if TYPE_CHECKING:
    from tree_map.scoring.matching import Pairs
    from tree_map.scoring.scores import ScoreSettings
    from tree_map.scoring.units import Units


def figures(
    scenes: Sequence[ScoredScene], pairs: Sequence[Pairs], units: Units, settings: ScoreSettings
) -> list[Figure]:
    """Average precision by relaxed IoU, of found trees of any score.

    Args:
        scenes: Found and labelled trees.
        pairs: Not used: trees are matched anew, by relaxed IoU.
        units: That are weighted.
        settings: Margin ``border_m``.

    Returns:
        relaxed/AP, over the IoU thresholds from 0.5 to 0.95, and relaxed/AP50.
    """
    classes = ranked(scenes, units, lambda scene: relaxed_overlaps(scene, settings.border_m))
    return [
        Figure('relaxed/AP', '', 1, lambda weights: mean_precision(classes, range(len(IOU_THRESHOLDS)), weights)),
        Figure('relaxed/AP50', '', 1, lambda weights: mean_precision(classes, [AT_50], weights)),
    ]


def relaxed_overlaps(scene: ScoredScene, border_m: float) -> Overlaps:
    """As ``overlaps_of``, with relaxed IoU for IoU, of trees of one class that are as near as the margin.

    Args:
        scene: What is scored.
        border_m: Margin, m, 0 or more.
    """
    found = scene.found.geometry.to_numpy()
    truth = np.concatenate([scene.truth.geometry.to_numpy(), scene.ignored.geometry.to_numpy()])
    classes = np.concatenate([scene.truth['class'].to_numpy(object), scene.ignored['class'].to_numpy(object)])
    first, second = shapely.STRtree(truth).query(found, predicate='dwithin', distance=border_m)
    same = scene.found['class'].to_numpy(object)[first] == classes[second]
    first, second = first[same.astype(bool)], second[same.astype(bool)]
    precision = _within(found[first], shapely.buffer(truth, border_m)[second])
    recall = _within(truth[second], shapely.buffer(found, border_m)[first])
    with np.errstate(divide='ignore', invalid='ignore'):
        iou = np.nan_to_num(precision * recall / (precision + recall - precision * recall))
    kept = np.lexsort((second, first))
    kept = kept[iou[kept] > 0]
    order = np.argsort(-scene.found['score'].to_numpy(float), kind='stable')
    return Overlaps(first[kept], second[kept], iou[kept], len(scene.truth), order)


def _within(outlines: NDArray[np.object_], margins: NDArray[np.object_]) -> NDArray[np.float64]:
    """Share of each outline's area that lies in its margin."""
    return np.minimum(shapely.area(shapely.intersection(outlines, margins)) / shapely.area(outlines), 1.0)
