"""Which charts a report has, from what it knows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tree_map.reporting.charts import MEASURES, histogram, length_errors, precision_recall, rose

if TYPE_CHECKING:
    from tree_map.reporting.page import Report

COLUMNS = [*MEASURES, 'azimuth_deg', 'direction']


@dataclass(frozen=True)
class Chart:
    """A chart with its title and a line below it."""

    title: str
    svg: str
    said: str = ''


def charts(report: Report, counted: Sequence[NDArray[np.bool_]]) -> list[Chart]:
    """Draw the charts; those without anything to show are left out.

    Args:
        report: Of the page.
        counted: Which found trees count, for each scene.
    """
    scored = [scene.scored for scene in report.scenes]
    found = pd.concat([scene.found.loc[kept, COLUMNS] for scene, kept in zip(scored, counted, strict=True)])
    truth = pd.concat([scene.truth[COLUMNS] for scene in scored]) if report.labelled else None
    known = '' if truth is None else 'bars: found; line: labelled'
    made = _curves(report)
    for measure, words in MEASURES.items():
        lengths = [None if side is None else side[measure].to_numpy(float) for side in (found, truth)]
        made.append(Chart(words.split(',')[0].capitalize(), histogram(*lengths, measure), known))
    if report.pairs is not None:
        pairs = [
            [
                side['length_m'].to_numpy(float)[rows]
                for side, rows in ((scene.truth, pair.truth), (scene.found, pair.found))
            ]
            for scene, pair in zip(scored, report.pairs, strict=True)
        ]
        errors = length_errors(*(np.concatenate(side) for side in zip(*pairs, strict=True)))
        made += [Chart('Length, tree by tree', errors, 'dashed: as labelled')] if errors else []
    for fall, title, said in ((False, 'Axes of all trees', 'each tree drawn both ways'),
                              (True, 'Direction of fall', 'trees whose base is known')):  # fmt: skip
        svg = rose(found, truth, fall=fall)
        made += [Chart(title, svg, '; '.join(filter(None, (said, known))))] if svg else []
    return made


def _curves(report: Report) -> list[Chart]:
    """One curve of precision and recall for each class."""
    curves = (report.scores or {}).get('pr_curve') or {}
    return [
        Chart('Precision and recall' + (f': {name}' if len(curves) > 1 else ''),
              precision_recall(curve, report.score_thr), 'dot: the threshold in use')
        for name, curve in curves.items() if len(curve['recall'])
    ]  # fmt: skip
