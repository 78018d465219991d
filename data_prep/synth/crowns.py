"""What stands: living crowns, dead trees, shrubs, ferns and tussocks, each a small relief lit by the sun."""

from __future__ import annotations

import numpy as np

from data_prep.synth import palette
from data_prep.synth.grain import Floats, periodic_noise, smoothstep, turns, unit
from data_prep.synth.light import Sun, shifted_dark
from data_prep.synth.stamp import Stamp, pixel_grid, press
from data_prep.synth.strokes import draw, scatter

AROUND = 256  # entries of a table around a crown


def living_crown(rng: np.random.Generator, centre_xy: Floats, radius: float, sun: Sun, kind: str) -> Stamp:
    """A crown from above.

    Args:
        rng: Source of randomness.
        centre_xy: (2,) px.
        radius: Mean radius, px.
        sun: Of the scene.
        kind: Key of ``palette.LEAVES``; spruce and pine carry radial branches, the others are heaps.
    """
    corner, shape, x, y = _patch(centre_xy, radius * 1.3 + 4)
    x, y = _stretched(rng, x, y)
    distance = np.sqrt(x * x + y * y) / np.float32(radius)
    fine = _noise(rng, shape, 2.2)
    bend = _noise(rng, shape, max(5, radius / 3))
    needles = kind in ('spruce', 'pine')
    fringe = rng.uniform(0.2, 0.4)
    clumps = (_boughs if needles else _heaps)(rng, x, y, distance, radius, bend)
    lobes = (
        periodic_noise(rng, (4, AROUND), (4, AROUND / 6))[0]
        + periodic_noise(rng, (4, AROUND), (4, AROUND / 17))[0] * np.float32(0.7)
        + periodic_noise(rng, (4, AROUND), (4, AROUND / 41))[0] * np.float32(0.6 if needles else 0.2)
    )
    lobes = lobes[(turns(x, y) * (AROUND - 1)).astype(np.int32)]
    # Boughs reach out and let the ground be seen between them: the outer third is cut by them.
    edge = np.float32(0.96) + np.float32(0.14) * lobes + np.float32(0.06) * bend - distance
    edge += np.float32(fringe) * (clumps - np.float32(0.42))
    alpha = smoothstep(0, 0.2, np.minimum(edge + np.float32(0.06) * fine, 2 * (np.float32(1.28) - distance)))
    dome = np.maximum(1 - distance * distance, 0) if kind != 'spruce' else np.maximum(1 - distance, 0)
    relief = np.float32(0.55) * dome + np.float32(min(0.3, 3.5 / radius)) * clumps
    slope_y, slope_x = np.gradient(relief * np.float32(radius))
    light = sun.on(-slope_x, -slope_y)
    level = 0.14 + 0.28 * (light - 1) + 0.18 * dome + 0.52 * clumps + 0.08 * fine + 0.09 * bend
    run = palette.ramp(rng, palette.LEAVES[kind], 0.10)
    return press(corner, palette.shade(run, level), alpha, dark=shifted_dark(alpha, sun, 0.25 * radius))


def _patch(centre_xy: Floats, reach: float) -> tuple[tuple[int, int], tuple[int, int], Floats, Floats]:
    corner = tuple(int(v) for v in np.floor(centre_xy - reach))
    side = int(2 * reach) + 2
    x, y = pixel_grid(corner, (side, side))
    return corner, (side, side), x - centre_xy[0] + 0 * y, y - centre_xy[1] + 0 * x


def _stretched(rng: np.random.Generator, x: Floats, y: Floats) -> tuple[Floats, Floats]:
    """Coordinates in which an oval crown of the same area is round."""
    (c, s), stretch = unit(rng.uniform(0, np.pi)), np.float32(round(float(rng.uniform(0.82, 1.0)), 4))
    return (x * c + y * s) * stretch, (y * c - x * s) / stretch


def _noise(rng: np.random.Generator, shape: tuple[int, int], cell: float) -> Floats:
    return periodic_noise(rng, shape, (cell, cell))


def _cells(rng: np.random.Generator, u: Floats, v: Floats, period: int) -> Floats:
    """Rounded cells, one around a random point in each unit square: 1 at its point, 0 on its border; `u` may wrap."""
    at = rng.uniform(0.15, 0.85, (2, 64, period)).astype(np.float32)
    left, top = np.floor(u - np.float32(0.5)).astype(np.int32), np.floor(v - np.float32(0.5)).astype(np.int32)
    nearest = np.full(u.shape, 2, np.float32)
    for column in (left, left + 1):
        for row in (top, top + 1):
            key = (row % 64) * period + column % period
            du, dv = column + at[0].ravel()[key] - u, row + at[1].ravel()[key] - v
            nearest = np.minimum(nearest, du * du + dv * dv)
    return np.maximum(1 - np.float32(1.7) * nearest, 0)


