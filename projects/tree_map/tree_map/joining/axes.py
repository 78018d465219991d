"""Main axes of polygons from their exact second moments, and whether two of them run along one line."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import shapely
from numpy.typing import NDArray

ELONGATED = 2.5  # length by width from which an axis says where a piece points
MOST_BEND = np.deg2rad(30)  # of one trunk, from one end to the other
MOST_CHORD = np.deg2rad(15)  # between a trunk's stretch and the line on to another one, besides half the bend
STRAIGHT = 0.8  # mean width by width from which a piece has no bend
Floats = NDArray[np.floating]


@dataclass(frozen=True)
class Axes:
    """Rectangles with the moments of the polygons; arrays of one length n, pixels.

    Attributes:
        area: (n,).
        centre: Centroid, (n, 2).
        along: Unit vector of the longer axis, either way round, (n, 2).
        length: (n,), of a straight trunk that of the trunk.
        width: (n,); of a bent one its sagitta counts too.
        bounds: x0 y0 x1 y1, (n, 4).
    """

    area: Floats
    centre: Floats
    along: Floats
    length: Floats
    width: Floats
    bounds: Floats

    def __getitem__(self, rows: NDArray) -> Axes:
        return Axes(*(values[rows] for values in vars(self).values()))

    @property
    def thickness(self) -> Floats:
        """Mean width, which a bend does not change, (n,)."""
        return self.area / np.maximum(self.length, 1e-9)

    @property
    def elongated(self) -> NDArray[np.bool_]:
        """Whether the direction means something, (n,)."""
        return self.length >= ELONGATED * self.width

    @property
    def straight(self) -> NDArray[np.bool_]:
        """Whether long and without a bend that would turn one stretch of it from another, (n,)."""
        return self.elongated & (self.thickness >= STRAIGHT * self.width)


def main_axes(polygons: NDArray[np.object_]) -> Axes:
    """Axes of n valid polygons; those of an empty one are 0.

    A rectangle of length L and width W has second central moments A L^2 / 12 and A W^2 / 12; length and width are
    those of the rectangle with the polygon's moments. Moments of a ring by Green's theorem (Steger 1996, "On the
    calculation of arbitrary moments of polygons").
    """
    n = len(polygons)
    rings, row, outer = rings_of(polygons)
    xy, of_ring = shapely.get_coordinates(rings, return_index=True)
    bounds = shapely.bounds(polygons).reshape(n, 4)
    origin = np.nan_to_num(bounds[:, :2])
    xy -= origin[row[of_ring]]  # small numbers keep their digits
    inside = of_ring[1:] == of_ring[:-1]
    (x0, y0), (x1, y1) = xy[:-1][inside].T, xy[1:][inside].T
    cross = x0 * y1 - x1 * y0
    sums = [
        np.bincount(of_ring[1:][inside], term * cross, len(rings)) / by
        for term, by in (
            (1.0, 2), (x0 + x1, 6), (y0 + y1, 6), (x0 * x0 + x0 * x1 + x1 * x1, 12),
            (y0 * y0 + y0 * y1 + y1 * y1, 12), (x0 * y1 + 2 * x0 * y0 + 2 * x1 * y1 + x1 * y0, 24),
        )
    ]  # fmt: skip
    sign = np.where(outer, 1.0, -1.0) * np.sign(sums[0])  # whichever way round a ring runs
    area, mx, my, mxx, myy, mxy = (np.bincount(row, sign * value, n) for value in sums)
    whole = np.maximum(area, 1e-12)
    cx, cy = mx / whole, my / whole
    xx, yy, xy_ = mxx / whole - cx * cx, myy / whole - cy * cy, mxy / whole - cx * cy
    mean, spread = (xx + yy) / 2, np.hypot((xx - yy) / 2, xy_)
    angle = np.arctan2(2 * xy_, xx - yy) / 2
    return Axes(
        area=area,
        centre=np.stack([cx, cy], 1) + origin,
        along=np.stack([np.cos(angle), np.sin(angle)], 1),
        length=np.sqrt(12 * np.maximum(mean + spread, 0)),
        width=np.sqrt(12 * np.maximum(mean - spread, 0)),
        bounds=bounds,
    )


def rings_of(polygons: NDArray[np.object_]) -> tuple[NDArray[np.object_], NDArray[np.intp], NDArray[np.bool_]]:
    """Each ring, or the polygon itself where it has but one; the row of its polygon; whether it is no hole."""
    one = (shapely.get_type_id(polygons) == shapely.GeometryType.POLYGON) & (
        shapely.get_num_interior_rings(polygons) == 0
    )
    single, several = np.flatnonzero(one), np.flatnonzero(~one)
    parts, of_several = shapely.get_parts(polygons[several], return_index=True)
    rings, of_part = shapely.get_rings(parts, return_index=True)
    outer = np.append(np.ones(len(single), bool), np.diff(of_part, prepend=-1) != 0)
    return np.append(polygons[single], rings), np.append(single, several[of_several[of_part]]), outer


def turn(a: Axes, b: Axes) -> Floats:
    """Angle between the axes of pairs, 0..pi/2 radians, (n,)."""
    return np.arccos(np.clip(np.abs((a.along * b.along).sum(1)), 0, 1))


def sideways(a: Axes, b: Axes) -> tuple[Floats, Floats, Floats]:
    """How far b's axis lies beside a's where both run, at either end of that, (n,) each, and to which side, (n, 2)."""
    same_way = np.sign((a.along * b.along).sum(1))[:, None]
    along = a.along + np.where(same_way == 0, 1, same_way) * b.along
    along /= np.maximum(np.hypot(*along.T), 1e-12)[:, None]
    side = np.stack([-along[:, 1], along[:, 0]], 1)
    apart = b.centre - a.centre
    middle = (apart * along).sum(1)
    reach_a, reach_b = (axis.length / 2 * np.abs((axis.along * along).sum(1)) for axis in (a, b))
    low, high = np.maximum(-reach_a, middle - reach_b), np.minimum(reach_a, middle + reach_b)
    slope_a, slope_b = slope(a, along), slope(b, along)
    base = (apart * side).sum(1) - middle * slope_b
    return base + low * (slope_b - slope_a), base + high * (slope_b - slope_a), side


def slope(axes: Axes, along: Floats) -> Floats:
    """Sideways steps of the axes per step along the given directions, (n,)."""
    forward = (axes.along * along).sum(1)
    sideways = axes.along[:, 1] * along[:, 0] - axes.along[:, 0] * along[:, 1]
    return sideways / np.where(np.abs(forward) < 1e-6, 1e-6, forward)


def on_one_line(a: Axes, b: Axes) -> tuple[NDArray[np.bool_], Floats]:
    """Whether pairs that overlap run along one line (n,), and the step across it from a to b (n, 2).

    Two strips that cross lie far apart at the ends of what both cover, however much of them the crossing fills. A piece
    too short to point anywhere runs along every line, and no step is known for it.
    """
    low, high, side = sideways(a, b)
    limit = 2 + np.minimum(a.width, b.width) / 2
    straight = a.elongated & b.elongated
    step = np.where(straight, (low + high) / 2, 0.0)[:, None] * side
    return ~straight | (np.maximum(np.abs(low), np.abs(high)) <= limit), step


def alike(a: Axes, b: Axes) -> NDArray[np.bool_]:
    """Whether pairs are long, point the same way within 10 degrees (more where short), and are as thick, (n,)."""
    limit = np.deg2rad(10) + np.arctan(3 / np.maximum(np.minimum(a.length, b.length), 1))
    thin, thick = np.minimum(a.thickness, b.thickness), np.maximum(a.thickness, b.thickness)
    return a.elongated & b.elongated & (turn(a, b) <= limit) & (thin >= 0.6 * thick)


def one_after_another(a: Axes, b: Axes) -> NDArray[np.bool_]:
    """Whether pairs follow one another along one line, as two visible parts of one trunk do, (n,).

    Lenient: the trunk may bend. Neither reaches further than a tenth of its length past the other's end.
    """
    apart = b.centre - a.centre
    distance = np.maximum(np.hypot(*apart.T), 1e-9)
    towards = apart / distance[:, None]
    reach_a, reach_b = (axis.length / 2 * np.abs((axis.along * towards).sum(1)) for axis in (a, b))
    apart_enough = distance >= 0.9 * (reach_a + reach_b)
    straight = [np.abs((axis.along * towards).sum(1)) >= np.cos(np.deg2rad(15)) for axis in (a, b)]
    return apart_enough & (straight[0] | ~a.elongated) & (straight[1] | ~b.elongated) & (a.elongated | b.elongated)


def no_one_trunk(a: Axes, b: Axes) -> NDArray[np.bool_]:
    """Whether pairs of long pieces cannot be stretches of one bent trunk, (n,).

    They turn too far, or lie beside one another: of an arc, the chord between two stretches makes half the angle of
    the bend with each.
    """
    bend = turn(a, b)
    apart = b.centre - a.centre
    distance = np.hypot(*apart.T)
    chord = apart / np.maximum(distance, 1e-9)[:, None]
    off = [np.arccos(np.clip(np.abs((axis.along * chord).sum(1)), 0, 1)) for axis in (a, b)]
    beside = (distance > (a.length + b.length) / 4) & (np.minimum(*off) > MOST_CHORD + bend / 2)
    return (bend > MOST_BEND) | beside
