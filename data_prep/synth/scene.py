"""One scene: everything chosen from its seed, then drawn in bands of rows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from data_prep.synth.camera import Camera
from data_prep.synth.ground import Ground
from data_prep.synth.layout import Item, Layout, lay_out
from data_prep.synth.light import Sun
from data_prep.synth.settings import DESIGN_GSD_M, DIFFICULTIES, Options
from data_prep.synth.stamp import Canvas, Stamp

BAND = 128  # rows; a multiple of 16, so that JPEG blocks do not notice
TREES_PER_MPX = (5, 16)  # at 5 cm
TREES = (11, 140)
SUNLESS_RGB = np.float32([0.34, 0.40, 0.47])  # what the sky alone gives: dim and blue
# First numbers of the seeds of what is drawn, so that one part can change without the others.
PLAN, GROUND, THINGS, GRAIN = range(4)


@dataclass(frozen=True)
class Band:
    """Rows from `top` on: picture (3, H, W), 8-bit, and the number of the tree seen in each pixel (H, W)."""

    top: int
    rgb: NDArray[np.uint8]
    trees: NDArray[np.int32]


class Scene:
    """What is in a scene; nothing is drawn before ``bands``."""

    def __init__(self, options: Options, index: int):
        """Choose everything.

        Args:
            options: Of the run.
            index: Of the scene, from 0. No other scene and no number of scenes plays a part.
        """
        self._seed = (options.seed, index)
        rng = self._rng(PLAN)
        self.size_wh = tuple(int(rng.integers(low, high + 1)) for low, high in (options.width_px, options.height_px))
        self.gsd_m = round(float(rng.uniform(*options.gsd_m)), 4)
        level = DIFFICULTIES[options.difficulty]
        self.sun = Sun.draw(rng)
        self.camera = Camera.draw(rng, self.size_wh, level.blur_noise)
        count = _tree_count(rng, options, self.size_wh[0] * self.size_wh[1] * (self.gsd_m / DESIGN_GSD_M) ** 2)
        self.layout: Layout = lay_out(rng, self.size_wh, self.gsd_m, count, level, self.sun)
        self._brash = level.brash

    def _rng(self, *numbers: int) -> np.random.Generator:
        return np.random.default_rng((*self._seed, *numbers))

    def bands(self) -> Iterator[Band]:
        """Draw the scene from top to bottom; only things that meet the band at hand are held."""
        width, height = self.size_wh
        drawn = _Drawn(self)
        ground = Ground(self._rng(GROUND), self.size_wh, DESIGN_GSD_M / self.gsd_m, self._brash)
        for number, top in enumerate(range(0, height, BAND)):
            rows, halo = min(BAND, height - top), self.camera.halo
            canvas = self._canvas(ground, drawn, top - halo, rows + 2 * halo)
            rgb, trees = self.camera.shift(canvas.rgb, canvas.trees, canvas.top)
            spare = halo - self.camera.blur[1]
            picture = self.camera.develop(
                self._rng(GRAIN, number), rgb[:, spare : spare + rows + 2 * self.camera.blur[1]]
            )
            blind = self.camera.no_picture(top, rows, width)
            picture[:, blind] = 0
            yield Band(top, picture, np.where(blind, 0, trees[halo : halo + rows]))

    def _canvas(self, ground: Ground, drawn: _Drawn, top: int, height: int) -> Canvas:
        width = self.size_wh[0]
        flat = np.zeros((height, width), np.float32)
        canvas = Canvas(top, ground.rows(top, height, width), np.zeros((height, width), np.int32), flat)
        layout = self.layout
        for part in (layout.under, layout.fallen, layout.over):
            for stamp in drawn.meeting(part, top, top + height):
                stamp.paint(canvas)
        for stamp in drawn.meeting(layout.shadows, top, top + height):
            stamp.cast(canvas)
        for plane, sky in zip(canvas.rgb, SUNLESS_RGB, strict=True):
            plane *= 1 - canvas.sunless * (1 - sky)
        for stamp in drawn.meeting(layout.standing, top, top + height):
            stamp.paint(canvas)
        return canvas


class _Drawn:
    """Stamps of the things that meet the rows at hand."""

    def __init__(self, scene: Scene):
        self._rng, self._overlap = scene._rng, 2 * scene.camera.halo
        parts = (
            scene.layout.under,
            scene.layout.fallen,
            scene.layout.over,
            scene.layout.shadows,
            scene.layout.standing,
        )
        self._numbers = {id(part): number for number, part in enumerate(parts)}
        self._spans = {id(part): np.array([(item.top, item.bottom) for item in part]).reshape(-1, 2) for part in parts}
        self._stamps: dict[tuple[int, int], Stamp] = {}

    def meeting(self, part: list[Item], top: int, bottom: int) -> Iterator[Stamp]:
        """Stamps of a part's items that may touch rows `top` to `bottom`, in the part's order."""
        spans, number = self._spans[id(part)], self._numbers[id(part)]
        for index in np.flatnonzero((spans[:, 0] < bottom) & (spans[:, 1] >= top)).tolist():
            key = (number, index)
            stamp = self._stamps.pop(key, None)
            if stamp is None:
                stamp = part[index].make(self._rng(THINGS, *key))
                spans[index, 1] = stamp.row.max(initial=-1)  # what was reserved is more than what is drawn
            yield stamp
            # What the next band does not meet is let go of: nobody would ever ask for it again.
            if spans[index, 1] >= bottom - self._overlap:
                self._stamps[key] = stamp


def _tree_count(rng: np.random.Generator, options: Options, area_px: float) -> int:
    """As many as real scenes have, fewer where a small scene has no room for them."""
    if options.trees is not None:
        return int(rng.integers(options.trees[0], options.trees[1] + 1))
    room = rng.uniform(*TREES_PER_MPX) * area_px / 1e6
    return max(3, round(min(rng.uniform(*TREES), room)))
