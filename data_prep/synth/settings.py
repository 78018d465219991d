"""What a scene shall be like: its size and number of trees, and how hard it is to see them."""

from __future__ import annotations

from dataclasses import dataclass

DESIGN_GSD_M = 0.05  # lengths of texture are given in pixels of this size
LABEL_FROM = 0.3  # visible share of a tree's outline from which it is labelled
LABEL_FROM_PX = 60  # and its visible pixels


@dataclass(frozen=True)
class Difficulty:
    """How hard the fallen trunks are to see.

    Attributes:
        contrast: Of trunks against the ground, 1 = as it is.
        width: Factor on trunk diameters.
        crowns: Share of the ground under living crowns, outside and in windthrow pockets.
        snags: Standing dead trees per 1000 m2.
        brash: Factor on twigs, branches and brash on the ground.
        overgrown: Plants per metre of trunk that cover parts of it.
        heaped: Share of trees that lie in swathes and heaps.
        blur_noise: Factor on blur, noise and JPEG artefacts.
    """

    contrast: float
    width: float
    crowns: tuple[float, float]
    snags: float
    brash: float
    overgrown: float
    heaped: float
    blur_noise: float


DIFFICULTIES = {
    'easy': Difficulty(2.2, 1.8, (0.08, 0.0), 0.5, 0.2, 0.0, 0.1, 0.4),
    'default': Difficulty(1.1, 1.0, (0.34, 0.03), 1.8, 1.0, 0.03, 0.4, 1.0),
    'hard': Difficulty(0.8, 0.8, (0.48, 0.12), 3.5, 1.6, 0.10, 0.75, 1.4),
}


@dataclass(frozen=True)
class Options:
    """One run of the command.

    Attributes:
        scenes: How many.
        seed: Of everything.
        width_px: Lowest and highest width of a scene.
        height_px: Lowest and highest height.
        gsd_m: Lowest and highest side of a pixel in metres.
        trees: Lowest and highest number of fallen trees in a scene; None takes it from the area.
        difficulty: A key of DIFFICULTIES.
    """

    scenes: int = 15
    seed: int = 0
    width_px: tuple[int, int] = (4444, 9915)
    height_px: tuple[int, int] = (3259, 5394)
    gsd_m: tuple[float, float] = (0.05, 0.05)
    trees: tuple[int, int] | None = None
    difficulty: str = 'default'
