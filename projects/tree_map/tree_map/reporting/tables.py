"""Figures as rows of words: what each means, its value, its interval."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from tree_map.scoring.scored_scene import ScoredScene

DASH, MINUS = '–', '\N{MINUS SIGN}'
GROUPS = {
    'scene': 'Trees, whole scenes',
    'centreline': 'Centrelines',
    'relaxed': 'Outlines, with a tolerance at the border',
    'length': 'Length',
    'diameter': 'Diameter half-way',
    'volume': 'Volume',
    'azimuth': 'Direction',
    'count': 'Number of trees',
}
WORDS = {
    'AP': 'average precision, IoU 0.5 to 0.95 (AP)',
    'AP50': 'average precision, IoU 0.5 (AP50)',
    'AP75': 'average precision, IoU 0.75 (AP75)',
    'precision': 'precision: found trees that are right',
    'recall': 'recall: labelled trees that were found',
    'F1': 'F1',
    'completeness': 'completeness: labelled length that was found',
    'correctness': 'correctness: found length that is right',
    'median_percent': 'median error',
    'total_error_percent': 'error of the sum',
    'error_percent': 'error',
    'right_direction': 'fell the way that was labelled',
    'MAE_deg': 'mean error of the axis',
}
SIGNED = ('bias', 'error_percent')  # whose sign says too much or too little
SUM_HEAD = ('trees', 'trees/ha', 'length, m/ha', 'volume, m³/ha')


@dataclass(frozen=True)
class Table:
    """What a page shows as a table: the first cell of a row names it."""

    head: list[str]
    rows: list[list[str]]
    caption: str = ''


def figure_groups(scores: Mapping[str, Any]) -> list[Table]:
    """All figures of ``Scores.to_json()``, a table for each group, in the order in which they are told."""
    groups: dict[str, list[list[str]]] = {}
    for name, unit in scores['figure_units'].items():
        group, _, rest = name.partition('/')
        low, high = scores['intervals'].get(name) or (None, None)
        value = scores[name]
        row = [words(rest), amount(value, unit, name, (low, high)), interval(low, high, unit, name, value)]
        groups.setdefault(group, []).append(row)
    level = f'{100 * scores["settings"]["level"]:g} % interval'
    return [Table(['', 'value', level], rows, GROUPS.get(group, group)) for group, rows in groups.items()]


def words(name: str) -> str:
    """What a figure means; its own name where nobody has said."""
    if name in WORDS:
        return WORDS[name]
    kind, _, unit = name.rpartition('_')
    known = {'bias': 'mean error, with its sign', 'MAE': 'mean error, without sign'}
    return f'{known[kind]}' if kind in known and unit else name.replace('_', ' ')


def amount(value: float | None, unit: str, name: str = '', beside: Sequence[float | None] = ()) -> str:
    """A value with its unit: shares with three decimals, the rest with three digits that count.

    Args:
        value: None where not known.
        unit: As in ``Figure``.
        name: Of the figure: of some the sign counts.
        beside: Values that shall have as many decimals.
    """
    if value is None or not np.isfinite(value):
        return DASH
    largest = max((abs(other) for other in (value, *beside) if other is not None), default=0)
    decimals = 3 if not unit or not largest else int(np.clip(2 - np.floor(np.log10(largest)), 0, 4))
    sign = '+' if any(word in name for word in SIGNED) else ''
    return f'{value:{sign}.{decimals}f}{_unit(unit)}'.replace('-', MINUS)


def _unit(unit: str) -> str:
    return '°' if unit == 'deg' else f' {unit.replace("m3", "m³")}' if unit else ''


def interval(low: float | None, high: float | None, unit: str, name: str = '', value: float | None = None) -> str:
    """Both ends, without the unit; a dash where there is no interval."""
    if low is None or high is None:
        return DASH
    return ' to '.join(amount(end, unit, name, (low, high, value)).removesuffix(_unit(unit)) for end in (low, high))


def class_tables(scores: Mapping[str, Any]) -> list[Table]:
    """Figures by length and by width class; classes without any tree are left out."""
    head = ['', 'labelled', 'found', 'recall', 'precision', 'F1', 'mean error of length, m']
    titles = {'length': 'By length', 'width': 'By width (diameter half-way)'}
    tables = []
    for by in dict.fromkeys(row['by'] for row in scores['by_class']):
        rows = [[row['class'].replace('-', '–').replace('>=', '≥'), str(row['truth']), str(row['found']),
                 *(_share(row[name]) for name in ('recall', 'precision', 'F1')), _share(row['length_MAE_m'], 2)]
                for row in scores['by_class'] if row['by'] == by and row['truth'] + row['found']]  # fmt: skip
        tables.append(Table(head, rows, titles.get(by, by)))
    return tables


def _share(value: float | None, decimals: int = 3) -> str:
    return DASH if value is None else f'{value:.{decimals}f}'


def sums(scenes: Sequence[ScoredScene], counted: Sequence[np.ndarray], *, labelled: bool) -> Table:
    """Trees, length and wood by hectare of ground looked at, scene by scene, and of all.

    Args:
        scenes: Of the report.
        counted: Which found trees count, for each scene (n,) bool.
        labelled: Whether the labelled trees are summed up too.
    """
    rows: list[list[str]] = []
    parts = [(scene.name, scene.ground.area / 1e4, scene.found[kept], scene.truth) for scene, kept in
             zip(scenes, counted, strict=True)]  # fmt: skip
    if len(parts) > 1:
        found, truth = (pd.concat([part[place] for part in parts]) for place in (2, 3))
        parts.append(('all', sum(part[1] for part in parts), found, truth))
    for name, area, found, truth in parts:
        for side, trees in (('found', found), ('labelled', truth)) if labelled else (('', found),):
            rows.append([f'{name}, {side}'.removesuffix(', '), f'{area:.2f}', *_by_hectare(trees, area)])
    return Table(['', 'ground, ha', *SUM_HEAD], rows, 'Sums by hectare')


def _by_hectare(trees: pd.DataFrame, area_ha: float) -> list[str]:
    cells = [str(len(trees)), _per(len(trees), area_ha)]
    for name in ('length_m', 'volume_m3'):
        known = trees[name].to_numpy(float)
        known = known[np.isfinite(known)]
        cells.append(_per(known.sum(), area_ha) if len(known) or not len(trees) else DASH)
    return cells


def _per(value: float, area_ha: float) -> str:
    return DASH if area_ha <= 0 else f'{value / area_ha:.3g}' if value / area_ha < 1000 else f'{value / area_ha:.0f}'
