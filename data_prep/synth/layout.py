"""Where things lie and stand in a scene: pockets of windthrow, trees that stand, what is strewn about."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from data_prep.synth import clutter, crowns
from data_prep.synth.grain import Floats, unit
from data_prep.synth.light import Sun, standing_shadow
from data_prep.synth.settings import DESIGN_GSD_M, Difficulty
from data_prep.synth.stamp import Stamp
from data_prep.synth.tree import FallenTree, grow
from data_prep.synth.tree_paint import Wood, paint_tree

CLOSEST = 0.72  # distance of two living crowns, by the sum of their radii
SPECIES = ('spruce', 'pine', 'birch', 'beech')


@dataclass(frozen=True, slots=True)
class Item:
    """A thing and the rows it may touch; it is drawn when the first of them is."""

    top: float
    bottom: float
    make: Callable[[np.random.Generator], Stamp]


@dataclass
class Layout:
    """Things in the order in which they are laid: under the trees, trees, over them; then shadows, then what stands."""

    trees: list[FallenTree]
    under: list[Item] = field(default_factory=list)
    fallen: list[Item] = field(default_factory=list)
    over: list[Item] = field(default_factory=list)
    shadows: list[Item] = field(default_factory=list)
    standing: list[Item] = field(default_factory=list)


@dataclass(frozen=True)
class Pockets:
    """Round openings that the wind made: centres (N, 2) and radii (N,) in px, wind in radians, and which are heaps."""

    centre_xy: Floats
    radius: Floats
    wind: float
    heap: np.ndarray

    def inside(self, xy: Floats) -> bool:
        """Whether a point lies in one."""
        return bool((((self.centre_xy - xy) ** 2).sum(1) < self.radius**2).any())


class _Standing:
    """Living crowns by cells of the plane, so that a new one is compared with those near it only."""

    def __init__(self, cell_px: float):
        self._cell, self._widest = cell_px, 0.0
        self._cells: defaultdict[tuple[int, int], list[tuple[float, float, float]]] = defaultdict(list)

    def crowd(self, x: float, y: float, radius: float) -> bool:
        """Whether a crown would overlap another by much; all in px."""
        reach = CLOSEST * (radius + self._widest)
        columns, rows = (range(int((v - reach) // self._cell), int((v + reach) // self._cell) + 1) for v in (x, y))
        near = (other for row in rows for column in columns for other in self._cells.get((row, column), ()))
        return any((a - x) ** 2 + (b - y) ** 2 < (CLOSEST * (r + radius)) ** 2 for a, b, r in near)

    def add(self, x: float, y: float, radius: float) -> None:
        """Take a crown."""
        self._widest = max(self._widest, radius)
        self._cells[int(y // self._cell), int(x // self._cell)].append((x, y, radius))


def lay_out(
    rng: np.random.Generator, size_wh: tuple[int, int], gsd_m: float, count: int, level: Difficulty, sun: Sun
) -> Layout:
    """Place everything.

    Args:
        rng: Source of randomness.
        size_wh: Width and height of the scene, px.
        gsd_m: Side of a pixel, m.
        count: Number of fallen trees.
        level: How hard they shall be to see.
        sun: Of the scene.
    """
    px_per_m = 1 / gsd_m
    size = np.array(size_wh, np.float32)
    pockets = _pockets(rng, size, px_per_m, count)
    trees = [_fallen(rng, size, px_per_m, pockets, level) for _ in range(count)]
    layout = Layout(trees)
    wood = Wood(rng, level.contrast)
    for number, tree in enumerate(trees, 1):
        low, high = np.array(tree.outline.bounds)[[1, 3]] + np.array([-1, 1]) * (1.4 * px_per_m + 6 + 2 * tree.lift_px)
        make = lambda r, tree=tree, number=number: paint_tree(r, tree, number, sun, wood, px_per_m)  # noqa: E731
        layout.fallen.append(Item(low, high, make))
    _strew(rng, layout, size, px_per_m, level, sun)
    _stand(rng, layout, size, px_per_m, pockets, level, sun)
    return layout


def _pockets(rng: np.random.Generator, size: Floats, px_per_m: float, count: int) -> Pockets:
    area_m2 = float(size.prod()) / px_per_m**2
    number = max(1, min(round(area_m2 / 900), count // 5 + 1))
    centre = rng.uniform(0.08, 0.92, (number, 2)) * size
    radius = np.minimum(rng.uniform(9, 19, number) * px_per_m, 0.45 * size.min())
    return Pockets(
        centre.astype(np.float32), radius.astype(np.float32), rng.uniform(0, 2 * np.pi), rng.random(number) < 0.4
    )


def _fallen(rng: np.random.Generator, size: Floats, px_per_m: float, pockets: Pockets, level: Difficulty) -> FallenTree:
    """One tree, most of it inside the scene except at times."""
    longest = min(30 * px_per_m, 0.6 * float(size.min()))
    for _ in range(8):
        if rng.random() < level.heaped:
            k = rng.integers(len(pockets.radius))
            middle = pockets.centre_xy[k] + rng.normal(0, 0.42, 2) * pockets.radius[k]
            angle = pockets.wind + rng.normal(0, 1.0 if pockets.heap[k] else 0.22)
        else:
            middle, angle = rng.uniform(0, 1, 2) * size, pockets.wind + rng.normal(0, 1.2)
        base = middle - unit(angle) * rng.uniform(0.2, 0.8) * min(15 * px_per_m, longest)
        tree = grow(rng, base.astype(np.float32), float(angle), px_per_m, longest, level.width)
        low, high = np.array(tree.outline.bounds[:2]), np.array(tree.outline.bounds[2:])
        outside = np.maximum(-low, 0) + np.maximum(high - size, 0)
        if (outside < 0.02 * (high - low)).all() or (rng.random() < 0.12 and (outside < 0.5 * (high - low)).all()):
            break
    return tree


def _anywhere(rng: np.random.Generator, size: Floats, per_1000_m2: float, px_per_m: float) -> Floats:
    number = rng.poisson(per_1000_m2 * float(size.prod()) / px_per_m**2 / 1000)
    return (rng.uniform(-0.01, 1.01, (number, 2)) * size).astype(np.float32)


def _round(xy: Floats, radius: float, make: Callable[..., Stamp], *args: object) -> Item:
    reach = 2.7 * radius + 8
    return Item(float(xy[1]) - reach, float(xy[1]) + reach, lambda rng: make(rng, xy, radius, *args))


def _strew(
    rng: np.random.Generator,
    layout: Layout,
    size: Floats,
    px_per_m: float,
    level: Difficulty,
    sun: Sun,
) -> None:
    """Stones, stumps, slash, tufts; and what grows over the trunks."""
    grain = px_per_m * DESIGN_GSD_M  # px per 5 cm
    for xy in _anywhere(rng, size, 2.0 * level.brash, px_per_m):
        layout.under.append(_round(xy, float(rng.uniform(0.8, 2.6) * px_per_m), clutter.slash, sun))
    for xy in _anywhere(rng, size, 2.0, px_per_m):
        layout.under.append(_round(xy, float(rng.uniform(0.13, 0.3) * px_per_m), clutter.stump, sun))
    for xy in _anywhere(rng, size, float(rng.choice([0, 1.5, 5])), px_per_m):
        for _ in range(rng.integers(1, 5)):
            radius = float(max(1.5, rng.lognormal(np.log(0.2), 0.5) * px_per_m))
            layout.under.append(_round(xy + rng.normal(0, 20 * grain, 2), radius, clutter.stone, sun))
    green = str(rng.choice(['grass', 'birch', 'spruce']))
    for xy in _anywhere(rng, size, float(rng.uniform(15, 70)), px_per_m):
        layout.under.append(_round(xy, float(rng.uniform(0.15, 0.6) * px_per_m), crowns.fern, sun, green))
    for tree in layout.trees:
        number = rng.poisson(level.overgrown * tree.length_px / px_per_m)
        for share in rng.uniform(0, 1, number):
            point = tree.centreline.interpolate(share, normalized=True)
            xy = (np.array([point.x, point.y]) + rng.normal(0, 4 * grain, 2)).astype(np.float32)
            layout.over.append(_round(xy, float(rng.uniform(0.2, 0.6) * px_per_m), crowns.fern, sun, green))


def _stand(
    rng: np.random.Generator,
    layout: Layout,
    size: Floats,
    px_per_m: float,
    pockets: Pockets,
    level: Difficulty,
    sun: Sun,
) -> None:
    """Living trees outside and inside the pockets, dead ones, shrubs; sorted so that the tallest is drawn last."""
    mixed = rng.dirichlet((1.2, 0.9, 0.8, 0.5))
    placed: list[tuple[float, Item]] = []
    area_m2 = float(size.prod()) / px_per_m**2
    living, standing = 0, _Standing(4 * px_per_m)
    wanted = level.crowns[0] * area_m2 / (np.pi * 1.9**2)
    openness = level.crowns[1] / level.crowns[0]
    for _ in range(round(wanted * 1.5)):
        if living >= wanted:
            break
        xy, radius = (rng.uniform(-0.02, 1.02, 2) * size).astype(np.float32), float(rng.gamma(9, 0.21) * px_per_m)
        if pockets.inside(xy) and rng.random() > openness:
            continue
        if standing.crowd(*xy.tolist(), radius):
            continue
        living += 1
        standing.add(*xy.tolist(), radius)
        placed.append(_living(rng, layout, xy, radius, px_per_m, sun, SPECIES[rng.choice(4, p=mixed)]))
    for xy in _anywhere(rng, size, level.snags * rng.uniform(0.3, 1.8), px_per_m):
        for _ in range(rng.integers(1, 4)):  # what kills one kills its neighbours
            spot = (xy + rng.normal(0, 2.0, 2) * px_per_m).astype(np.float32)
            radius = float(rng.uniform(0.8, 2.1) * px_per_m)
            height = radius * rng.uniform(3, 6)
            placed.append((height, _round(spot, radius, crowns.dead_tree, sun)))
            layout.shadows.append(_shadow(spot, radius, height, sun, True))
    for xy in _anywhere(rng, size, float(rng.uniform(4, 16)), px_per_m):
        radius = float(rng.uniform(0.25, 0.8) * px_per_m)
        placed.append((radius, _round(xy, radius, crowns.living_crown, sun, SPECIES[rng.choice(4, p=mixed)])))
    layout.standing = [item for _, item in sorted(placed, key=lambda pair: pair[0])]


def _living(
    rng: np.random.Generator, layout: Layout, xy: Floats, radius: float, px_per_m: float, sun: Sun, kind: str
) -> tuple[float, Item]:
    height = radius * float(rng.uniform(4, 7) if kind == 'spruce' else rng.uniform(3, 5))
    layout.shadows.append(_shadow(xy, radius, height, sun, False))
    return height, _round(xy, radius, crowns.living_crown, sun, kind)


def _shadow(xy: Floats, radius: float, height: float, sun: Sun, thin: bool) -> Item:
    reach = min(height * sun.reach, 9 * radius)
    tip = float(xy[1] - sun.towards[1] * reach)
    margin = 2.4 * radius + 4
    return Item(min(float(xy[1]), tip) - margin, max(float(xy[1]), tip) + margin,
                lambda rng: standing_shadow(rng, sun, xy, height, radius, thin=thin))  # fmt: skip
