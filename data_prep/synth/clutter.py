"""What lies about and is no fallen tree: stones, stumps, short logs' ends, heaps of slash."""

from __future__ import annotations

import numpy as np

from data_prep.synth import palette
from data_prep.synth.crowns import _noise, _patch
from data_prep.synth.grain import Floats, smoothstep, turns
from data_prep.synth.light import Sun, shifted_dark
from data_prep.synth.stamp import Stamp, press
from data_prep.synth.strokes import draw, scatter


def stone(rng: np.random.Generator, centre_xy: Floats, radius: float, sun: Sun) -> Stamp:
    """A boulder, mossy at times."""
    corner, shape, x, y = _patch(centre_xy, radius * 2 + 4)
    stretch, bend = rng.uniform(0.7, 1.4), _noise(rng, shape, max(3, radius))
    distance = np.sqrt(x * x * np.float32(stretch) + y * y / np.float32(stretch)) / np.float32(radius) + 0.16 * bend
    alpha = smoothstep(1.08, 0.92, distance) if radius > 4 else np.clip((1 - distance) * radius + 0.5, 0, 1)
    dome = np.sqrt(np.maximum(1 - distance * distance * 0.9, 0)) * np.float32(radius * 0.6)
    slope_y, slope_x = np.gradient(dome)
    level = 0.46 * sun.on(-slope_x, -slope_y) + 0.06 * _noise(rng, shape, 2.5)
    colour = palette.shade(palette.ramp(rng, palette.STONE), level)
    if rng.random() < 0.4:
        colour = colour + (palette.tint(rng, (84, 98, 60))[..., None] - colour) * smoothstep(0.2, 0.8, bend)
    return press(corner, colour, alpha, dark=shifted_dark(alpha, sun, 0.7 * radius))


def stump(rng: np.random.Generator, centre_xy: Floats, radius: float, sun: Sun) -> Stamp:
    """A sawn stump: a pale disc with a dark rim and root flares."""
    corner, shape, x, y = _patch(centre_xy, radius * 2.6 + 4)
    flare = np.abs((turns(x, y) * np.float32(rng.integers(3, 6))) % 1 - np.float32(0.5)) * 4 - 1
    distance = np.sqrt(x * x + y * y) / np.float32(radius)
    alpha = np.clip((np.float32(1.15) + np.float32(0.12) * flare - distance) * np.float32(radius) + 0.5, 0, 1)
    disc = np.clip((np.float32(0.85) - distance) * np.float32(radius) + 0.5, 0, 1)
    old = rng.random()
    bark, wood = palette.tint(rng, (92, 78, 64)), palette.tint(rng, (196, 172, 134))
    wood = wood + (palette.tint(rng, (130, 122, 108)) - wood) * np.float32(old)
    grain = 1 + np.float32(0.08) * _noise(rng, shape, 2)
    colour = (bark[..., None] + (wood - bark)[..., None] * disc) * grain
    return press(corner, colour, alpha, dark=shifted_dark(alpha, sun, 0.8 * radius))


def slash(rng: np.random.Generator, centre_xy: Floats, radius: float, sun: Sun) -> Stamp:
    """A heap of branches and tops, flat, that hides nothing but muddles everything."""
    corner, shape, x, y = _patch(centre_xy, radius * 1.6 + 6)
    count = int(radius * radius / 9) + 12
    start = (np.float32(centre_xy) - np.float32(corner)) + rng.normal(0, 0.42 * radius, (count, 2))
    main = rng.uniform(0, np.pi)
    angle = main + rng.normal(0, 0.5, count) + np.pi * rng.integers(0, 2, count)
    strokes = scatter(rng, count, start, angle, (0.2 * radius, 0.9 * radius), width=1.0, bend=0.15, tone=(0.45, 1.4))
    cover, tone = draw(shape, strokes)
    colour = palette.tint(rng, (134, 120, 108))[..., None] * tone * (1 + np.float32(0.06) * _noise(rng, shape, 3))
    shadow = smoothstep(1.1, 0.3, np.sqrt(x * x + y * y) / np.float32(radius)) * np.float32(0.4)
    return press(corner, colour, cover * np.float32(0.85), dark=np.maximum(shadow, shifted_dark(cover, sun, 2)),
                 mark=np.zeros(shape, np.uint8))  # fmt: skip
