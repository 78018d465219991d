"""What covers the ground, as tiles of texture that continue over their edges: 8-bit levels, coloured later by a run."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from data_prep.synth.grain import Floats, fractal, periodic_noise
from data_prep.synth.strokes import Strokes, draw, scatter

Tile = NDArray[np.uint8]
TURN = 2 * np.pi


def make_tile(rng: np.random.Generator, name: str, side: int, zoom: float) -> Tile:
    """Texture of one material.

    Args:
        rng: Source of randomness.
        name: A key of MAKERS.
        side: Height and width in px.
        zoom: Pixels per 5 cm; grains and blades scale with it.

    Returns:
        (side, side) levels, mean about 128, deviation about 45.
    """
    values = MAKERS[name](rng, side, zoom)
    values = (values - values.mean()) / values.std()
    return np.clip(values * 46 + 128, 0, 255).astype(np.uint8)


def _strewn(
    rng: np.random.Generator,
    side: int,
    per_px: float,
    length: tuple[float, float],
    tone: tuple[float, float],
    **more: float,
) -> Strokes:
    count = int(side * side * per_px)
    return scatter(rng, count, rng.uniform(0, side, (count, 2)), (0, TURN), length, tone=tone, **more)


def _lay(values: Floats, strokes: Strokes, strength: float) -> Floats:
    """Lay strokes over a texture: tone above 1 lightens, below darkens."""
    cover, tone = draw(values.shape, strokes, wrap=True)
    return values * (1 - 0.7 * cover) + strength * cover * (tone - 1)


def _litter(rng: np.random.Generator, side: int, zoom: float) -> Floats:
    base = fractal(rng, side, [(40 * zoom, 0.5), (14 * zoom, 0.6), (6 * zoom, 0.6), (max(2, 2.5 * zoom), 0.7)])
    needles = _strewn(rng, side, 0.03 / zoom, (2 * zoom, 6 * zoom), (0.1, 2.0), width=1.0)
    twigs = _strewn(rng, side, 0.002 / zoom, (8 * zoom, 30 * zoom), (0.2, 2.2), width=0.9, bend=0.2)
    return _lay(_lay(base, needles, 2.0), twigs, 2.0)


def _moss(rng: np.random.Generator, side: int, zoom: float) -> Floats:
    lumps = fractal(rng, side, [(36 * zoom, 0.8), (16 * zoom, 0.8), (7 * zoom, 0.6), (max(2, 3 * zoom), 0.4)])
    return _lay(lumps, _strewn(rng, side, 0.004 / zoom, (2 * zoom, 5 * zoom), (0.2, 2.2), width=0.6), 1.5)


def _blades(rng: np.random.Generator, side: int, zoom: float, per_px: float) -> Strokes:
    """Grass, combed into locally common directions."""
    count = int(side * side * per_px / zoom)
    start = rng.uniform(0, side, (count, 2))
    comb = periodic_noise(rng, (side, side), (60 * zoom, 60 * zoom))
    angle = 4 * comb[start[:, 1].astype(int), start[:, 0].astype(int)] + rng.normal(0, 0.5, count)
    return scatter(rng, count, start, angle, (4 * zoom, 11 * zoom), width=0.8, bend=0.3, tone=(0.2, 2.0))


def _grass(rng: np.random.Generator, side: int, zoom: float) -> Floats:
    base = fractal(rng, side, [(50 * zoom, 0.7), (20 * zoom, 0.7), (8 * zoom, 0.7), (max(2, 3 * zoom), 0.5)])
    return _lay(base, _blades(rng, side, zoom, 0.05), 1.3)


def _straw(rng: np.random.Generator, side: int, zoom: float) -> Floats:
    base = fractal(rng, side, [(30 * zoom, 0.6), (12 * zoom, 0.6), (4 * zoom, 0.5)])
    return _lay(base, _blades(rng, side, zoom, 0.07), 1.6)


def _soil(rng: np.random.Generator, side: int, zoom: float) -> Floats:
    base = fractal(rng, side, [(44 * zoom, 0.8), (18 * zoom, 0.6), (6 * zoom, 0.4), (max(2, 2 * zoom), 0.5)])
    return _lay(base, _strewn(rng, side, 0.003, (1, 2.5 * zoom), (0.2, 2.4), width=1.2), 1.5)


def _brash(rng: np.random.Generator, side: int, zoom: float) -> Floats:
    base = fractal(rng, side, [(30 * zoom, 0.5), (9 * zoom, 0.6), (max(2, 3 * zoom), 0.6)])
    count = int(side * side * 0.007 / zoom)
    start = rng.uniform(0, side, (count, 2))
    comb = periodic_noise(rng, (side, side), (90 * zoom, 90 * zoom))
    angle = 3 * comb[start[:, 1].astype(int), start[:, 0].astype(int)] + rng.normal(0, 0.45, count)
    dark = _strewn(rng, side, 0.006 / zoom, (6 * zoom, 24 * zoom), (-0.6, 0.6), width=1.2)
    light = scatter(rng, count, start, angle, (10 * zoom, 46 * zoom), width=0.9, bend=0.12, tone=(0.8, 2.4))
    return _lay(_lay(base, dark, 1.4), light, 1.6)


MAKERS: dict[str, Callable[[np.random.Generator, int, float], Floats]] = {
    'litter': _litter,
    'moss': _moss,
    'grass': _grass,
    'straw': _straw,
    'soil': _soil,
    'brash': _brash,
}
