"""One stem from the pieces of one tree: its ends, its widths, its line."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tree_map.measuring.centreline import REACH, Straight, moved, straight_on, straighten
from tree_map.measuring.direction import azimuth, base_first
from tree_map.measuring.ends import CROWN, PLATE, find_ends
from tree_map.measuring.sections import Floats, Samples
from tree_map.measuring.taper import fit_taper, middle_weights
from tree_map.measuring.volume import by_sections

BREAST = 0.06  # share of the length above the base where its diameter is taken, above the flare
FLARE = 0.016  # of length by base area: what the flare of a trunk adds to the volume, where it cannot be seen
SECTIONS = 60


@dataclass(frozen=True)
class Stem:
    """What is measured of a tree, from base to top, or west to east where they cannot be told.

    Attributes:
        line: Centreline, m, (k, 2).
        length: m.
        diameters: At the base (6 % of the length), in the middle, at the top, m, (3,).
        diameter_errors: Standard errors of these by the scatter of widths, m, (3,).
        volume: m3.
        azimuth: Degrees clockwise from north.
        fall: Whether the direction is known.
        area: Of the outline, m2.
        stem_area: Of the tapered stem, m2.
        seen: Share of it that the outline holds.
        plate: How far the outline is a root plate, m.
        crown: How far it is a crown, m.
        left: Share of the outline that the line leaves aside, where it could not follow all of it.
    """

    line: Floats
    length: float
    diameters: Floats
    diameter_errors: Floats
    volume: float
    azimuth: float
    fall: bool
    area: float
    stem_area: float
    seen: float
    plate: float
    crown: float
    left: float = 0.0


def find_stem(
    samples: Samples, gsd_m: float, mask_error_px: float, reach: float = REACH, longest: float = np.inf
) -> Stem:
    """Measure one tree; see ``table.measure``.

    Args:
        samples: Of the tree.
        gsd_m: Side of a pixel, m.
        mask_error_px: Of the outline.
        reach: Bends shorter than this share of the length are not followed; inf for a straight line, of which no fall
            is told.
        longest: The line is cut at both ends to this, m.
    """
    straight = _line_up(samples, gsd_m, reach)
    taper = fit_taper(straight, gsd_m)
    ends = find_ends(straight, taper, gsd_m)
    forward = base_first(taper, ends, 0.5 * mask_error_px * gsd_m) if np.isfinite(reach) else None
    first, last = ends if ends[0].at <= ends[1].at else ends[::-1]
    length = max(last.at - first.at, gsd_m)
    middle, length = first.at + length / 2, min(length, longest)
    at = middle + length * np.linspace(-0.5, 0.5, SECTIONS)
    if forward is None:
        start, end = straight.curve.point(at[[0, -1]])
        onward = azimuth(start, end) < 180
    else:
        onward = forward
    if not onward:
        at = at[::-1]
    along = np.abs(at - at[0])
    width = taper.width(at)
    line = straight.curve.point(at)
    # Where the fall is not known, the thicker end is called the base all the same: it is the likelier one.
    base, top = (at[0], at[-1]) if forward is not None or width[0] >= width[-1] else (at[-1], at[0])
    thick = float(taper.width(base))
    marks = base + (top - base) * np.array([BREAST, 0.5, 1.0])
    held = np.clip(np.minimum(straight.edges[1:], last.at) - np.maximum(straight.edges[:-1], first.at), 0, None)
    expected = taper.width(straight.at) * held / (straight.edges[1] - straight.edges[0])
    seen = float(np.minimum(straight.width, expected).sum() / max(expected.sum(), 1e-9))
    reach = lambda kind: sum(end.reach for end in (first, last) if end.kind == kind)  # noqa: E731
    return Stem(
        line=line, length=float(along[-1]), diameters=taper.width(marks), diameter_errors=taper.error(marks),
        volume=by_sections(along, width) + FLARE * length * np.pi / 4 * thick**2,
        azimuth=azimuth(line[0], line[-1]), fall=forward is not None, area=float(samples.area.sum()),
        stem_area=float((width[1:] + width[:-1]).sum() / 2 * length / (SECTIONS - 1)), seen=min(seen, 1.0),
        plate=reach(PLATE), crown=reach(CROWN),
    )  # fmt: skip


def _line_up(samples: Samples, gsd_m: float, reach: float) -> Straight:
    if not np.isfinite(reach):
        return straight_on(samples, gsd_m)
    straight = straighten(samples, gsd_m, reach)
    weights = middle_weights(straight, fit_taper(straight, gsd_m), gsd_m)
    return moved(samples, straight, weights, gsd_m, reach)