def _boughs(rng: np.random.Generator, x: Floats, y: Floats, distance: Floats, radius: float, bend: Floats) -> Floats:
    """Boughs of needles that point away from the top, 0..1."""
    around = turns(x, y) + np.float32(0.03) * bend
    number = int(np.clip(radius * rng.uniform(0.4, 0.6), 9, 26))
    out = distance * np.float32(radius / rng.uniform(9, 14))
    boughs = _cells(rng, around * number, out, number)
    twigs = _cells(rng, around * (2 * number + 1), out * np.float32(2.2), 2 * number + 1)
    return np.float32(0.6) * boughs + np.float32(0.4) * twigs


def _heaps(rng: np.random.Generator, x: Floats, y: Floats, distance: Floats, radius: float, bend: Floats) -> Floats:
    """Rounded heaps of leaves, 0..1."""
    size = np.float32(rng.uniform(11, 18))
    u, v = x / size + np.float32(0.5) * bend + 32, y / size + np.float32(0.5) * bend[::-1] + 32
    scales = ((0.40, 1.0), (0.35, 2.1), (0.30, 3.7))
    return sum(np.float32(weight) * _cells(rng, u * np.float32(k), v * np.float32(k), 64) for weight, k in scales)


def dead_tree(rng: np.random.Generator, centre_xy: Floats, radius: float, sun: Sun) -> Stamp:
    """A standing dead tree: pale bare branches around a top."""
    corner, shape, x, y = _patch(centre_xy, radius * 1.3 + 4)
    count = int(np.clip(radius * rng.uniform(3.0, 6.0), 30, 260))
    middle = np.float32(centre_xy) - np.float32(corner)
    lean = rng.normal(0, 0.15, 2) * radius
    angle = rng.uniform(0, 2 * np.pi, count)
    inner = np.sqrt(rng.uniform(0, 0.3, count))
    start = middle + lean * (1 - inner[:, None]) + unit(angle + rng.normal(0, 0.5, count)) * (inner * radius)[:, None]
    uneven = 1 + 0.25 * periodic_noise(rng, (4, AROUND), (4, 40))[0][(angle / 2 / np.pi * AROUND).astype(int) % AROUND]
    length = radius * rng.uniform(0.35, 1.05, count) * uneven * (1 - 0.75 * inner)
    boughs = scatter(rng, count, start, angle, length, width=max(0.8, radius / 32), bend=0.28, tone=(0.45, 1.3))
    points, _, share = boughs.points()
    pick = rng.integers(0, len(share), (count, 2))
    forks = points[np.arange(count)[:, None], pick].reshape(-1, 2)
    twig_angle = np.repeat(angle, 2) + rng.normal(0, 0.7, 2 * count)
    twigs = scatter(rng, 2 * count, forks, twig_angle, (0.1 * radius, 0.35 * radius), width=0.7, tone=(0.6, 1.15))
    cover, tone = draw(shape, twigs)
    thick, thick_tone = draw(shape, boughs)
    tone = tone + (thick_tone - tone) * thick
    distance = np.sqrt((x - lean[0]) ** 2 + (y - lean[1]) ** 2) / np.float32(radius)
    veil = np.clip(1.15 - distance, 0, 1) * np.float32(0.8)
    alpha = np.clip(np.maximum(np.maximum(cover * 0.7, thick * 0.9), veil), 0, 1)
    ink = np.maximum(np.float32(0.7) * cover, thick)
    side = 1 + np.float32(0.15 * sun.strength) * (x * sun.towards[0] + y * sun.towards[1]) / np.float32(radius)
    level = (0.26 + 0.46 * ink * tone + 0.12 * np.clip(1 - distance, 0, 1) + 0.05 * _noise(rng, shape, 4)) * side
    return press(corner, palette.shade(palette.ramp(rng, palette.DEAD_WOOD, 0.07), level), alpha,
                 dark=shifted_dark(alpha, sun, 0.25 * radius) * np.float32(0.8))  # fmt: skip


def fern(rng: np.random.Generator, centre_xy: Floats, radius: float, sun: Sun, kind: str) -> Stamp:
    """A tuft of fronds or blades around a middle."""
    corner, shape, x, y = _patch(centre_xy, radius * 1.3 + 3)
    count = int(rng.integers(12, 30))
    start = np.repeat((np.float32(centre_xy) - np.float32(corner))[None], count, 0) + rng.normal(
        0, radius / 6, (count, 2)
    )
    fronds = scatter(
        rng, count, start, (0, 2 * np.pi), (0.5 * radius, 1.1 * radius), width=1.3, bend=0.35, tone=(0.5, 1.4)
    )
    cover, tone = draw(shape, fronds)
    core = np.clip(1 - np.sqrt(x * x + y * y) / np.float32(radius * 0.7), 0, 1)
    alpha = np.clip(np.maximum(cover, core * 1.2), 0, 1)
    level = 0.10 + 0.26 * cover * tone + 0.1 * core
    run = palette.ramp(rng, palette.GROUND['grass'] if kind == 'grass' else palette.LEAVES[kind], 0.08)
    return press(
        corner, palette.shade(run, level), alpha, dark=shifted_dark(alpha, sun, 0.2 * radius) * np.float32(0.7)
    )
