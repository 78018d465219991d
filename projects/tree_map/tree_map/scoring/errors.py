"""How wrong the measures of found trees are, one by one against their labelled partners, and in sum over the ground."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tree_map.scoring.figures import Figure, Floats, from_sums
from tree_map.scoring.scored_scene import MEASURES, ScoredScene

if TYPE_CHECKING:
    from tree_map.scoring.matching import Pairs
    from tree_map.scoring.scores import ScoreSettings
    from tree_map.scoring.units import Units

AT_ONCE = 4_000_000  # values of replicates by pairs held at a time: 32 MB


def figures(
    scenes: Sequence[ScoredScene], pairs: Sequence[Pairs], units: Units, settings: ScoreSettings
) -> list[Figure]:
    """Errors of length, direction, diameter and volume of paired trees, and of counts and sums.

    A pair counts where both sides know the measure. Errors are found minus labelled.

    Args:
        scenes: Found and labelled trees.
        pairs: One for each scene.
        units: Whose sums are weighted.
        settings: Score threshold, from which found trees count.

    Returns:
        For length, diameter (half-way) and volume: bias and mean absolute error in their unit, and the median absolute
        error in percent of the label; azimuth/MAE_deg, modulo 180, and azimuth/right_direction, the share of those
        known to have fallen that way on both sides whose directions lie less than 90 degrees apart; then the errors of
        whole scenes, see ``totals``.
    """
    table = paired_measures(scenes, pairs, units)
    out = []
    for name, column, unit in (('length', 'length_m', 'm'), ('diameter', 'diameter_mid_m', 'm'),
                               ('volume', 'volume_m3', 'm3')):  # fmt: skip
        truth, error = table[f'truth_{column}'], table[f'found_{column}'] - table[f'truth_{column}']
        percent = (100 * error.abs() / truth).where(truth > 0)
        out += [
            mean_figure(f'{name}/bias_{unit}', unit, 0, error, table['unit'], units.count),
            mean_figure(f'{name}/MAE_{unit}', unit, -1, error.abs(), table['unit'], units.count),
            median_figure(f'{name}/median_percent', '%', -1, percent, table['unit']),
        ]
    turn = (table['found_azimuth_deg'] - table['truth_azimuth_deg']).abs() % 360
    axial = np.minimum(turn % 180, 180 - turn % 180)
    known = (table['found_direction'] == 'fall') & (table['truth_direction'] == 'fall')
    right = (np.minimum(turn, 360 - turn) < 90).astype(float).where(known & turn.notna())
    out.append(mean_figure('azimuth/MAE_deg', 'deg', -1, axial, table['unit'], units.count))
    out.append(mean_figure('azimuth/right_direction', '', 1, right, table['unit'], units.count))
    return out + totals(scenes, pairs, units, settings)


def paired_measures(scenes: Sequence[ScoredScene], pairs: Sequence[Pairs], units: Units) -> pd.DataFrame:
    """Measures of pairs: ``unit``, and for each of ``MEASURES`` the columns ``truth_...`` and ``found_...``."""
    parts = []
    for number, (scene, pair) in enumerate(zip(scenes, pairs, strict=True)):
        part = {'unit': units.truth[number][pair.truth]}
        for side, frame, rows in (('truth', scene.truth, pair.truth), ('found', scene.found, pair.found)):
            for name in MEASURES:
                values = frame[name].to_numpy()[rows]
                part[f'{side}_{name}'] = values.astype(object) if name == 'direction' else values.astype(float)
        parts.append(pd.DataFrame(part))
    return pd.concat(parts, ignore_index=True)


def totals(
    scenes: Sequence[ScoredScene], pairs: Sequence[Pairs], units: Units, settings: ScoreSettings
) -> list[Figure]:
    """Errors of sums over the ground, paired or not, in percent of the labelled sum.

    Labelled trees that do not know a measure are left out of its sum, and so are their found partners; a found tree
    that does not know it adds nothing, as it does to the sums of the map.

    Args:
        scenes: Found and labelled trees.
        pairs: One for each scene.
        units: Whose sums are weighted.
        settings: Score threshold, from which found trees count.

    Returns:
        count/error_percent, length/total_error_percent, volume/total_error_percent.
    """
    out = []
    for name, column in (('count/error_percent', None), ('length/total_error_percent', 'length_m'),
                         ('volume/total_error_percent', 'volume_m3')):  # fmt: skip
        sums = np.zeros((units.count, 2))
        for number, (scene, pair) in enumerate(zip(scenes, pairs, strict=True)):
            truth, found = (
                np.ones(len(frame)) if column is None else frame[column].to_numpy(float)
                for frame in (scene.truth, scene.found)
            )
            counted = judged(scene, pair, settings.score_thr)
            counted[pair.found[np.isnan(truth)[pair.truth]]] = False
            sums[:, 0] += np.bincount(units.found[number], np.nan_to_num(found) * counted, units.count)
            sums[:, 1] += np.bincount(units.truth[number], np.nan_to_num(truth), units.count)
        out.append(from_sums(name, '%', 0, sums, _error_percent))
    return out


def _error_percent(found: Floats, truth: Floats) -> Floats:
    return np.where(truth > 0, 100 * (found / truth - 1), np.nan)


def judged(scene: ScoredScene, pair: Pairs, score_thr: float) -> NDArray[np.bool_]:
    """Which found trees are on the map: at or above the threshold, and not on a tree that nobody is asked to find."""
    kept = scene.found['score'].to_numpy(float) >= score_thr
    kept[pair.ignored] = False
    return kept


def mean_figure(
    name: str, unit: str, better: int, values: Sequence[float], unit_of: Sequence[int], count: int
) -> Figure:
    """Mean of values that belong to units, NaN left out.

    Args:
        name: As in ``Figure``.
        unit: As in ``Figure``.
        better: As in ``Figure``.
        values: (n,).
        unit_of: Unit of each, (n,).
        count: Number of units.
    """
    values, unit_of = np.asarray(values, float), np.asarray(unit_of, int)
    known = ~np.isnan(values)
    sums = [np.bincount(unit_of[known], weights, count) for weights in (values[known], None)]
    return from_sums(name, unit, better, np.stack(sums, 1).astype(float), lambda total, number: total / number)


def median_figure(name: str, unit: str, better: int, values: Sequence[float], unit_of: Sequence[int]) -> Figure:
    """Median of values that belong to units, NaN left out.

    Args:
        name: As in ``Figure``.
        unit: As in ``Figure``.
        better: As in ``Figure``.
        values: (n,).
        unit_of: Unit of each, (n,).
    """
    values, unit_of = np.asarray(values, float), np.asarray(unit_of, int)
    known = np.flatnonzero(~np.isnan(values))
    order = known[np.argsort(values[known], kind='stable')]
    return Figure(name, unit, better, lambda weights: weighted_median(values[order], weights, unit_of[order]))


def weighted_median(values: Floats, weights: Floats, unit_of: NDArray[np.intp]) -> Floats:
    """Median of values counted as often as their unit, of the two in the middle their mean.

    Args:
        values: Sorted, (n,).
        weights: How often each unit is counted, (replicates, units).
        unit_of: Unit of each value, (n,).

    Returns:
        (replicates,), NaN where nothing is counted.
    """
    out = np.full(len(weights), np.nan)
    if not len(values):
        return out
    rows = max(1, AT_ONCE // len(values))
    for first in range(0, len(weights), rows):
        upto = np.cumsum(weights[first : first + rows][:, unit_of], axis=1)
        half = upto[:, -1:] / 2
        low, high = (upto < half).sum(1), (upto <= half).sum(1)
        middle = (values[np.minimum(low, len(values) - 1)] + values[np.minimum(high, len(values) - 1)]) / 2
        out[first : first + rows] = np.where(half[:, 0] > 0, middle, np.nan)
    return out


def f1(held: Floats, truth: Floats, right: Floats, found: Floats) -> Floats:
    """2 p r / (p + r) of r = held / truth and p = right / found; 0 where nothing agrees, NaN where nothing is."""
    return np.where((held + right == 0) & (truth + found > 0), 0.0, 2 * held * right / (held * found + right * truth))
