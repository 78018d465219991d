"""Painting a fallen tree: round bark in the sun, moss and lichen, bare wood, branches, roots, the shadow beside it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import shapely
from rasterio.features import rasterize
from rasterio.transform import Affine

from data_prep.synth import palette
from data_prep.synth.grain import Floats, periodic_noise, smoothstep
from data_prep.synth.light import Sun, shifted_dark, soften
from data_prep.synth.stamp import NOTHING, TREE, Stamp, pixel_grid, press
from data_prep.synth.strokes import Strokes, draw, scatter
from data_prep.synth.tree import FallenTree
from data_prep.synth.tree import Stem as StemShape

TABLE = 256  # side of the bark's texture tables


class Wood:
    """Texture of bark, the same for all stems of a scene: along the first axis, around the second."""

    def __init__(self, rng: np.random.Generator, contrast: float):
        self.contrast = contrast
        self.grain = sum(
            w * periodic_noise(rng, (TABLE, TABLE), cell) for w, cell in ((0.6, (10, 2)), (0.5, (3, 2)), (0.3, (24, 5)))
        )
        self.patch = sum(
            w * periodic_noise(rng, (TABLE, TABLE), cell)
            for w, cell in ((0.8, (40, 20)), (0.6, (14, 10)), (0.3, (5, 5)))
        )


@dataclass
class Patch:
    """Part of the scene in which a tree is painted; arrays as in ``stamp.press``."""

    corner_xy: tuple[int, int]
    rgb: Floats
    alpha: Floats
    body: np.ndarray

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width."""
        return self.alpha.shape

    def lay(self, colour: Floats, cover: Floats) -> None:
        """Paint over what is there; `colour` (3, h, w) or (3, 1, 1)."""
        total = cover + self.alpha * (1 - cover)
        share = cover / np.maximum(total, np.float32(1e-4))
        self.rgb += (colour - self.rgb) * share
        self.alpha = total

    def inside(self, polygon: shapely.Geometry) -> np.ndarray:
        """Pixels whose centre a polygon holds; (h, w) bool."""
        shift = Affine.translation(*self.corner_xy)
        return rasterize([polygon], self.shape, transform=shift, dtype=np.uint8).astype(bool)


def paint_tree(rng: np.random.Generator, tree: FallenTree, number: int, sun: Sun, wood: Wood, px_per_m: float) -> Stamp:
    """Paint a tree; its stamp marks exactly the pixels whose centre lies in ``tree.outline``."""
    margin = 1.4 * px_per_m + 4 + tree.lift_px * min(sun.reach, 2)
    low = np.floor(np.array(tree.outline.bounds[:2]) - margin).astype(int)
    width, height = (int(v) for v in np.ceil(np.array(tree.outline.bounds[2:]) + margin).astype(int) - low)
    patch = Patch(
        (int(low[0]), int(low[1])), np.zeros((3, height, width), np.float32), np.zeros((height, width), np.float32),
        np.zeros((height, width), bool),
    )  # fmt: skip
    patch.body = patch.inside(tree.outline)
    colours = [palette.tint(rng, colour, 0.09) for colour in palette.BARK[tree.bark]]
    if tree.remnant is not None:
        _paint_remnant(rng, patch, tree, sun, px_per_m)
    _paint_branches(rng, patch, tree, colours[0], px_per_m)
    for order, stem in enumerate(tree.stems):
        _paint_stem(rng, patch, stem, colours, sun, wood, first=order == 0, rooted=tree.plate is not None)
    if tree.plate is not None:
        _paint_plate(rng, patch, tree, sun, px_per_m)
    thickness = float(tree.stems[0].radius[0]) + tree.lift_px
    dark = np.maximum(shifted_dark(patch.alpha, sun, thickness), 0.35 * soften(soften(patch.alpha)))
    mark = np.where(patch.body, TREE, NOTHING).astype(np.uint8)
    return press(patch.corner_xy, patch.rgb, patch.alpha, dark=dark, mark=mark, number=number)


