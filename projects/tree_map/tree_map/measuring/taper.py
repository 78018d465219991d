"""Width along a trunk as a line: robust against root plates, crowns, and what hides parts of it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tree_map.measuring.centreline import Straight
from tree_map.measuring.sections import Floats

NODES = 14  # places whose widths are tried as ends of a line
TOLERANCE = 0.06  # of the width: how far widths of a stem may lie from the line, beside
TOLERANCE_PX = 0.7
HALF_HIDDEN = 0.4  # what a place narrower than a line speaks against it
STEEPEST = 0.045  # m per m: stems lose 0.005 to 0.03, crowns much more
STOUTEST = 12  # a stem is so many times longer than thick, where any line allows it
CUT = 4.685  # biweight: 95 % efficient under normal errors (Beaton & Tukey 1974)


@dataclass(frozen=True)
class Taper:
    """Width of a stem along its centreline: `width(at) = middle + slope * (at - centre)`.

    Attributes:
        centre: Where the line is known best, m along the curve.
        middle: Width there, m.
        slope: m per m.
        middle_error: Standard error of `middle`, from the scatter of the widths, m.
        slope_error: Of `slope`.
        spread: Of one bin's width around the line, m.
        stem: Weight of each bin as stem, 0..1; 0 for plate, crown and hidden parts, (b,).
    """

    centre: float
    middle: float
    slope: float
    middle_error: float
    slope_error: float
    spread: float
    stem: Floats

    def width(self, at: Floats | float) -> Floats:
        """Diameter at lengths along the curve, m; never below a tenth of the middle's."""
        return np.maximum(self.middle + self.slope * (np.asarray(at) - self.centre), 0.1 * self.middle)

    def error(self, at: Floats) -> Floats:
        """Standard error of the diameter at lengths along the curve, by the scatter of widths, m."""
        return np.hypot(self.middle_error, self.slope_error * (np.asarray(at) - self.centre))


def fit_taper(straight: Straight, gsd_m: float) -> Taper:
    """The line that most of a tree's length agrees with.

    All lines through the widths at two of some places are tried (Fischler & Bolles 1981, here without chance); the one
    with the most agreement is refined by iteratively reweighted least squares with the biweight.
    """
    at, width = straight.at, straight.width
    trust = np.ones(len(at))
    trust[[0, -1]] = 0.25  # cut short by where the tree ends
    inside = width > 0.25 * min(gsd_m, width.max())
    line = _agreed(at, width, trust * inside, gsd_m)
    floor = 0.15 * gsd_m
    for _ in range(5):
        residual = width - line[0] - line[1] * at
        near = np.abs(residual) < _tolerance(line[0] + line[1] * at, gsd_m) * 1.5
        spread = max(1.4826 * float(np.median(np.abs(residual[near & inside]))) if (near & inside).any() else 0, floor)
        stem = np.clip(1 - (residual / (CUT * spread)) ** 2, 0, None) ** 2 * inside
        weight = stem * trust
        if weight.sum() < 1.5:
            break
        refined = _least_squares(at, width, weight, line)
        if abs(refined[1]) > STEEPEST > abs(line[1]):
            break
        line = refined
    return _with_errors(at, width, stem, stem * trust, line, spread)


def _tolerance(width: Floats, gsd_m: float) -> Floats:
    return TOLERANCE_PX * gsd_m + TOLERANCE * np.maximum(width, 0)


def _agreed(at: Floats, width: Floats, trust: Floats, gsd_m: float) -> tuple[float, float]:
    usable = np.flatnonzero(trust > 0)
    picked = usable[np.unique(np.linspace(0, len(usable) - 1, NODES).round().astype(int))]
    # A place's width is the median of three bins.
    beside = np.clip(picked + np.array([[-1], [0], [1]]), 0, len(width) - 1)
    w = np.sort(width[beside], 0)[1]
    i, j = np.triu_indices(len(picked), 1)
    if not len(i):
        return float(w[0]), 0.0
    slope = (w[j] - w[i]) / (at[picked[j]] - at[picked[i]])
    flat = np.sort(w)[[len(w) // 5, len(w) // 3, len(w) // 2, 2 * len(w) // 3]]
    slope = np.append(slope, np.zeros(len(flat)))
    start = np.append(w[i] - slope[: len(i)] * at[picked[i]], flat)
    lines = start[:, None] + slope[:, None] * at
    ends = np.sort(lines[:, [0, -1]], 1)
    plausible = (ends[:, 0] > 0.1 * ends[:, 1]) & (ends[:, 0] > 0) & (np.abs(slope) < STEEPEST)
    slim = plausible & (ends[:, 1] * STOUTEST < at[-1] - at[0] + gsd_m)
    agreement = np.clip(1 - ((width - lines) / _tolerance(lines, gsd_m)) ** 2, 0, None) @ trust
    # A stem is rather broadened by a crown, or hidden, than narrow over a long way.
    agreement -= HALF_HIDDEN * ((width > 0.15 * lines) & (width < 0.85 * lines - gsd_m)) @ trust
    best = int(np.where(slim if slim.any() else plausible, agreement, -np.inf).argmax())
    return float(start[best]), float(slope[best])


def _least_squares(at: Floats, width: Floats, weight: Floats, before: tuple[float, float]) -> tuple[float, float]:
    total = weight.sum()
    centre, middle = (weight * at).sum() / total, (weight * width).sum() / total
    span = (weight * (at - centre) ** 2).sum()
    slope = (weight * (at - centre) * (width - middle)).sum() / span if span > 0 else before[1]
    return float(middle - slope * centre), float(slope)


def _with_errors(
    at: Floats, width: Floats, stem: Floats, weight: Floats, line: tuple[float, float], spread: float
) -> Taper:
    total = max(float(weight.sum()), 1e-9)
    centre = float((weight * at).sum() / total)
    span = float((weight * (at - centre) ** 2).sum())
    middle_error = spread / np.sqrt(max(total, 1))
    slope_error = spread / np.sqrt(max(span, float(np.ptp(at)) ** 2 / 100))
    return Taper(
        centre, max(float(line[0] + line[1] * centre), 1e-6), line[1], float(middle_error), float(slope_error), spread,
        stem,
    )  # fmt: skip


def middle_weights(straight: Straight, taper: Taper, gsd_m: float) -> Floats:
    """How far the middle of each bin is that of the stem, (b,), by the variance of its error.

    A third of a pixel where the stem is seen alone; 30 % of what a plate or crown is broader, whose sides are uneven;
    half of what is hidden, which may lie on one side.
    """
    fitted = taper.width(straight.at)
    excess = straight.width - fitted
    error = np.maximum(0.3 * excess, -0.5 * excess) / (0.3 * gsd_m)
    return np.clip(straight.width / fitted, 0, 1) / (1 + error**2) + 1e-6
