"""Where a stem begins and ends: at the border of its outline, inside a root plate, or below the tips of a crown."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tree_map.measuring.centreline import Straight
from tree_map.measuring.sections import Floats
from tree_map.measuring.taper import Taper

BROAD = 1.5  # widths, beside a pixel: what is broader at an end is no stem
PLATE, CROWN, BARE = 'plate', 'crown', 'bare'
STOUT = 1.5  # a plate is at most so much longer than broad, a crown is slimmer
OVERHANG_M = 0.4  # by which branches reach beyond the tip of a stem


@dataclass(frozen=True)
class End:
    """One end of a stem.

    Attributes:
        at: Where the stem ends, m along the curve.
        kind: PLATE, CROWN or BARE.
        reach: How far the outline is no stem from its end, m; 0 for a bare end.
    """

    at: float
    kind: str
    reach: float


def find_ends(straight: Straight, taper: Taper, gsd_m: float) -> tuple[End, End]:
    """The end where the curve begins, and the other."""
    reach = straight.edges[-1] + straight.edges[0]
    first = _end(straight.edges, straight.width, taper.width(straight.at), taper.stem, gsd_m)
    mirrored = reach - straight.edges[::-1]
    last = _end(mirrored, straight.width[::-1], taper.width(straight.at)[::-1], taper.stem[::-1], gsd_m)
    return first, End(float(reach - last.at), last.kind, last.reach)


def _end(edges: Floats, width: Floats, fitted: Floats, stem: Floats, gsd_m: float) -> End:
    step = edges[1] - edges[0]
    broad = width > BROAD * fitted + gsd_m
    # From the outline's end to the first stretch of stem, three bins long.
    good = (stem > 0.2).astype(int)
    runs = np.convolve(good, [1, 1, 1], 'valid') == 3
    clear = int(runs.argmax()) if runs.any() else 0
    if broad[:clear].sum() * step > 0.5 * fitted[0] and broad[: min(clear, 3 + int(2 * fitted[0] / step))].any():
        inner = int(np.flatnonzero(broad[:clear])[-1]) + 1
        breadth, reach = float(width[:inner].max()), float(edges[inner] - edges[0])
        if reach > STOUT * breadth:
            return End(float(edges[0]) + min(OVERHANG_M, 0.1 * reach), CROWN, reach)
        middles = (edges[1:] + edges[:-1])[:inner] / 2
        return End(float((width[:inner] * middles).sum() / width[:inner].sum()), PLATE, reach)
    return End(_bare(edges, width, fitted, step), BARE, 0.0)


def _bare(edges: Floats, width: Floats, fitted: Floats, step: float) -> float:
    """Where the stem would end if what is at the end were as wide as the stem; slivers of some length count in full."""
    full = np.flatnonzero(width >= 0.5 * fitted)
    inner = min(int(full[0]) + 1, len(width) - 1) if len(full) else 0
    by_area = edges[inner] - float((width[:inner] / fitted[:inner]).clip(max=1.2).sum()) * step
    sliver = np.flatnonzero(width > 0.15 * fitted)
    outermost = edges[sliver[0]] if len(sliver) else edges[0]
    return float(outermost if by_area - outermost > 1.5 * fitted[0] else by_area)
