"""Whether a centreline can be that of a fallen trunk."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import shapely

from tree_map.measuring.parts import as_parts, long_side, longest_limb
from tree_map.measuring.sections import Floats, Samples, samples
from tree_map.measuring.stem import Stem, find_stem

MOST_TURN = 90.0  # degrees in all, of a trunk whose outline does not follow the line closely
SHARPEST = 40.0  # degrees within three widths, of one whose outline does
LONGEST = 1.2  # of the outline's longest extent
STEPS = 15  # on which turns are counted
STIFF = 0.8  # of the length: shorter bends are not followed by the stiffer line
MOST_LEFT = 0.25  # of the outline, that the stiffer line may leave aside
ROUNDS = 4  # of cutting a limb to where its line keeps to the outline


def is_plausible(stem: Stem, outline: shapely.MultiPolygon) -> bool:
    """Whether the line keeps to its outline and turns no more than a trunk does, or the outline turns with it."""
    if outside(stem, outline):
        return False
    calm = turning(stem.line, STEPS).sum() <= MOST_TURN and stem.length <= LONGEST * long_side(outline)
    return calm or _is_ribbon(stem, outline)


def outside(stem: Stem, outline: shapely.MultiPolygon) -> list[shapely.LineString]:
    """Pieces of the line that lie farther than a width from the outline and are no straight bridge.

    A bridge leads from one part to another, hardly longer than the gap between them.
    """
    width = 0.95 * max(float(stem.diameters[1]), 1e-9)
    step = stem.length / (len(stem.line) - 1)
    if shapely.distance(outline, shapely.points(stem.line)).max() < width - step / 2:
        return []
    parts, line = shapely.get_parts(outline), shapely.LineString(stem.line)
    pieces = [piece for piece in shapely.get_parts(line.difference(outline.buffer(width))) if piece.length > 0]
    return [piece for piece in pieces if not _bridges(piece, parts, width)]


def _bridges(piece: shapely.LineString, parts: np.ndarray, width: float) -> bool:
    ends = shapely.points([piece.coords[0], piece.coords[-1]])
    a, b = (parts[shapely.distance(parts, end).argmin()] for end in ends)
    straight = piece.length <= 1.05 * ends[0].distance(ends[1])
    return a is not b and straight and piece.length <= 1.3 * a.distance(b) + 4 * width


def turning(line: Floats, steps: int) -> Floats:
    """Degrees between the steps of a line, (steps - 1,)."""
    at = np.append(0, np.cumsum(np.hypot(*np.diff(line, axis=0).T)))
    marks = np.linspace(0, at[-1], steps + 1)
    dx, dy = (np.diff(np.interp(marks, at, axis)) for axis in line.T)
    return np.abs(np.degrees(np.diff(np.unwrap(np.arctan2(dy, dx)))))


def _is_ribbon(stem: Stem, outline: shapely.MultiPolygon) -> bool:
    """Whether the outline is a smooth bent strip around the line."""
    width = float(stem.diameters[1])
    if abs(stem.stem_area / stem.area - 1) > 0.15 or len(outline.geoms) > 1:
        return False
    steps = int(np.clip(stem.length / (3 * width), 2, 40))
    if turning(stem.line, steps).max() > SHARPEST:
        return False
    line = shapely.LineString(stem.line)
    held = outline.intersection(line.buffer(0.8 * width)).area / outline.area
    return held > 0.95 and line.intersection(outline).length > 0.97 * line.length


def plausible_stem(
    whole: shapely.MultiPolygon, outline: shapely.MultiPolygon, pieces: Samples, gsd_m: float, mask_error_px: float
) -> Stem:
    """The stem in an outline: bent as it is, or stiffer, or else straight along its longest limb.

    Args:
        whole: Outline.
        outline: Its main parts.
        pieces: Samples of these.
        gsd_m: Side of a pixel, m.
        mask_error_px: Of the outline.
    """
    stem = find_stem(pieces, gsd_m, mask_error_px)
    if not is_plausible(stem, outline):
        stem = find_stem(pieces, gsd_m, mask_error_px, STIFF)
        left = _left(stem, outline)
        if left < MOST_LEFT and is_plausible(stem, outline):
            stem = replace(stem, left=left)
        else:
            stem = _straight_stem(outline, pieces, gsd_m, mask_error_px)
    return replace(stem, area=stem.area + whole.area - outline.area) if whole is not outline else stem


def _straight_stem(outline: shapely.MultiPolygon, pieces: Samples, gsd_m: float, mask_error_px: float) -> Stem:
    limb, longest = longest_limb(outline, pieces, gsd_m) or outline, LONGEST * long_side(outline)
    for _ in range(ROUNDS):
        (pieces,) = samples(np.array([limb], object), gsd_m)
        stem = find_stem(pieces, gsd_m, mask_error_px, np.inf, longest)
        bad = outside(stem, outline)
        smaller = _longest_stretch(stem, bad, limb) if bad else None
        if smaller is None:
            break
        limb = smaller
    return replace(stem, left=_left(stem, outline), area=outline.area)


def _longest_stretch(stem: Stem, bad: list[shapely.LineString], limb: shapely.MultiPolygon) -> shapely.Geometry | None:
    """What of a limb lies beside the longest stretch of its straight line that is not bad."""
    start = stem.line[0]
    way = (stem.line[-1] - start) / np.hypot(*(stem.line[-1] - start))
    cuts = np.sort([np.sort((np.asarray(piece.coords)[[0, -1]] - start) @ way) for piece in bad], axis=0).ravel()
    cuts = np.concatenate([[0], cuts, [stem.length]]).reshape(-1, 2)
    low, high = cuts[(cuts[:, 1] - cuts[:, 0]).argmax()]
    if high <= low:
        return None
    beside = shapely.LineString([start + low * way, start + high * way]).buffer(limb.length, cap_style='flat')
    return as_parts(limb.intersection(beside))


def _left(stem: Stem, outline: shapely.MultiPolygon) -> float:
    """Share of an outline that lies farther than a width from the line."""
    beside = shapely.LineString(stem.line).buffer(float(stem.diameters[1]))
    return float(np.clip(1 - outline.intersection(beside).area / outline.area, 0, 1))
