"""All figures of a map with their intervals, and what goes into ``metrics.json``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from tree_map.scoring import centrelines, classes, errors, precision, relaxed
from tree_map.scoring.bootstrap import intervals
from tree_map.scoring.matching import Pairs, overlaps_of, pairs_of
from tree_map.scoring.scored_scene import ScoredScene
from tree_map.scoring.units import BLOCK_M, Units, units_of

FEW_UNITS = 8  # below it intervals are rough


@dataclass(frozen=True)
class ScoreSettings:
    """How maps are scored.

    Attributes:
        score_thr: Least score of a found tree, for every figure but AP, which takes all.
        iou_thr: Least overlap of the outlines of a found tree and a labelled one that are the same tree.
        tolerance_m: How far a centreline may lie from the labelled one, m.
        border_m: How far an outline's border may lie from the labelled one without harm, m.
        replicates: Draws of the bootstrap; 0 for no intervals.
        seed: Of these draws.
        level: Share of such intervals that shall hold the true value.
        block_m: Side of a block that is drawn where there are too few scenes, m.
    """

    score_thr: float = 0.0
    iou_thr: float = 0.5
    tolerance_m: float = 0.5
    border_m: float = 0.1
    replicates: int = 1000
    seed: int = 0
    level: float = 0.95
    block_m: float = BLOCK_M


@dataclass(frozen=True)
class Score:
    """A figure of quality and its interval; NaN where it, or the interval, does not exist.

    ``name``, ``unit`` and ``better`` are those of ``Figure``.
    """

    name: str
    unit: str
    better: int
    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Scores:
    """How good maps are.

    Attributes:
        figures: In the order in which they are told.
        by_class: Rows by length and width class, see ``classes.table``.
        curves: By class of tree the arrays ``recall``, ``precision`` and ``score`` at IoU 0.5, surest tree first.
        scenes: By scene ``name``, ``labelled``, ``found`` (at or above the threshold), ``paired`` and ``ground_ha``.
        units: What the intervals are drawn over.
        settings: How it was scored.
        notes: Lines about the intervals.
    """

    figures: tuple[Score, ...]
    by_class: list[dict[str, Any]]
    curves: dict[str, dict[str, list[float]]]
    scenes: list[dict[str, Any]]
    units: Units
    settings: ScoreSettings
    notes: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Content of ``metrics.json``: each figure by its name at the top; what is not known is null."""
        return {
            **{item.name: _known(item.value) for item in self.figures},
            'intervals': {item.name: [_known(item.low), _known(item.high)] for item in self.figures},
            'figure_units': {item.name: item.unit for item in self.figures},
            'units': {'count': self.units.count, 'kind': self.units.kind},
            'settings': asdict(self.settings),
            'scenes': self.scenes,
            'by_class': [{key: _known(value) for key, value in row.items()} for row in self.by_class],
            'pr_curve': self.curves,
            'notes': list(self.notes),
        }


def score(scenes: Sequence[ScoredScene], settings: ScoreSettings) -> Scores:
    """Score found trees against labelled ones.

    Args:
        scenes: One or more, with different names.
        settings: How.
    """
    overlaps = {id(scene): overlaps_of(scene) for scene in scenes}  # once for all: it takes most of the time
    pairs = [pairs_of(scene, settings.score_thr, settings.iou_thr, overlaps[id(scene)]) for scene in scenes]
    units = units_of(scenes, settings.block_m, overlap=lambda scene: overlaps[id(scene)])
    ranked = precision.ranked(scenes, units, lambda scene: overlaps[id(scene)])
    figures = precision.average_figures(ranked) + precision.counted_figures(scenes, pairs, units, settings.score_thr)
    for module in (centrelines, relaxed, errors):
        figures += module.figures(scenes, pairs, units, settings)
    found = intervals(figures, units.count, settings.replicates, settings.seed, settings.level)
    return Scores(
        figures=tuple(
            Score(item.name, item.unit, item.better, *values) for item, values in zip(figures, found, strict=True)
        ),
        by_class=classes.table(scenes, pairs, units, settings),
        curves={one.name: precision.curve(one) for one in ranked},
        scenes=[_counts(scene, pair, settings) for scene, pair in zip(scenes, pairs, strict=True)],
        units=units,
        settings=settings,
        notes=_notes(units, settings),
    )


def _counts(scene: ScoredScene, pairs: Pairs, settings: ScoreSettings) -> dict[str, Any]:
    return {
        'name': scene.name,
        'labelled': len(scene.truth),
        'found': int((scene.found['score'].to_numpy(float) >= settings.score_thr).sum()),
        'paired': len(pairs.truth),
        'ground_ha': round(scene.ground.area / 1e4, 4),
    }


def _notes(units: Units, settings: ScoreSettings) -> tuple[str, ...]:
    if not settings.replicates:
        return ()
    if units.count < 2:
        return (f'no intervals: the trees lie in {units.count} {units.kind}; they take two or more',)
    if units.count < FEW_UNITS:
        return (f'intervals rest on {units.count} {units.kind}s alone, so they are rough',)
    return ()


def _known(value: Any) -> Any:
    """A number that JSON can hold, None for NaN and infinities; all else as it is."""
    if hasattr(value, 'tolist'):
        value = value.tolist()
    return None if isinstance(value, float) and not np.isfinite(value) else value
