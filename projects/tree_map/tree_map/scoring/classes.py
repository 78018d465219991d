"""Figures by how long and how thick the trees are: what is lost is mostly short and thin."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tree_map.scoring.bootstrap import intervals
from tree_map.scoring.errors import f1, judged, mean_figure, paired_measures
from tree_map.scoring.figures import Figure, from_sums
from tree_map.scoring.scored_scene import ScoredScene

if TYPE_CHECKING:
    from tree_map.scoring.matching import Pairs
    from tree_map.scoring.scores import ScoreSettings
    from tree_map.scoring.units import Units

LENGTH_EDGES_M = (5.0, 10.0, 20.0)
WIDTH_EDGES_M = (0.2, 0.4)
Chosen = Sequence[tuple[NDArray[np.bool_], NDArray[np.bool_]]]


def table(
    scenes: Sequence[ScoredScene],
    pairs: Sequence[Pairs],
    units: Units,
    settings: ScoreSettings,
    length_edges_m: Sequence[float] = LENGTH_EDGES_M,
    width_edges_m: Sequence[float] = WIDTH_EDGES_M,
) -> list[dict]:
    """What is found and what is right among trees of one length, and of one width (diameter half-way).

    A labelled tree is in the class of its label, a found one in the class that the map gives it, so that both sums are
    those of all trees; recall is the share of labelled trees of the class that have a partner, whatever class that is
    in, precision the share of found ones.

    Args:
        scenes: Found and labelled trees.
        pairs: One for each scene.
        units: Whose sums are weighted.
        settings: Score threshold, from which found trees count, and how intervals are drawn.
        length_edges_m: Where classes of length meet, rising; a tree on an edge is in the upper class.
        width_edges_m: Where classes of width meet, rising.

    Returns:
        A row for each class, and one for trees whose measure is not known: ``by`` ('length' or 'width'), ``class`` such
        as '5-10 m', ``from_m`` and ``to_m`` (None where open), ``truth`` and ``found`` (numbers of trees), ``recall``,
        ``precision``, ``F1`` and ``length_MAE_m`` of its paired labelled trees, None where there is no such tree; the
        ends of their intervals follow each as ``_low`` and ``_high``.
    """
    on_map = [judged(scene, pair, settings.score_thr) for scene, pair in zip(scenes, pairs, strict=True)]
    paired, rows = paired_measures(scenes, pairs, units), []
    for by, column, edges in (('length', 'length_m', length_edges_m), ('width', 'diameter_mid_m', width_edges_m)):
        of = [[_class(frame[column], edges, by) for frame in (scene.truth, scene.found)] for scene in scenes]
        for number in range(len(edges) + 2):
            chosen = [(truth == number, (found == number) & kept)
                      for (truth, found), kept in zip(of, on_map, strict=True)]  # fmt: skip
            rows.append({'by': by, **_name(number, edges), **_row(paired, pairs, units, settings, chosen)})
    return rows


def _row(paired: pd.DataFrame, pairs: Sequence[Pairs], units: Units, settings: ScoreSettings, chosen: Chosen) -> dict:
    row = {side: sum(int(mask[k].sum()) for mask in chosen) for k, side in enumerate(('truth', 'found'))}
    wanted = class_figures(paired, pairs, units, chosen)
    found = intervals(wanted, units.count, settings.replicates, settings.seed, settings.level)
    for figure, ends in zip(wanted, found, strict=True):
        for end, value in zip(('', '_low', '_high'), ends, strict=True):
            row[figure.name + end] = value if np.isfinite(value) else None
    return row


def _class(values: Sequence[float], edges: Sequence[float], by: str) -> NDArray[np.intp]:
    """Class of each value, the one after the last where it is not known."""
    values, edges = np.asarray(values, float), np.asarray(edges, float)
    if (np.diff(edges) <= 0).any():
        raise ValueError(f'edges of classes by {by} must rise, but are {edges.tolist()}: sort them, each once')
    return np.where(np.isnan(values), len(edges) + 1, np.searchsorted(edges, values, side='right'))


def _name(number: int, edges: Sequence[float]) -> dict:
    """What a class is called, and its bounds."""
    bounds = [None, *(float(edge) for edge in edges), None]
    if number > len(edges):
        return {'class': 'unknown', 'from_m': None, 'to_m': None}
    low, high = bounds[number], bounds[number + 1]
    name = 'all' if low is high else f'< {high:g} m' if low is None else f'>= {low:g} m' if high is None else ''
    return {'class': name or f'{low:g}-{high:g} m', 'from_m': low, 'to_m': high}


def class_figures(
    paired: pd.DataFrame,
    pairs: Sequence[Pairs],
    units: Units,
    chosen: Chosen,
) -> list[Figure]:
    """Recall, precision, F1 and length_MAE_m of some of the trees.

    Args:
        paired: Of ``paired_measures``.
        pairs: One for each scene.
        units: Whose sums are weighted.
        chosen: For each scene which labelled trees, and which found ones of those on the map.
    """
    sums = np.zeros((units.count, 4))
    for number, (pair, (truth, found)) in enumerate(zip(pairs, chosen, strict=True)):
        of_truth, of_found = units.truth[number], units.found[number]
        held, right = pair.truth[truth[pair.truth]], pair.found[found[pair.found]]
        for column, unit in enumerate((of_truth[held], of_truth[truth], of_found[right], of_found[found])):
            sums[:, column] += np.bincount(unit, minlength=units.count)
    kept = np.concatenate([np.zeros(0, bool), *(t[p.truth] for p, (t, _) in zip(pairs, chosen, strict=True))])
    error = (paired['found_length_m'] - paired['truth_length_m']).abs().where(kept)
    return [
        from_sums('recall', '', 1, sums, lambda held, truth, right, found: held / truth),
        from_sums('precision', '', 1, sums, lambda held, truth, right, found: right / found),
        from_sums('F1', '', 1, sums, f1),
        mean_figure('length_MAE_m', 'm', -1, error, paired['unit'], units.count),
    ]
