"""Which way a tree fell: from base to top, where taper, root plate or crown tell them apart; else the axis alone."""

from __future__ import annotations

import numpy as np

from tree_map.measuring.ends import CROWN, PLATE, End
from tree_map.measuring.sections import Floats
from tree_map.measuring.taper import Taper

DECIDED = 5.0  # standard errors by which the taper must differ from none
OPPOSED = 2.0  # from which on it speaks against a plate or crown
LEAST = 0.05  # of the middle width, that the ends must differ by


def base_first(taper: Taper, ends: tuple[End, End], width_error: float) -> bool | None:
    """Whether the base lies where the curve begins; None where nothing tells.

    A root plate at one end only decides, then a crown at one end only, unless the taper speaks against them; then the
    taper.

    Args:
        taper: Of the stem.
        ends: First and last.
        width_error: Of the width at one end against the other, by mask errors that the scatter does not show, m.
    """
    length = abs(ends[1].at - ends[0].at)
    change = taper.slope * length
    error = float(np.hypot(taper.slope_error * length, width_error))
    sure = abs(change) / max(error, 1e-12)
    for kind, at_base in ((PLATE, True), (CROWN, False)):
        found = [end.kind == kind for end in ends]
        if sum(found) == 1:
            first = found[0] == at_base
            return first if sure < OPPOSED or (change < 0) == first else None
    if sure < DECIDED or abs(change) < LEAST * taper.middle:
        return None
    return change < 0


def azimuth(start: Floats, end: Floats) -> float:
    """Clockwise from north, 0 <= azimuth < 360; x east, y north."""
    x, y = (np.asarray(end) - np.asarray(start)).tolist()
    return float(np.degrees(np.arctan2(x, y)) % 360)