def _paint_stem(
    rng: np.random.Generator,
    patch: Patch,
    stem: StemShape,
    colours: list,
    sun: Sun,
    wood: Wood,
    *,
    first: bool,
    rooted: bool,
) -> None:
    along, across, radius, slope_xy = _stem_field(stem, patch)
    share = np.clip(across / radius, -1, 1)
    cover = np.clip(radius - np.abs(across) + np.float32(0.5), 0, 1)
    up = np.sqrt(np.maximum(1 - share * share, 0))
    light = sun.on(slope_xy[0] * share, slope_xy[1] * share, up + np.float32(0.05))
    scale = 256 / (14 * max(float(stem.radius[0]), 2))
    shift = rng.integers(0, TABLE, 4)
    look = lambda table, stretch, k: table[  # noqa: E731
        (along * np.float32(stretch) + shift[k]).astype(np.int32) % TABLE,
        (share * np.float32(20) + shift[k + 1]).astype(np.int32) % TABLE,
    ]
    grain, patches, spots = (
        look(wood.grain, 0.9, 0),
        look(wood.patch, 0.35 * scale, 1),
        look(wood.patch, 0.8 * scale, 2),
    )
    colour = colours[0][..., None] * np.ones_like(grain)
    bare = smoothstep(0.5, 0.9, patches + np.float32(rng.normal(0, 0.4)))
    moss = smoothstep(0.6, 1.1, spots + np.float32(rng.normal(0, 0.35))) * np.float32(0.8)
    lichen = smoothstep(0.55, 0.9, -spots) * np.float32(0.7)
    for amount, paint in ((bare, colours[1]), (lichen, colours[2]), (moss, colours[3])):
        colour += (paint[..., None] - colour) * amount
    if first and not rooted and rng.random() < 0.5:  # sawn or snapped off: pale wood at the end
        colour += (np.float32([[208], [186], [150]])[..., None] - colour) * (along < 0.7 * stem.radius[0])
    colour *= (1 + np.float32(0.16) * grain + np.float32(0.10) * spots) * light
    sunken = rng.uniform(0, 0.85)  # how much of it litter and moss have taken back
    cover *= 1 - np.float32(0.75) * smoothstep(0.0, 0.9, patches - spots + np.float32(sunken - 1.3))
    patch.lay(colour * np.float32(wood.contrast**0.5), cover)


def _stem_field(stem: StemShape, patch: Patch) -> tuple[Floats, Floats, Floats, Floats]:
    """For each pixel: px along the stem, px across it, radius there, and the unit vector across (2, h, w)."""
    along = np.zeros(patch.shape, np.float32)
    across, radius = np.full(patch.shape, 1e6, np.float32), np.ones(patch.shape, np.float32)
    side = np.zeros((2, *patch.shape), np.float32)
    at, reach = stem.at, float(stem.radius.max()) + 2
    last = len(stem.xy) - 2
    for k, (start, end) in enumerate(zip(stem.xy, stem.xy[1:], strict=False)):
        low = np.maximum(np.floor(np.minimum(start, end) - reach).astype(int) - patch.corner_xy, 0)
        high = np.ceil(np.maximum(start, end) + reach).astype(int) - patch.corner_xy
        window = (slice(low[1], high[1]), slice(low[0], high[0]))
        x, y = pixel_grid((patch.corner_xy[0] + low[0], patch.corner_xy[1] + low[1]), along[window].shape)
        step = end - start
        length = np.float32(np.sqrt((step**2).sum()))
        share = ((x - start[0]) * step[0] + (y - start[1]) * step[1]) / (length * length)
        offset = ((y - start[1]) * step[0] - (x - start[0]) * step[1]) / length
        beyond = np.maximum(-share, share - 1) * length
        slack = np.where((share < 0) if k == 0 else (share > 1) if k == last else False, 0.0, 2.0)
        closer = (np.abs(offset) < np.abs(across[window])) & (beyond < slack + 0.0)
        thick = stem.radius[k] + np.clip(share, 0, 1) * (stem.radius[k + 1] - stem.radius[k])
        for target, values in ((along, at[k] + share * length), (across, offset), (radius, thick)):
            target[window] = np.where(closer, values, target[window])
        for axis, value in enumerate((-step[1] / length, step[0] / length)):
            side[axis][window] = np.where(closer, value, side[axis][window])
    return along, across, radius, side


def _local(patch: Patch, strokes: Strokes) -> Strokes:
    rest = [getattr(strokes, name) for name in list(strokes.__dataclass_fields__)[1:]]
    return Strokes((strokes.start_xy - np.float32(patch.corner_xy)).astype(np.float32), *rest)


def _along_stem(
    rng: np.random.Generator, stem: StemShape, shares: Floats, lean: tuple[float, float]
) -> tuple[Floats, Floats]:
    """Points on a stem and angles that lean from its axis to either side by `lean` radians."""
    at = shares * stem.at[-1]
    xy = np.stack([np.interp(at, stem.at, axis) for axis in stem.xy.T], 1)
    step = stem.xy[-1] - stem.xy[0]
    axis = np.arctan2(float(step[1]), float(step[0]))
    return xy, axis + rng.choice([-1, 1], len(shares)) * rng.uniform(*lean, len(shares))


