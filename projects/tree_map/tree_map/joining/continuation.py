"""Ends that windows cut, and which of them continue one another where no window saw both sides of the cut."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import shapely
from numpy.typing import NDArray

from tree_map.joining.axes import Axes, main_axes, turn
from tree_map.joining.seams import cut_sides
from tree_map.joining.settings import JoinSettings
from tree_map.pieces import Pieces

SEEN_PX = 16  # an end this deep inside another window can be compared there, mask with mask
SECTION_PX = 2.0  # depth of the last slice of a tip
TOUCH_PX = 4.0  # cuts this near lie on one border
OVERLAP = 0.5  # IoU of two intervals on one border
OUTWARD = np.array([[-1, 0], [0, -1], [1, 0], [0, 1]], float)  # of the sides x0 y0 x1 y1
Rows = NDArray[np.intp]
Floats = NDArray[np.floating]


@dataclass(frozen=True)
class Ends:
    """Places where a window cut a piece; arrays of one length.

    Attributes:
        rows: Of the piece.
        sides: Of its window that cuts, 0..3 for x0 y0 x1 y1.
        section: x0 y0 x1 y1 of what lies at the border, (n, 4).
        centre: Middle of that, on the border, (n, 2).
        tips: Axes of the last stretch of the piece.
        outward: Direction in which the tip leaves the window, (n, 2).
    """

    rows: Rows
    sides: Rows
    section: Floats
    centre: Floats
    tips: Axes
    outward: Floats

    def __getitem__(self, rows: NDArray) -> Ends:
        return Ends(*(getattr(self, name)[rows] for name in vars(self)))


def continuations(
    pieces: Pieces, axes: Axes, kept: NDArray[np.bool_], settings: JoinSettings
) -> tuple[Rows, Rows, Floats]:
    """Pairs of pieces that continue one another, the lower row first, and how well (0..0.1, (n,)).

    Each end has one partner at most, the one that lies best on its line.
    """
    ends = bare_ends(pieces, axes, cut_sides(pieces, axes, settings.cut_px) & kept[:, None])
    if len(ends.rows) < 2:
        return np.empty(0, int), np.empty(0, int), np.empty(0)
    section = shapely.box(*ends.section.T)
    a, b = shapely.STRtree(section).query(section, predicate='dwithin', distance=settings.max_gap_px)
    first, second = ends.rows[a], ends.rows[b]
    possible = (first < second) & (pieces.labels[first] == pieces.labels[second])
    possible &= pieces.windows[first] != pieces.windows[second]
    a, b = a[possible], b[possible]
    aside = np.minimum(off_line(ends[a], ends[b], settings), off_border(ends[a], ends[b]))
    a, b, aside = one_to_one(a, b, aside)
    return ends.rows[a], ends.rows[b], 0.1 / (1 + aside)


def bare_ends(pieces: Pieces, axes: Axes, cut: NDArray[np.bool_]) -> Ends:
    """Ends that no other window shows with what lies beyond them."""
    rows, sides = np.nonzero(cut)
    xywh = pieces.windows_xywh.astype(float)
    border = np.hstack([xywh[:, :2], xywh[:, :2] + xywh[:, 2:]])[pieces.windows[rows], sides]
    gap = np.abs(axes.bounds[rows, sides] - border)
    box = shapely.bounds(shapely.intersection(pieces.polygons[rows], strips(pieces, rows, sides, gap + SECTION_PX)))
    centre = (box[:, :2] + box[:, 2:]) / 2
    centre[np.arange(len(rows)), sides % 2] = border
    inner = shapely.box(*(xywh[:, :2] + SEEN_PX).T, *(xywh[:, :2] + xywh[:, 2:] - SEEN_PX).T)
    known = shapely.STRtree(inner).query(shapely.points(np.nan_to_num(centre, nan=-1e9)), predicate='intersects')[0]
    bare = np.isfinite(centre).all(1)
    bare[known] = False
    rows, sides, box, centre = rows[bare], sides[bare], box[bare], centre[bare]
    depth = np.clip(4 * axes.thickness[rows], 32, 128)
    tips = main_axes(shapely.intersection(pieces.polygons[rows], strips(pieces, rows, sides, depth)))
    forward = np.where((tips.along * OUTWARD[sides]).sum(1) < 0, -1.0, 1.0)
    return Ends(rows, sides, box, centre, tips, tips.along * forward[:, None])


def strips(pieces: Pieces, rows: Rows, sides: Rows, depth: Floats) -> NDArray[np.object_]:
    """Boxes along the inside of the given sides of the windows of pieces, as deep as given."""
    xywh = pieces.windows_xywh[pieces.windows[rows]].astype(float)
    box = np.hstack([xywh[:, :2], xywh[:, :2] + xywh[:, 2:]])
    each = np.arange(len(rows))
    box[each, (sides + 2) % 4] = box[each, sides] - OUTWARD[sides].sum(1) * depth
    return shapely.box(*box.T)


def off_line(a: Ends, b: Ends, settings: JoinSettings) -> Floats:
    """How far b's end lies beside the line of a's and b's tips, pixels; infinite where they do not face one another."""
    limit = np.deg2rad(settings.max_turn_deg) + np.arctan(2 / np.maximum(np.minimum(a.tips.length, b.tips.length), 1))
    line = a.outward - b.outward
    line /= np.maximum(np.hypot(*line.T), 1e-9)[:, None]
    apart = b.centre - a.centre
    aside = np.abs(apart[:, 0] * line[:, 1] - apart[:, 1] * line[:, 0])
    thin, thick = np.minimum(a.tips.thickness, b.tips.thickness), np.maximum(a.tips.thickness, b.tips.thickness)
    facing = a.tips.elongated & b.tips.elongated & ((a.outward * b.outward).sum(1) < 0)
    facing &= (turn(a.tips, b.tips) <= limit) & (np.abs((apart * line).sum(1)) <= settings.max_gap_px)
    facing &= (thin >= settings.min_width_ratio * thick) & (aside <= 2 + thin / 4)
    return np.where(facing, aside, np.inf)


def off_border(a: Ends, b: Ends) -> Floats:
    """How far the middles of two cuts on one border lie apart, pixels; infinite where they are not one cut.

    For ends too short to point anywhere, and for trunks that run along a border.
    """
    along, across = 1 - a.sides % 2, a.sides % 2
    each = np.arange(len(along))
    low = [ends.section[each, along] for ends in (a, b)]
    high = [ends.section[each, along + 2] for ends in (a, b)]
    shared = np.minimum(*high) - np.maximum(*low)
    whole = np.maximum(np.maximum(*high) - np.minimum(*low), 1e-9)
    apart = np.abs(b.centre - a.centre)
    one_cut = ((a.sides + 2) % 4 == b.sides) & (apart[each, across] <= TOUCH_PX) & (shared >= OVERLAP * whole)
    crossing = a.tips.elongated & b.tips.elongated & (turn(a.tips, b.tips) > np.deg2rad(15))
    return np.where(one_cut & ~crossing, apart[each, along], np.inf)


def one_to_one(a: Rows, b: Rows, aside: Floats) -> tuple[Rows, Rows, Floats]:
    """Pairs of ends taken from the nearest up, each end once."""
    taken: set[int] = set()
    chosen = []
    for index in np.lexsort((b, a, aside)):
        if not np.isfinite(aside[index]):
            break
        if a[index] not in taken and b[index] not in taken:
            taken.update((a[index], b[index]))
            chosen.append(index)
    return a[chosen], b[chosen], aside[chosen]
