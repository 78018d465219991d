"""The forest floor: materials that give way to each other at all scales, tracks with ruts, puddles, strewn twigs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from data_prep.synth import palette
from data_prep.synth.grain import Field, Floats, smoothstep, unit
from data_prep.synth.materials import MAKERS, make_tile
from data_prep.synth.strokes import Strokes, draw, scatter

BLOCK = 640  # columns computed at once, so that arrays stay in the cache: the side of the largest tiles
TWIG_TONES = ((176, 164, 150), (128, 108, 88))  # bleached and brown twigs


class Track:
    """A forest road or a skid trail: two ruts, a green strip between them, puddles where the ruts are deep."""

    def __init__(self, rng: np.random.Generator, size_wh: tuple[int, int], px_per_m: float):
        """Choose where it runs: roughly along an axis of the image, swinging."""
        self.down = rng.random() < 0.5  # runs from the top edge to the bottom edge
        length, breadth = size_wh[::-1] if self.down else size_wh
        self.knots = (rng.uniform(0.1, 0.9) + np.cumsum(rng.normal(0, 0.09, 9))) * breadth
        self.knot_px = length / 8
        slope = np.abs(np.diff(self.knots)).mean() / self.knot_px
        self.stretch = np.float32(1 / np.sqrt(1 + slope * slope))
        self.gauge, self.rut = rng.uniform(0.8, 1.1) * px_per_m, rng.uniform(0.25, 0.45) * px_per_m
        self.wear = rng.uniform(0.5, 1.0)

    def worn(self, top: int, left: int, rough: Floats) -> tuple[Floats, Floats]:
        """Wear of the ruts and cover of the whole track, both 0..1 and of the shape of `rough` (height, width)."""
        rows, columns = (np.arange(low, low + n) for low, n in zip((top, left), rough.shape, strict=True))
        along, across = (rows, columns) if self.down else (columns, rows)
        line = np.interp(along, np.arange(9) * self.knot_px, self.knots).astype(np.float32)
        across = across.astype(np.float32)
        offset = across[None, :] - line[:, None] if self.down else across[:, None] - line[None, :]
        distance = np.abs(offset) * self.stretch + rough * np.float32(0.35 * self.rut)
        ruts = 1 - smoothstep(self.rut * 0.6, self.rut * 1.5, np.abs(distance - self.gauge))
        whole = 1 - smoothstep(self.gauge + self.rut, self.gauge + 2.5 * self.rut, distance)
        return ruts * np.float32(self.wear), whole * np.float32(self.wear)


@dataclass(frozen=True)
class Material:
    """One cover of the ground.

    Attributes:
        name: A key of ``materials.MAKERS``.
        colour: (3, side, side) tile, 0-255.
        height: (side, side) of the same tile: where it is high, it lies over other materials.
        field: Where in the scene there is more of it.
    """

    name: str
    colour: Floats
    height: Floats
    field: Field


class Ground:
    """Everything flat, computed for bands of rows."""

    def __init__(self, rng: np.random.Generator, size_wh: tuple[int, int], zoom: float, brash: float):
        """Draw tiles, fields, tracks and twigs of a scene.

        Args:
            rng: Source of randomness.
            size_wh: Width and height of the canvas in px.
            zoom: Pixels per 5 cm.
            brash: Factor on twigs and brash.
        """
        sides = np.clip(np.array([5, 6, 7, 8, 9, 10]) * max(size_wh) // 32 * 4, 128, 1280)
        liking = dict(zip(MAKERS, rng.dirichlet((2.2, 2.6, 2.4, 1.2, 0.7, 1.0)), strict=True))
        self.materials = []
        for (name, share), side in zip(liking.items(), sides, strict=True):
            tile = make_tile(rng, name, int(min(side, 640)), zoom)
            octaves = [(cell * zoom, weight) for cell, weight in ((700, 0.5), (220, 0.55), (70, 0.45), (24, 0.35))]
            field = Field(rng, size_wh, octaves)
            bias = 1.9 * (share - 1 / 6) + (0.12 * (brash - 1) if name == 'brash' else 0)
            # Light grains reach further over the border than dark gaps, so that borders are as ragged as the texture.
            relief = (tile.astype(np.float32) - 128) * np.float32(0.004) + np.float32(bias + 0.35)
            colour = palette.ramp(rng, palette.GROUND[name])[:, tile]
            self.materials.append(Material(name, colour, relief, field))
        self.relief = Field(
            rng, size_wh, [(900 * zoom, 0.07), (160 * zoom, 0.08), (36 * zoom, 0.07), (12 * zoom, 0.04)]
        )
        self.hue = Field(rng, size_wh, [(500 * zoom, 0.03), (90 * zoom, 0.03)])
        area = size_wh[0] * size_wh[1]
        tracks = int(rng.random() < 0.45) + int(area > 6e6)
        self.tracks = [Track(rng, size_wh, 20 * zoom) for _ in range(tracks)]
        self.water = palette.tint(rng, (96, 100, 98))
        self.twigs = _twigs(rng, size_wh, zoom, int(area * 0.0018 * brash / zoom / zoom))
        self.twig_colour = [palette.tint(rng, tone) for tone in TWIG_TONES]

    def rows(self, top: int, height: int, width: int) -> Floats:
        """Colours (3, height, width), 0-255, of rows `top` on."""
        colour = np.empty((3, height, width), np.float32)
        for left in range(0, width, BLOCK):
            self._cover(colour[:, :, left : left + BLOCK], top, left)
        self._lay_twigs(colour, top)
        return colour

    def _cover(self, colour: Floats, top: int, left: int) -> None:
        """Fill a block (3, h, w) whose first pixel is at row `top` and column `left` of the scene."""
        block = (top, left, *colour.shape[1:])
        weights = self._weights(*block)
        colour[:] = 0
        for material, weight in zip(self.materials, weights, strict=True):
            colour += _tiled(material.colour, *block) * weight
        light, hue = 1 + self.relief.part(*block), self.hue.part(*block)
        light /= sum(weights)
        for plane, factor in zip(colour, (light * (1 + hue), light, light * (1 - hue)), strict=True):
            plane *= factor
        self._puddles(colour, top, left)

    def _weights(self, top: int, left: int, height: int, width: int) -> list[Floats]:
        """How much of each pixel each material covers; they do not add up to 1."""
        block, weights = (top, left, height, width), []
        for material in self.materials:
            weight = material.field.part(*block) + _tiled(material.height, *block)
            weight = np.maximum(weight, np.float32(0.001), out=weight)
            weight *= weight
            weight *= weight
            weights.append(weight)
        names = [material.name for material in self.materials]
        for track in self.tracks:
            ruts, whole = track.worn(top, left, weights[0] - weights[1])
            for name, weight in zip(names, weights, strict=True):
                weight *= 1 - (ruts if name in ('soil', 'grass', 'straw') else np.maximum(ruts, 0.8 * whole))
            weights[names.index('soil')] += ruts * 3
            weights[names.index('grass')] += np.maximum(whole - ruts, 0) * np.float32(0.6)
        return weights

    def _puddles(self, colour: Floats, top: int, left: int) -> None:
        for track in self.tracks:
            deep = self.hue.part(top + 40, left, *colour.shape[1:])
            ruts, _ = track.worn(top, left, deep)
            wet = smoothstep(0.5, 0.8, ruts * smoothstep(0.02, 0.06, deep)) * np.float32(0.8)
            colour += (self.water[..., None] - colour) * wet

    def _lay_twigs(self, colour: Floats, top: int) -> None:
        height = colour.shape[1]
        reach = float(self.twigs.length.max(initial=0))
        y = self.twigs.start_xy[:, 1]
        near = self.twigs.take((y > top - reach) & (y < top + height + reach))
        near = Strokes(
            near.start_xy - np.float32([0, top]), *(getattr(near, n) for n in list(near.__dataclass_fields__)[1:])
        )
        for part, tone in ((near.tone >= 1, 0), (near.tone < 1, 1)):
            # As many points on a twig in one band as in the next, which may draw the rest of it.
            cover, tones = draw(colour.shape[1:], near.take(part), longest=reach)
            colour += (self.twig_colour[tone][..., None] * tones - colour) * (cover * np.float32(0.75))


def _tiled(tile: Floats, top: int, left: int, height: int, width: int) -> Floats:
    """Part of the plane (..., height, width) that is covered with a tile (..., side, side) again and again."""
    side = tile.shape[-1]
    for axis, first, count in ((-2, top % side, height), (-1, left % side, width)):
        if first + count <= side:
            tile = tile[..., first : first + count, :] if axis == -2 else tile[..., first : first + count]
        else:
            tile = np.take(tile, np.arange(first, first + count) % side, axis)
    return tile


def _twigs(rng: np.random.Generator, size_wh: tuple[int, int], zoom: float, count: int) -> Strokes:
    """Single twigs and branches, some in fans that broke off together."""
    start = rng.uniform(0, 1, (count, 2)) * size_wh
    fans = rng.integers(0, max(1, count // 14), count)
    in_fan = rng.random(count) < 0.55
    centre = rng.uniform(0, 1, (max(1, count // 14), 2)) * size_wh
    heading = rng.uniform(0, 2 * np.pi, len(centre))[fans]
    along = rng.uniform(0, 44 * zoom, count)[:, None] * unit(heading)
    start = np.where(in_fan[:, None], centre[fans] + along + rng.normal(0, 3 * zoom, (count, 2)), start)
    angle = np.where(in_fan, heading + rng.normal(0, 0.6, count), rng.uniform(0, 2 * np.pi, count))
    length = rng.gamma(2.0, 9.0 * zoom, count) + 4 * zoom
    return scatter(rng, count, start, angle, np.minimum(length, 70 * zoom), width=1.1, tone=(0.6, 1.3))
