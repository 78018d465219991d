"""Intervals by the bootstrap: units are drawn again and again, and every figure is computed anew from each draw.

Plain percentiles of such draws are too narrow with few units, and stay so when they are moved outwards (T. Hesterberg,
What Teachers Should Know About the Bootstrap, The American Statistician 69, 2015, "narrowness bias"). Here the draws
give the standard error alone, times the sqrt(n / (n - 1)) that it lacks with n units. The interval is Student's, made
on a scale without ends: the logit of a share, the logarithm of an error that is 0 or more. ``docs/metrics.md`` says how
often intervals of each kind held the truth.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy import special, stats

from tree_map.scoring.figures import Figure, Floats

MAX_MISSING = 0.5  # share of draws in which a figure may not exist
SMALLEST = 1e-3  # share, and share that lacks to 1, from which on the logit is taken


class Interval(NamedTuple):
    """A figure with the ends of its interval; NaN where it, or the interval, does not exist."""

    value: float
    low: float
    high: float


def draws(units: int, replicates: int, seed: int) -> Floats:
    """How often each unit is drawn, (replicates, units): as many as there are, with replacement."""
    if not units:
        return np.zeros((replicates, 0))
    return np.random.default_rng(seed).multinomial(units, np.full(units, 1 / units), replicates).astype(float)


def intervals(
    figures: Sequence[Figure], units: int, replicates: int = 1000, seed: int = 0, level: float = 0.95
) -> list[Interval]:
    """Values of figures with their intervals.

    Args:
        figures: To be computed.
        units: Their number.
        replicates: Draws; with 0 there are no intervals.
        seed: Of the draws, which are the same for all figures.
        level: Share of such intervals that shall hold the true value.

    Returns:
        One each. The interval is NaN with fewer than two units, or where a figure exists in too few draws.
    """
    all_once, weights = np.ones((1, units)), draws(units, replicates, seed)
    found = []
    for figure in figures:
        value = float(figure.of(all_once)[0])
        none = units < 2 or not replicates or not np.isfinite(value)
        error = np.nan if none else standard_error(figure.of(weights), units)
        reach = stats.t.ppf((1 + level) / 2, max(units - 1, 1)) * error
        found.append(Interval(value, *around(value, reach, figure)))
    return found


def standard_error(values: Floats, units: int) -> float:
    """Of a figure, from its values in the draws; NaN where it exists in too few of them."""
    known = values[np.isfinite(values)]
    if len(known) < (1 - MAX_MISSING) * len(values):
        return np.nan
    return float(np.std(known) * np.sqrt(units / (units - 1)))


def around(value: float, reach: float, figure: Figure) -> tuple[float, float]:
    """Ends of an interval that reaches so far to either side of a value, on the scale that fits the figure."""
    if not reach > 0:  # no spread, or not known
        return value + reach, value + reach
    if not figure.unit:
        middle = min(max(value, SMALLEST), 1 - SMALLEST)
        ends = special.expit(special.logit(middle) + np.array([-1, 1]) * reach / (middle * (1 - middle)))
        return min(float(ends[0]), value), max(float(ends[1]), value)
    if figure.better < 0 and value > 0:
        return value * float(np.exp(-reach / value)), value * float(np.exp(reach / value))
    return value - reach, value + reach
