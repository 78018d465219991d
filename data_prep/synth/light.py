"""The sun of a scene and the shadows that standing things cast."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from data_prep.synth.grain import Floats, periodic_noise, smoothstep, unit
from data_prep.synth.stamp import NOTHING, Stamp, pixel_grid, press


@dataclass(frozen=True)
class Sun:
    """Where light comes from.

    Attributes:
        towards: (2,) unit vector in the image towards the sun, x right, y down.
        height: Sine of its elevation.
        reach: Length of a shadow by height of what casts it.
        strength: Share of light that comes from the sun itself, near 0 under clouds.
    """

    towards: Floats
    height: float
    reach: float
    strength: float

    @classmethod
    def draw(cls, rng: np.random.Generator) -> Sun:
        """Any time of a summer day in the north; two scenes of five lie under clouds."""
        azimuth, elevation = rng.uniform(75, 285), rng.uniform(28, 58)
        cloudy = rng.random() < 0.4
        angle = np.radians(azimuth - 90)  # azimuth is clockwise from north, which is up
        tangent = np.tan(np.radians(elevation))
        strength = rng.uniform(0.08, 0.25) if cloudy else rng.uniform(0.5, 0.95)
        return cls(unit(angle), round(float(np.sin(np.radians(elevation))), 6), round(float(1 / tangent), 6), strength)

    def on(self, slope_x: Floats, slope_y: Floats, up: Floats | float = 1.0) -> Floats:
        """Light on a surface with this normal (not of unit length): 1 on flat ground, more towards the sun."""
        level = np.float32(np.sqrt(1 - self.height**2))
        lean = (slope_x * self.towards[0] + slope_y * self.towards[1]) * level + up * np.float32(self.height)
        direct = np.maximum(lean / np.sqrt(slope_x * slope_x + slope_y * slope_y + up * up + np.float32(1e-6)), 0)
        share = np.float32(0.25 + 0.6 * self.strength)
        return 1 - share + share * direct / np.float32(self.height)


def standing_shadow(
    rng: np.random.Generator, sun: Sun, foot_xy: Floats, height_px: float, radius_px: float, *, thin: bool
) -> Stamp:
    """Shadow of a tree on the ground.

    Args:
        rng: Source of randomness.
        sun: Of the scene.
        foot_xy: (2,) where it stands, px.
        height_px: Its height.
        radius_px: Of its crown.
        thin: Whether light passes through the crown (a dead tree).
    """
    away = -sun.towards
    length = min(height_px * sun.reach, 9 * radius_px)
    ends = np.stack([foot_xy - away * radius_px, foot_xy + away * length])
    low = np.floor(ends.min(0) - radius_px * 1.3).astype(int)
    shape = tuple(int(v) for v in (np.ceil(ends.max(0) + radius_px * 1.3) - low).astype(int)[::-1])
    x, y = pixel_grid((int(low[0]), int(low[1])), shape)
    ahead = (x - foot_xy[0]) * away[0] + (y - foot_xy[1]) * away[1]
    along = ahead / np.float32(max(length, 1))
    across = (x - foot_xy[0]) * away[1] - (y - foot_xy[1]) * away[0]
    ragged = np.clip(_fit(periodic_noise(rng, (64, 64), (6, 6)), shape), -1.2, 1.2)
    breadth = np.clip(1 + ahead / np.float32(radius_px), 0, 1) * np.sqrt(np.maximum(1.03 - along, 0))
    edge = radius_px * breadth * (1 + 0.22 * ragged) - np.abs(across)
    soft = 1.5 + 0.05 * length * np.clip(along, 0, 1)
    depth = smoothstep(-1, 1, edge / soft) * np.float32((0.45 if thin else 0.9) * (0.3 + 0.7 * sun.strength))
    nothing = np.zeros(shape, np.float32)
    return press((int(low[0]), int(low[1])), np.zeros((3, *shape)), nothing, dark=depth,
                 mark=np.full(shape, NOTHING, np.uint8))  # fmt: skip


def _fit(tile: Floats, shape: tuple[int, int]) -> Floats:
    repeats = [-(-length // side) for length, side in zip(shape, tile.shape, strict=True)]
    return np.tile(tile, repeats)[: shape[0], : shape[1]]


def shifted_dark(cover: Floats, sun: Sun, height_px: float) -> Floats:
    """Shadow right beside a low thing: its cover dragged away from the sun; (h, w), the patch must have a margin."""
    dark = np.zeros_like(cover)
    reach = max(1.0, height_px * sun.reach)
    steps = max(1, min(12, round(reach)))
    for step in range(1, steps + 1):
        dx, dy = (round(float(-t * reach * step / steps)) for t in sun.towards)
        dark = np.maximum(dark, np.roll(cover, (dy, dx), (0, 1)))
    return soften(soften(dark)) * np.float32(0.12 + 0.5 * sun.strength)


def soften(values: Floats) -> Floats:
    """Mean with the neighbours, down and across; (h, w)."""
    for axis in (0, 1):
        values = (np.roll(values, 1, axis) + np.roll(values, -1, axis) + 2 * values) * np.float32(0.25)
    return values
