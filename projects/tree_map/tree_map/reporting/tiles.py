"""The first lines of a report: in a sentence, and in a few large figures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tree_map.reporting.tables import DASH
from tree_map.reporting.verdicts import FALSE, MISSED, RIGHT, Verdicts
from tree_map.scoring.scored_scene import ScoredScene

# Figure, name, what it says; those that the scores do not have are left out.
SHARES = (
    ('scene/recall', 'recall', 'of the labelled trees were found'),
    ('scene/precision', 'precision', 'of the found trees are right'),
    ('centreline/F1', 'centreline F1', 'length that is found and right'),
    ('scene/AP50', 'AP50', 'over all scores, IoU 0.5'),
)


@dataclass(frozen=True)
class Tile:
    """One large figure."""

    name: str
    value: str
    interval: str = ''
    why: str = ''


def summary(
    scenes: Sequence[ScoredScene], judged: Sequence[Verdicts], counted: Sequence[NDArray[np.bool_]], *, labelled: bool
) -> str:
    """What is on the page, in a sentence or two."""
    area = sum(scene.ground.area for scene in scenes) / 1e4
    found = int(sum(kept.sum() for kept in counted))
    text = f'{found} fallen tree{"s" * (found != 1)} mapped on {area:.3g} ha'
    if len(scenes) > 1:
        text += f' in {len(scenes)} scenes'
    if not labelled:
        return f'{text}. No labels were given, so nothing is said of how many are right.'
    right, wrong = (sum(verdict.found.count(word) for verdict in judged) for word in (RIGHT, FALSE))
    missed = sum(verdict.truth.count(MISSED) for verdict in judged)
    text += f'; {missed + right} were labelled. {right} were found right, {missed} were missed'
    return f'{text}, {wrong} are false alarms.'


def tiles(
    scenes: Sequence[ScoredScene], counted: Sequence[NDArray[np.bool_]], scores: dict[str, Any] | None
) -> list[Tile]:
    """The figures at the top: how good where trees are labelled, then how much."""
    made = []
    for key, name, why in SHARES if scores else ():
        if scores.get(key) is not None:
            low, high = scores['intervals'].get(key) or (None, None)
            ends = '' if low is None or high is None else f'{100 * low:.0f} to {100 * high:.0f} %'
            made.append(Tile(name, f'{100 * scores[key]:.0f}\N{NO-BREAK SPACE}%', ends, why))
    area = sum(scene.ground.area for scene in scenes) / 1e4
    found = [scene.found[kept] for scene, kept in zip(scenes, counted, strict=True)]
    made.append(Tile('trees', _per(sum(map(len, found)), area), why='found, per hectare'))
    for name, word, unit in (('length_m', 'length', 'm'), ('volume_m3', 'wood', 'm³')):
        total = sum(float(np.nansum(trees[name].to_numpy(float))) for trees in found)
        made.append(Tile(word, f'{_per(total, area)}\N{NO-BREAK SPACE}{unit}', why='found, per hectare'))
    return made


def _per(value: float, area_ha: float) -> str:
    rate = value / area_ha if area_ha > 0 else np.nan
    return DASH if not np.isfinite(rate) else f'{rate:.3g}' if rate < 1000 else f'{rate:.0f}'
