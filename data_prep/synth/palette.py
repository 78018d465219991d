"""Colours, RGB 0-255, each a run from dark to light, and their variation from scene to scene."""

from __future__ import annotations

import numpy as np

from data_prep.synth.grain import Floats

Colours = tuple[tuple[int, int, int], ...]

GROUND: dict[str, Colours] = {
    'litter': ((52, 42, 32), (96, 80, 62), (128, 110, 88), (172, 154, 128)),
    'moss': ((34, 52, 28), (64, 88, 44), (86, 110, 58), (122, 140, 84)),
    'grass': ((44, 62, 32), (80, 102, 54), (116, 134, 78), (164, 172, 118)),
    'straw': ((74, 64, 44), (122, 110, 78), (152, 142, 106), (196, 186, 148)),
    'soil': ((58, 46, 36), (102, 84, 66), (128, 110, 90), (160, 144, 124)),
    'brash': ((44, 36, 30), (84, 72, 62), (118, 106, 96), (166, 154, 144)),
}
LEAVES: dict[str, Colours] = {
    'spruce': ((24, 34, 20), (70, 86, 52), (116, 132, 82), (172, 184, 126)),
    'pine': ((36, 48, 32), (88, 108, 70), (136, 154, 102), (188, 198, 144)),
    'birch': ((34, 46, 24), (92, 112, 58), (144, 162, 92), (200, 208, 142)),
    'beech': ((28, 42, 20), (82, 100, 52), (124, 140, 78), (176, 186, 116)),
    'dry': ((60, 50, 38), (108, 94, 74), (144, 128, 102), (176, 160, 134)),
}
DEAD_WOOD: Colours = ((76, 68, 62), (126, 115, 108), (168, 156, 149), (208, 198, 190))
# Bark, bare wood, lichen and moss of fallen stems, by their state.
BARK: dict[str, Colours] = {
    'fresh': ((92, 78, 66), (168, 144, 114), (136, 134, 122), (84, 94, 58)),
    'grey': ((114, 107, 99), (160, 150, 137), (146, 147, 138), (88, 98, 64)),
    'bare': ((146, 138, 126), (184, 174, 160), (150, 148, 140), (100, 104, 78)),
    'mossy': ((86, 82, 66), (126, 112, 94), (116, 120, 100), (76, 90, 52)),
    'rotten': ((98, 82, 66), (122, 100, 78), (116, 112, 98), (78, 88, 54)),
}
EARTH: Colours = ((38, 31, 25), (84, 70, 57), (118, 101, 84), (156, 138, 118))
STONE: Colours = ((52, 52, 52), (112, 110, 106), (150, 148, 144), (186, 184, 180))


def ramp(rng: np.random.Generator, colours: Colours, spread: float = 0.06) -> Floats:
    """Run of 256 colours through the given ones, shifted as a whole in brightness and hue; (3, 256)."""
    stops = np.array(colours, np.float64).T * (1 + rng.normal(0, spread)) * (1 + rng.normal(0, spread / 4, (3, 1)))
    at = np.linspace(0, 255, len(colours))
    return np.stack([np.interp(np.arange(256), at, stop) for stop in stops]).astype(np.float32)


def tint(rng: np.random.Generator, colour: tuple[int, int, int], spread: float = 0.08) -> Floats:
    """One colour, varied; (3, 1)."""
    return (np.array(colour)[:, None] * (1 + rng.normal(0, spread)) * (1 + rng.normal(0, spread / 3, (3, 1)))).astype(
        np.float32
    )


def shade(run: Floats, level: Floats) -> Floats:
    """Colours of a run at levels 0..1; (3, ...)."""
    index = np.clip(level * np.float32(255), 0, 255).astype(np.uint8)
    return run[:, index]
