"""The shape of a fallen tree in scene pixels: stem, break, root plate, crown remnant, and its measures."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import shapely

from data_prep.synth.grain import Floats, unit

KNOTS = np.array([0, 0.025, 0.06, 0.12, *np.linspace(0.2, 1, 11)], np.float32)  # shares of the length


@dataclass(frozen=True)
class Stem:
    """A piece of a stem: centreline (K, 2) and radius (K,) in px, thick end first."""

    xy: Floats
    radius: Floats

    @property
    def side(self) -> Floats:
        """(K, 2) unit vectors across the stem."""
        along = np.gradient(self.xy.astype(np.float64), axis=0)
        along /= np.sqrt((along**2).sum(1, keepdims=True))
        return np.stack([-along[:, 1], along[:, 0]], 1).astype(np.float32)

    @property
    def at(self) -> Floats:
        """(K,) length along the centreline from the thick end, px."""
        steps = np.sqrt((np.diff(self.xy, axis=0) ** 2).sum(1))
        return np.concatenate([[0], np.cumsum(steps)]).astype(np.float32)

    def outline(self) -> shapely.Polygon:
        """Down one side and up the other."""
        offset = self.side * self.radius[:, None]
        return shapely.Polygon(np.concatenate([self.xy + offset, (self.xy - offset)[::-1]]))

    def between(self, start: float, end: float) -> Stem:
        """Part from `start` to `end`, in px from the thick end."""
        at = self.at
        inner = at[(at > start + 0.5) & (at < end - 0.5)]
        knots = np.concatenate([[start], inner, [end]])
        xy = np.stack([np.interp(knots, at, axis) for axis in self.xy.T], 1)
        return Stem(xy.astype(np.float32), np.interp(knots, at, self.radius).astype(np.float32))


@dataclass(frozen=True)
class FallenTree:
    """One fallen tree.

    Attributes:
        stems: One piece, or two where it broke; the second begins inside the end of the first.
        plate: Outline of the upturned root plate, or None.
        remnant: Outline of what is left of the crown, or None.
        bark: Key of ``palette.BARK``.
        branches: How many it still carries.
        lift_px: How high above the ground it lies.
    """

    stems: tuple[Stem, ...]
    plate: shapely.Polygon | None
    remnant: shapely.Polygon | None
    bark: str
    branches: int
    lift_px: float

    @cached_property
    def outline(self) -> shapely.Polygon:
        """The whole tree as one valid polygon, reaching outside the scene where the tree does."""
        parts = [stem.outline() for stem in self.stems] + [p for p in (self.plate, self.remnant) if p is not None]
        parts = [shapely.make_valid(part, method='structure', keep_collapsed=False) for part in parts]
        whole = shapely.union_all(parts)
        if whole.geom_type != 'Polygon':  # never by design; a hair between two parts is closed
            whole = whole.buffer(1.5).buffer(-1.5)
        return max(shapely.get_parts(whole), key=lambda part: part.area)

    @property
    def centreline(self) -> shapely.LineString:
        """Along the stem from base to top, over the break."""
        return shapely.LineString(np.concatenate([stem.xy for stem in self.stems]))

    @property
    def length_px(self) -> float:
        """Length of the pieces of the stem; what the break pushed aside is not counted twice."""
        return float(sum(stem.at[-1] for stem in self.stems))

    @property
    def azimuth(self) -> float:
        """Direction of fall: from base to top as the crow flies, degrees clockwise from north (up)."""
        x, y = (self.stems[-1].xy[-1] - self.stems[0].xy[0]).tolist()
        return math.degrees(math.atan2(x, -y)) % 360

    def diameters_px(self) -> tuple[float, float, float]:
        """At the base (above the flare, at 6 % of the length), in the middle and at the top."""
        starts = np.cumsum([0.0, *(float(stem.at[-1]) for stem in self.stems)])
        at = np.concatenate([stem.at + start for stem, start in zip(self.stems, starts, strict=False)])
        radius = np.concatenate([stem.radius for stem in self.stems])
        shares = np.array([0.06, 0.5, 1.0]) * self.length_px
        return tuple(float(2 * value) for value in np.interp(shares, at, radius))

    def volume_px3(self) -> float:
        """Stem volume: the sum of truncated cones h pi / 3 (R^2 + R r + r^2) between the knots of the centreline.

        The truncated cone is the frustum of a cone of Philip, Measuring Trees and Forests (1994), chapter 3; the same
        rule over long sections is known as the truncated-cone alternative to Smalian's h pi (R^2 + r^2) / 2.
        """
        total = 0.0
        for stem in self.stems:
            thick, thin = stem.radius[:-1].astype(float), stem.radius[1:].astype(float)
            total += float((np.diff(stem.at) * np.pi / 3 * (thick**2 + thick * thin + thin**2)).sum())
        return total


def grow(
    rng: np.random.Generator, base_xy: Floats, angle: float, px_per_m: float, longest_px: float, width: float
) -> FallenTree:
    """Choose a tree that fell from a base in a direction.

    Args:
        rng: Source of randomness.
        base_xy: (2,) px.
        angle: Radians in the image, x right, y down.
        px_per_m: Pixels per metre.
        longest_px: No stem is longer.
        width: Factor on diameters.
    """
    base_d = float(np.clip(rng.lognormal(np.log(0.43), 0.28), 0.2, 0.85)) * width
    snapped = rng.random() < 0.25  # the top lies elsewhere
    length = min(float(base_d * rng.uniform(28, 52) * (0.55 if snapped else 1) * px_per_m), longest_px)
    top = rng.uniform(0.5, 0.75) if snapped else rng.uniform(0.22, 0.45)
    broken = not snapped and rng.random() < 0.2
    stem = _bent(rng, base_xy, angle, length, base_d * px_per_m / 2, top)
    stems = _broken(rng, stem) if broken else (stem,)
    uprooted = rng.random() < 0.35
    crowned = not snapped and rng.random() < 0.22
    bark = str(rng.choice(['fresh', 'grey', 'bare', 'mossy', 'rotten'], p=[0.20, 0.38, 0.24, 0.11, 0.07]))
    many = crowned or (bark in ('fresh', 'grey') and rng.random() < 0.4)
    return FallenTree(
        stems=stems,
        plate=_plate(rng, stem, px_per_m * rng.uniform(1.6, 3.2) * base_d) if uprooted else None,
        remnant=_remnant(rng, stems[-1], px_per_m) if crowned else None,
        bark=bark,
        branches=int(rng.integers(18, 46) if many else rng.integers(0, 9)),
        lift_px=float(rng.gamma(1.5, 0.05) * px_per_m),
    )


def _bent(rng: np.random.Generator, base_xy: Floats, angle: float, length: float, radius: float, top: float) -> Stem:
    bow = float(np.clip(rng.normal(0, 0.018), -0.06, 0.06)) * 4 * KNOTS * (1 - KNOTS)
    sway = float(rng.normal(0, 0.004)) * np.sin(KNOTS * 3 * np.pi + rng.uniform(0, 6))
    along, side = unit(angle), unit(angle + np.pi / 2)
    xy = base_xy + length * (KNOTS[:, None] * along + np.round(bow + sway, 5)[:, None] * side)
    flare = 1 + rng.uniform(0.1, 0.4) * np.maximum(1 - KNOTS / 0.06, 0)
    return Stem(xy.astype(np.float32), (radius * (1 - (1 - top) * KNOTS) * flare).astype(np.float32))


def _broken(rng: np.random.Generator, stem: Stem) -> tuple[Stem, Stem]:
    """Break in two: the upper piece turns aside and is pushed sideways by less than the stem is thick."""
    at = float(stem.at[-1]) * rng.uniform(0.3, 0.7)
    lower, upper = stem.between(0, at), stem.between(at, float(stem.at[-1]))
    turn = rng.choice([-1, 1]) * rng.uniform(0.06, 0.45)
    (c, s), pivot = unit(turn), upper.xy[0]
    xy = (upper.xy - pivot) @ np.array([[c, s], [-s, c]], np.float32) + pivot
    push = float(upper.radius[0]) * rng.uniform(-0.7, 0.7)
    # back inside the lower piece, so that no gap opens at the bend
    xy = xy + push * lower.side[-1] - 0.6 * upper.radius[0] * unit(np.arctan2(*(xy[1] - xy[0])[::-1]))
    return lower, Stem(xy.astype(np.float32), upper.radius)


def _blob(rng: np.random.Generator, count: int, rough: float) -> Floats:
    """Radii of an uneven ring, mean about 1; (count,)."""
    ring = rng.normal(0, rough, count)
    return np.clip(1 + (ring + np.roll(ring, 1)) / 1.4, 0.6, 1.5).astype(np.float32)


def _plate(rng: np.random.Generator, stem: Stem, breadth: float) -> shapely.Polygon:
    """Disc of roots and earth that stands across the base, seen from above as a flat oval."""
    along = (stem.xy[1] - stem.xy[0]) / np.sqrt(((stem.xy[1] - stem.xy[0]) ** 2).sum())
    side = np.array([-along[1], along[0]])
    ring = unit(np.linspace(0, 2 * np.pi, 18, endpoint=False)) * _blob(rng, 18, 0.2)[:, None]
    breadth = max(breadth, 1.7 * float(stem.radius[0]))
    depth = max(breadth * rng.uniform(0.3, 0.7), 1.1 * float(stem.radius[0]))
    return shapely.Polygon(stem.xy[0] + ring[:, :1] * depth * along + ring[:, 1:] * breadth * side)


def _remnant(rng: np.random.Generator, stem: Stem, px_per_m: float) -> shapely.Polygon:
    """Drop-shaped outline of the branches at the thin end: broad below, pointed at the tip."""
    length = float(stem.at[-1])
    crown = stem.between(length * rng.uniform(0.4, 0.7), length)
    end = crown.xy[-1] + (crown.xy[-1] - crown.xy[-2]) / max(float(crown.at[-1] - crown.at[-2]), 1) * 0.4 * px_per_m
    half = min(rng.uniform(0.35, 0.85) * px_per_m, 0.25 * float(crown.at[-1]))
    xy = np.concatenate([crown.between(0, float(crown.at[-1])).xy, end[None]])
    share = np.linspace(0, 1, len(xy))
    bulge = np.interp(share, [0, 0.12, 0.3, 0.6, 0.85, 1], [0.3, 0.8, 1.0, 0.75, 0.4, 0.12])
    line = Stem(xy.astype(np.float32), np.ones(len(xy), np.float32))
    stemwide = np.interp(share, np.linspace(0, 1, len(crown.radius)), crown.radius)
    sides = [np.maximum(half * bulge * _blob(rng, len(xy), 0.16), stemwide)[:, None] * line.side for _ in range(2)]
    return shapely.Polygon(np.concatenate([xy + sides[0], (xy - sides[1])[::-1]]))