def _paint_branches(rng: np.random.Generator, patch: Patch, tree: FallenTree, colour: Floats, px_per_m: float) -> None:
    """Bare branches, thin enough that nobody would outline them."""
    if not tree.branches:
        return
    stem, count = tree.stems[-1], tree.branches
    share = rng.uniform(0.25 if len(tree.stems) == 1 else 0.0, 0.98, count)
    xy, angle = _along_stem(rng, stem, share, (0.5, 1.3))
    length = rng.uniform(0.25, 1.25, count) * (1.15 - share) * 1.2 * px_per_m
    width = max(0.8, 0.03 * px_per_m)
    first = scatter(rng, count, xy, angle, length, width=width, bend=0.2, tone=(0.7, 1.25))
    tips = first.points()[0][:, len(first.points()[2]) // 2]
    second = scatter(
        rng, count, tips, angle + rng.normal(0, 0.6, count), length * 0.45, width=0.6 * width, tone=(0.7, 1.2)
    )
    for strokes in (second, first):
        cover, tone = draw(patch.shape, _local(patch, strokes))
        patch.lay(colour[..., None] * tone, cover * np.float32(0.85))


def _paint_remnant(rng: np.random.Generator, patch: Patch, tree: FallenTree, sun: Sun, px_per_m: float) -> None:
    """Branches with dry or still green needles inside the outline of the remnant."""
    inside = soften(patch.inside(tree.remnant).astype(np.float32))
    stem, count = tree.stems[-1], int(30 + tree.remnant.area / 9)
    xy, angle = _along_stem(rng, stem, rng.uniform(0.35, 1.0, count), (0.1, 1.15))
    twigs = scatter(rng, count, xy, angle, (0.4 * px_per_m, 1.2 * px_per_m), width=1.0, bend=0.3, tone=(0.2, 1.3))
    cover, tone = draw(patch.shape, _local(patch, twigs))
    kind = str(rng.choice(['dry', 'spruce', 'pine'], p=[0.5, 0.3, 0.2]))
    noise = periodic_noise(rng, (64, 64), (5, 5))
    noise = np.tile(noise, [-(-n // 64) for n in patch.shape])[: patch.shape[0], : patch.shape[1]]
    level = np.float32(0.14) + np.float32(0.5) * tone * cover + np.float32(0.1) * noise
    patch.lay(palette.shade(palette.ramp(rng, palette.LEAVES[kind]), level),
              inside * np.clip(np.float32(0.55) + cover + np.float32(0.25) * noise, 0, 1))  # fmt: skip


def _paint_plate(rng: np.random.Generator, patch: Patch, tree: FallenTree, sun: Sun, px_per_m: float) -> None:
    """Earth and roots across the base; the pit lies behind it, away from the stem."""
    stem = tree.stems[0]
    away = stem.xy[0] - stem.xy[1]
    away = away / np.sqrt((away**2).sum())
    reach = float(np.sqrt(tree.plate.area / np.pi))
    pit = shapely.transform(tree.plate, lambda xy: xy + away * reach * 0.8)
    earth = palette.ramp(rng, palette.EARTH)
    rough = periodic_noise(rng, (64, 64), (5, 5)) + 0.7 * periodic_noise(rng, (64, 64), (2.5, 2.5))
    rough = np.tile(rough, [-(-n // 64) for n in patch.shape])[: patch.shape[0], : patch.shape[1]]
    hollow = soften(soften(soften(patch.inside(pit).astype(np.float32)))) * np.clip(1 + 0.4 * rough, 0, 1)
    patch.lay(palette.shade(earth, np.float32(0.16) + np.float32(0.07) * rough), hollow * np.float32(0.8))
    disc = patch.inside(tree.plate).astype(np.float32)
    dome = soften(soften(soften(disc)))
    slope_y, slope_x = np.gradient(dome + np.float32(0.22) * rough)
    level = np.float32(0.42) * sun.on(-2 * slope_x, -2 * slope_y) + np.float32(0.10) * rough
    patch.lay(
        palette.shade(earth, level),
        np.clip(soften(disc) * 1.6 - 0.3 + 0.25 * rough * (1 - dome), 0, 1) * (soften(disc) > 0),
    )
    count = int(rng.integers(14, 30))
    angle = rng.uniform(0, 2 * np.pi, count)
    start = np.repeat(stem.xy[:1], count, 0) + rng.normal(0, 0.15 * reach, (count, 2))
    roots = scatter(rng, count, start, angle, (0.5 * reach, 1.35 * reach), width=max(1.0, 0.05 * px_per_m), bend=0.3)
    cover, tone = draw(patch.shape, _local(patch, roots))
    patch.lay(
        palette.tint(rng, (164, 146, 124))[..., None] * tone, cover * np.float32(0.8) * np.minimum(1, 3 * soften(dome))
    )
