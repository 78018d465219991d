"""What became of each tree: found right, a false alarm, missed; and which of them were worst."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tree_map.scoring.matching import Pairs
from tree_map.scoring.scored_scene import ScoredScene

NONE = -1
FOUND, RIGHT, FALSE, MISSED, UNSURE, IGNORED = 'found', 'right', 'false', 'missed', 'unsure', 'ignored'


@dataclass(frozen=True)
class Verdicts:
    """What became of the trees of one scene.

    Attributes:
        found: Of each found tree: ``right`` (paired with a labelled one), ``false`` (alarm), ``unsure`` (its score is
            below the threshold, so that it does not count), ``ignored`` (on ground that does not count), or ``found``
            where there are no labels.
        truth: Of each labelled tree: ``right`` or ``missed``.
        partner_of_found: Index of the labelled partner, -1 without.
        partner_of_truth: Index of the found partner, -1 without.
        iou: Of each found tree with its partner, NaN without.
    """

    found: list[str]
    truth: list[str]
    partner_of_found: NDArray[np.int64]
    partner_of_truth: NDArray[np.int64]
    iou: NDArray[np.float64]


@dataclass(frozen=True)
class Case:
    """One tree of a gallery: number of its scene, and the index of its found and its labelled tree, -1 for none."""

    scene: int
    found: int
    truth: int


def verdicts_of(scene: ScoredScene, pairs: Pairs | None, score_thr: float) -> Verdicts:
    """Tell what became of each tree.

    Args:
        scene: Its trees.
        pairs: Which found tree is which labelled one; None where nothing is labelled.
        score_thr: Found trees below it do not count.
    """
    of_found, of_truth = np.full(len(scene.found), NONE), np.full(len(scene.truth), NONE)
    iou = np.full(len(scene.found), np.nan)
    if pairs is None:
        return Verdicts([FOUND] * len(scene.found), [MISSED] * len(scene.truth), of_found, of_truth, iou)
    of_found[pairs.found], of_truth[pairs.truth], iou[pairs.found] = pairs.truth, pairs.found, pairs.iou
    sure = scene.found['score'].to_numpy(float) >= score_thr
    found = [RIGHT if partner != NONE else FALSE if counts else UNSURE
             for partner, counts in zip(of_found, sure, strict=True)]  # fmt: skip
    for n in pairs.ignored:
        found[n] = IGNORED
    return Verdicts(found, [MISSED if partner == NONE else RIGHT for partner in of_truth], of_found, of_truth, iou)


def false_alarms(scenes: Sequence[ScoredScene], verdicts: Sequence[Verdicts]) -> list[Case]:
    """False alarms of all scenes, the surest first."""
    cases = [(-scene.found['score'].iloc[n], place, n) for place, (scene, verdict) in enumerate(
             zip(scenes, verdicts, strict=True)) for n, word in enumerate(verdict.found) if word == FALSE]  # fmt: skip
    return [Case(place, n, NONE) for _, place, n in sorted(cases)]


def misses(scenes: Sequence[ScoredScene], verdicts: Sequence[Verdicts]) -> list[Case]:
    """Labelled trees that were not found, the largest outline first."""
    cases = [(-scene.truth.geometry.iloc[n].area, place, n) for place, (scene, verdict) in enumerate(
             zip(scenes, verdicts, strict=True)) for n, word in enumerate(verdict.truth) if word == MISSED]  # fmt: skip
    return [Case(place, NONE, n) for _, place, n in sorted(cases)]


def poor_pairs(verdicts: Sequence[Verdicts]) -> list[Case]:
    """Trees found right, the worst outline first."""
    cases = [(verdict.iou[n], place, n, partner) for place, verdict in enumerate(verdicts)
             for n, partner in enumerate(verdict.partner_of_found) if partner != NONE]  # fmt: skip
    return [Case(place, int(n), int(partner)) for _, place, n, partner in sorted(cases)]
