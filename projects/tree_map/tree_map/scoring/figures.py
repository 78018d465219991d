"""A figure of quality as a function of how often each unit counts, so that all can be bootstrapped alike."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Figure:
    """One figure of quality.

    Attributes:
        name: Key in ``metrics.json``, such as 'scene/AP50' or 'centreline/F1'.
        unit: '' for shares from 0 to 1, else such as 'm', 'deg', '%'.
        better: 1 where more is better, -1 where less is, 0 where nearer to 0 is.
        of: Takes weights, (replicates, units), how often each unit is counted; returns (replicates,), NaN where the
            figure does not exist, such as the recall of no tree. A row of ones gives the figure itself.
    """

    name: str
    unit: str
    better: int
    of: Callable[[Floats], Floats]


def from_sums(name: str, unit: str, better: int, sums: Floats, combine: Callable[..., Floats]) -> Figure:
    """A figure that follows from sums over units.

    Args:
        name: As in ``Figure``.
        unit: As in ``Figure``.
        better: As in ``Figure``.
        sums: What each unit contributes, (units, terms).
        combine: Takes each term's weighted sum, (replicates,) each, returns the figure; division by 0 may give NaN.
    """

    def of(weights: Floats) -> Floats:
        with np.errstate(divide='ignore', invalid='ignore'):
            return np.asarray(combine(*(weights @ sums).T), float)

    return Figure(name, unit, better, of)
