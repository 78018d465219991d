"""The charts of a report, each an SVG text: precision and recall, histograms, roses of directions, errors of length."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tree_map.reporting.chart_svg import ALARM, FOUND, INK, LABEL, QUIET, as_svg, drawing

MEASURES = {'length_m': 'length, m', 'diameter_mid_m': 'diameter half-way, m', 'volume_m3': 'volume, m³'}
MOST_POINTS = 1500  # of a scatter, beyond which its dots become a picture inside the SVG
SIZE_IN = (4.0, 3.2)
SECTORS = 18  # of a rose: 20 degrees each

Floats = NDArray[np.float64]


def precision_recall(curve: Mapping[str, Sequence[float]], threshold: float) -> str:
    """Precision over recall, with the threshold in use marked.

    Args:
        curve: ``recall``, ``precision`` and ``score``, of equal length.
        threshold: Trees below this score are left out of the map.
    """
    recall, precision, score = (np.asarray(curve[name], float) for name in ('recall', 'precision', 'score'))
    with drawing('precision_recall', SIZE_IN) as figure:
        axes = figure.subplots()
        axes.set(xlabel='recall', ylabel='precision', xlim=(0, 1.02), ylim=(0, 1.03))
        axes.grid()
        axes.plot(recall, precision, color=FOUND, linewidth=1.8)
        kept = np.flatnonzero(score >= threshold)
        said = 'no tree reaches the threshold'
        if len(kept):
            at = kept[-1]
            axes.plot(recall[at], precision[at], 'o', color=ALARM, markersize=7)
            left = recall[at] > 0.25
            axes.annotate(f'score {threshold:.2f}', (recall[at], precision[at]), textcoords='offset points',
                          xytext=(-8 if left else 8, -14), ha='right' if left else 'left', color=INK)  # fmt: skip
            said = f'at the threshold {threshold:.2f} precision is {precision[at]:.2f}, recall {recall[at]:.2f}'
        return as_svg(figure, f'Precision over recall; {said}')


def histogram(found: Floats, truth: Floats | None, measure: str) -> str:
    """How often which length, diameter or volume: found trees as bars, labelled ones as a line."""
    found = found[np.isfinite(found)]
    truth = None if truth is None else truth[np.isfinite(truth)]
    edges = _edges(found if truth is None else np.concatenate([found, truth]))
    with drawing(f'histogram_{measure}', SIZE_IN) as figure:
        axes = figure.subplots()
        axes.set(xlabel=MEASURES[measure], ylabel='trees', xlim=(edges[0], edges[-1]))
        axes.hist(found, edges, color=FOUND, alpha=0.75, label='found', rwidth=0.92)
        if truth is not None and len(truth):
            axes.stairs(np.histogram(truth, edges)[0], edges, color=LABEL, linewidth=1.6, label='labelled')
        axes.yaxis.get_major_locator().set_params(integer=True)
        if truth is not None:
            axes.legend(fontsize=8)
        said = f'found: {_summary(found)}' + ('' if truth is None else f'; labelled: {_summary(truth)}')
        return as_svg(figure, f'Histogram of {MEASURES[measure]}; {said}')


def _edges(values: Floats) -> Floats:
    """At most 20 bins with round ends; the uppermost hundredth does not widen them, it is counted in the last."""
    if not len(values):
        return np.linspace(0, 1, 11)
    from matplotlib.ticker import MaxNLocator

    top = max(float(values.max()), 1e-3)
    return np.asarray(MaxNLocator(20, steps=[1, 2, 2.5, 5, 10]).tick_values(0, top))


def _summary(values: Floats) -> str:
    if not len(values):
        return 'none'
    low, middle, high = np.percentile(values, (5, 50, 95))
    return f'{len(values)} trees, median {middle:.3g}, nine of ten from {low:.3g} to {high:.3g}'


def rose(found: pd.DataFrame, truth: pd.DataFrame | None, *, fall: bool) -> str | None:
    """Directions as a rose, north up.

    Args:
        found: ``azimuth_deg`` and ``direction`` of the found trees.
        truth: Likewise of the labelled ones.
        fall: Which way trees fell, of those whose base is known; else the axes of all, each drawn both ways.

    Returns:
        The SVG; None where there is no such tree.
    """
    counts = _sectors(found, fall)
    known = None if truth is None else _sectors(truth, fall)
    if not counts.sum() and (known is None or not known.sum()):
        return None
    from matplotlib.ticker import MaxNLocator

    with drawing(f'rose_{"fall" if fall else "axis"}', SIZE_IN) as figure:
        axes = figure.subplots(subplot_kw={'projection': 'polar'})
        axes.set_theta_zero_location('N')
        axes.set_theta_direction(-1)
        middles = (np.arange(SECTORS) + 0.5) * 2 * np.pi / SECTORS
        axes.bar(middles, counts, 2 * np.pi / SECTORS * 0.94, color=FOUND, alpha=0.75, linewidth=0)
        if known is not None and known.sum():
            _outline(axes, known)
        axes.set_thetagrids(range(0, 360, 45), ['N', 'NE', 'E', 'SE', 'S', 'SW', 'W', 'NW'])
        axes.set_yticks(MaxNLocator(4, integer=True).tick_values(0, axes.get_ylim()[1])[1:-1])
        axes.tick_params(axis='y', labelsize=7)
        axes.set_axisbelow(False)
        axes.spines['polar'].set_visible(False)
        axes.grid(True)
        what = 'Direction of fall' if fall else 'Axes, each tree drawn both ways'
        return as_svg(figure, f'{what}: {_main_sectors(counts)}')


def _sectors(trees: pd.DataFrame, fall: bool) -> NDArray[np.int64]:
    """Trees by sector, from north clockwise."""
    azimuth = trees['azimuth_deg'].to_numpy(float)
    chosen = azimuth[np.isfinite(azimuth) & ((trees['direction'] == 'fall').to_numpy(bool) | (not fall))]
    both = chosen if fall else np.concatenate([chosen, chosen + 180])
    return np.bincount((both % 360 // (360 / SECTORS)).astype(int) % SECTORS, minlength=SECTORS)


def _outline(axes: Any, counts: NDArray[np.int64]) -> None:
    """A step line around the sectors: arcs with straight sides, as bars have."""
    edges = np.linspace(0, 2 * np.pi, SECTORS + 1)
    angles = np.concatenate([np.linspace(a, b, 8) for a, b in zip(edges, edges[1:], strict=False)])
    axes.plot(np.append(angles, 0), np.append(np.repeat(counts, 8), counts[0]), color=LABEL, linewidth=1.4)


def _main_sectors(counts: NDArray[np.int64]) -> str:
    if not counts.sum():
        return 'no found tree'
    at = int(counts.argmax())
    width = 360 // SECTORS
    return f'most, {counts[at]} of {counts.sum()}, from {at * width} to {(at + 1) * width} degrees from north'


def length_errors(truth_m: Floats, found_m: Floats) -> str | None:
    """Found length over labelled length of the pairs; None where none is known."""
    known = np.isfinite(truth_m) & np.isfinite(found_m)
    truth_m, found_m = truth_m[known], found_m[known]
    if not len(truth_m):
        return None
    error = found_m - truth_m
    with drawing('length_errors', SIZE_IN) as figure:
        axes = figure.subplots()
        top = float(max(truth_m.max(), found_m.max())) * 1.05
        axes.plot([0, top], [0, top], color=QUIET, linewidth=1, dashes=(4, 3))
        axes.scatter(truth_m, found_m, s=14, color=FOUND, alpha=0.6, linewidths=0,
                     rasterized=len(truth_m) > MOST_POINTS)  # fmt: skip
        axes.set(xlabel='labelled length, m', ylabel='found length, m', xlim=(0, top), ylim=(0, top), aspect='equal')
        axes.grid()
        said = f'{len(error)} pairs, median error {np.median(error):+.2f} m, half of them within '
        return as_svg(figure, f'Found over labelled length; {said}{np.median(np.abs(error)):.2f} m')
